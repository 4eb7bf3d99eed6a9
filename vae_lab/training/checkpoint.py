"""Checkpoints that name their run and carry a checksum of what they hold, which torch does not check."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from torch import Tensor

CHECKSUM = "vae_lab_sha256"  # the entry of the checksum; one that lacks it is of an earlier version
PREFIX = "model."  # of the model's parameters among those of the module


class CheckpointIO(TorchCheckpointIO):
    """How Lightning writes and reads checkpoints: with their checksum."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        super().save_checkpoint(with_checksum(checkpoint), path, storage_options)

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        return load_checkpoint(Path(path))


def with_checksum(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a checkpoint with the checksum of everything in it."""
    return {**content, CHECKSUM: _checksum(content)}


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, verified if it has a checksum.

    Raises:
        ValueError: If it is missing, truncated or corrupt.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        written = content.pop(CHECKSUM, None)
        earlier = written is None and "origin" not in content["vae_lab"]
        sound = earlier or written == _checksum(content)
    except Exception as error:
        raise ValueError(f"{path} is truncated or corrupt ({type(error).__name__}).") from error
    if not sound:
        raise ValueError(f"{path} is truncated or corrupt (it was written with another checksum).")
    return content | {CHECKSUM: written}


def weights_of_model(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The parameters of the model in a checkpoint, by their names in the model."""
    stored = checkpoint["state_dict"]
    return {name.removeprefix(PREFIX): value for name, value in stored.items() if name.startswith(PREFIX)}


def _checksum(content: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    _add(digest, content)
    return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    """Adds a value and all that is below it, each with its kind and its length."""
    if isinstance(value, Tensor):
        plain = value.detach().cpu().contiguous()
        digest.update(f"{plain.dtype} {tuple(plain.shape)} ".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy())
    elif isinstance(value, Mapping):
        digest.update(f"mapping {len(value)} ".encode())
        for key, item in value.items():
            _add(digest, key)
            _add(digest, item)
    elif isinstance(value, list | tuple):
        digest.update(f"sequence {len(value)} ".encode())
        for item in value:
            _add(digest, item)
    else:
        word = repr(value)
        digest.update(f"{type(value).__name__} {len(word)} {word} ".encode())
