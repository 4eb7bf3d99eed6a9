"""Finished runs, loaded again."""

import json
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from vae_lab.build import Parts, build
from vae_lab.errors import UserError
from vae_lab.run import quieten_libraries
from vae_lab.training.callbacks import load_checkpoint, weights_of_vae


def load(directory: Path) -> tuple[Parts, dict[str, Any]]:
    """The parts of a finished run with the weights that were tested, and the content of its `metrics.json`.

    Raises:
        UserError: If the run is not finished, or its checkpoint cannot be read.
    """
    try:
        result = json.loads((directory / "metrics.json").read_bytes())
        cfg: Any = OmegaConf.load(directory / ".hydra" / "config.yaml")
    except FileNotFoundError as error:
        raise UserError(f"{directory} is not the directory of a finished run.") from error
    quieten_libraries()
    cfg.logger = {"_target_": "vae_lab.tracking.NoTracking"}
    cfg.trainer.update({"accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto"})
    parts = build(cfg, directory / "checkpoints")
    name = "best" if parts.settings.select == "best" else "last"
    try:
        checkpoint = load_checkpoint(directory / "checkpoints" / f"{name}.ckpt")
    except (ValueError, OSError) as error:
        raise UserError(f"{directory}: {error}") from error
    parts.vae.load_state_dict(weights_of_vae(checkpoint))
    parts.vae.eval()
    return parts, result
