"""The signature of a run: a hash of what defines its result."""

import hashlib
import json
from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vae_lab.config.commands import COMMANDS, Command
from vae_lab.config.options import options_of
from vae_lab.files.writing import content

# Keys that define no result, each where it stands: a key of the same name elsewhere does.
NOT_DEFINING_ANYWHERE = {"hydra", "logger", "sweep", "rerun", "output_dir"}
NOT_DEFINING_IN_GROUP = {
    "dataset": {"root", "download", "path", "num_workers"},
    "trainer": {"accelerator", "devices", "num_nodes", "strategy", "checkpoint_seconds", "progress"},
    "callbacks": {"estimator_probe"},
    "probe": {"chunk"},
    "measures": {"chunk_rows"},
}
LATER = {  # keys that an earlier version did not have, with the value at which they define nothing
    "dataset.keys": None, "dataset.bits": 8, "dataset.pages": None,
}  # fmt: skip
BUDGET = ("trainer.max_epochs", "trainer.max_samples")

TOLD_BY = {"gradients": "probe", "check": "parts"}  # keys of theirs alone

FORMAT = 3  # of what a run leaves; another one makes another signature
BY_PATH = 2  # the format before, which knew a class of this package by the module that it was in

Flat = dict[str, Any]


def flatten(config: Any, prefix: str = "") -> Flat:
    """A nested configuration as one dictionary with dotted keys; lists stay values.

    Example:
        >>> flatten({"model": {"latent_dim": 2, "encoder": {"hidden": [128]}}})
        {'model.latent_dim': 2, 'model.encoder.hidden': [128]}
    """
    flat: Flat = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value and not name.endswith(".files"):
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = _plain(value)
    return flat


def definition(cfg: DictConfig) -> Flat:
    """The resolved values that define a result, flattened: those of a run, or of a measurement too.

    A class of this package enters by its name, which its group makes unique, and any other by its path, so
    that a module of this package can be renamed.
    """
    flat = flatten(by_name(defining(cfg))) | {"format": FORMAT}
    flat = {key: value for key, value in flat.items() if key not in LATER or value != LATER[key]}
    if flat.get("trainer.max_samples") is not None:
        flat["trainer.max_epochs"] = None  # the budget in samples takes the place of the one in epochs
    return flat


def as_of_now(stored: Flat) -> Flat:
    """A definition from a result's file, in this format if it is of the one before."""
    return by_name(stored) | {"format": FORMAT} if stored.get("format") == BY_PATH else stored


def defining(cfg: DictConfig) -> dict[str, Any]:
    """The resolved part of a configuration that defines a result, with what lies at its paths."""
    config: dict[str, Any] = {}
    commands = _commands_of(cfg)
    not_defining = NOT_DEFINING_ANYWHERE.union(*(command.not_defining for command in commands))
    files = frozenset().union(*(command.files for command in commands))
    for name in (name for name in cfg if name not in not_defining):
        key, node = str(name), cfg[name]
        if OmegaConf.is_config(node):
            node = OmegaConf.to_container(node, resolve=True)
        if isinstance(node, dict):
            left_out = NOT_DEFINING_IN_GROUP.get(key, set())
            if key == "dataset":
                node, unknown = _with_content(node)
                left_out = left_out - unknown
            node = {name: node[name] for name in node if name not in left_out}
        if key in files:
            paths = [path for path in (node if isinstance(node, list) else [node]) if path not in _names()]
            contents = [content(path) for path in paths]
            config |= {f"{key}_content": contents} if any(contents) else {}
        config[key] = node
    return config


def _with_content(dataset: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """A dataset with what lies at its path, and the places of which nothing but the name is known."""
    unknown = set() if dataset.get("files") else {"root"}
    if "path" in dataset:
        dataset["content"] = content(dataset["path"]) if isinstance(dataset["path"], str) else None
        unknown |= {"path"} if dataset["content"] is None else set()
    return dataset, unknown


def kind_of(cfg: DictConfig) -> str:
    """The command that a configuration is of."""
    if (target := cfg.get("_target_")) is not None:
        return str(target).rpartition(".")[2].lower()
    return next((name for name, key in TOLD_BY.items() if key in cfg), "train")


def _commands_of(cfg: DictConfig) -> list[Command]:
    """The command of a configuration; all of them where a class that is none takes its place."""
    is_ours = str(cfg.get("_target_", "vae_lab.")).startswith("vae_lab.")
    command = COMMANDS.get(kind_of(cfg)) if is_ours else None
    return list(COMMANDS.values()) if command is None else [command]


def signature(cfg: DictConfig) -> str:
    """Twelve hex digits that name the run: its directory and its id in W&B."""
    return _digest(definition(cfg))


def family(cfg: DictConfig, by_path: bool = False) -> str:
    """The signature without the budget: runs of one family differ in their length alone.

    Selection by validation keeps its budget, since the end of a shorter run is one more candidate there.

    Args:
        cfg: The run's configuration.
        by_path: Whether in the format before this one, which the run's own configuration must be of, too.
    """
    flat = definition(cfg)
    if by_path:
        flat |= {key: value for key, value in flatten(defining(cfg)).items() if key.endswith("_target_")}
        flat["format"] = BY_PATH
    if flat.get("trainer.select") == "last":
        flat = {key: value for key, value in flat.items() if key not in BUDGET}
    return _digest(flat)


def register_signature() -> None:
    """Makes `${signature:}` known, by which Hydra itself names the run's directory."""
    OmegaConf.register_new_resolver("signature", lambda *, _root_: signature(_root_), replace=True)


@cache
def _names() -> set[str]:
    """Names that are no paths: parts of a dataset, and datasets."""
    return {*options_of("dataset"), "train", "validation", "test", "left_out"}


def by_name(value: Any, key: str = "") -> Any:
    """A part of a configuration with the classes of this package named without their modules."""
    if isinstance(value, dict):
        return {name: by_name(item, str(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [by_name(item) for item in value]
    of_package = key.rpartition(".")[2] == "_target_" and str(value).startswith("vae_lab.")
    return str(value).rpartition(".")[2] if of_package else value


def _digest(flat: Flat) -> str:
    return hashlib.sha256(json.dumps(flat, sort_keys=True).encode()).hexdigest()[:12]


def _plain(value: Any) -> Any:
    """Whole floats become integers, so that 1e6 and 1000000 are one budget."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return [_plain(item) for item in value] if isinstance(value, list) else value
