"""`vae-lab sweep`."""

import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table
from yaml import YAMLError

from vae_lab.cli.commands import main_of
from vae_lab.config.explain import exit_if_explained
from vae_lab.config.overrides import literal
from vae_lab.config.plugins import sweep_files
from vae_lab.config.schema import TRAINING_GROUPS
from vae_lab.errors import UserError
from vae_lab.files.paths import CONF
from vae_lab.sweep import files, manifest
from vae_lab.sweep.axes import ROLES, values_of
from vae_lab.sweep.launchers.with_parent import die_with_parent

SHARED_KEYS = (
    "hydra",
    "output_dir",
    "logger",
    "sweep.anew",
)  # of a sweep and of the one that trains its models
TRAINING_KEYS = ("dataset", "model", "seed", "experiment", *TRAINING_GROUPS)


def main() -> None:
    """Runs a named sweep, as Hydra's multirun of the command that its file names; lists them without a name.

    Raises:
        UserError: If there is no such sweep.
    """
    arguments = sys.argv[1:]
    if not arguments or {"-h", "--help", "-l", "--list"} & set(arguments):
        return _list()
    if flags := [word for word in arguments if word.startswith("-")]:
        raise UserError(f"{flags[0]} is not understood; a sweep takes its name, group=option and key=value.")
    with files.located(arguments[0]) as (name, path):
        _run(name, path, arguments[1:])


def _run(name: str, path: Path, overrides: Sequence[str]) -> None:
    settings = _settings(path)
    command, models = settings.get("command", "train"), settings.get("models")
    own, of_models = _parted(models, overrides) if models else (overrides, [])
    sys.argv[1:] = [
        "--multirun",
        f"hydra.searchpath={literal([f'file://{path.parent.parent}'])}",
        f"+sweeps={name}",
        f"sweep.name={name}",
        *([f"runs={models}"] if models else []),
        *(_restricting(override, settings) for override in own),
    ]
    try:
        main = main_of(command)
        if models:
            _compose(command, sys.argv[2:])  # tells of a mistake before the models are trained
            _train(models, of_models)
        main()
    except Exception as error:
        exit_if_explained(error, "sweep", command)
        raise


def _parted(models: str, overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """The overrides of a sweep that goes over another one's runs, and those of the trainings of these.

    The trainings get what is theirs: a choice on their axes, and what both have, as launchers are. Of what
    only a training has, such as its budget, the other sweep knows nothing.
    """
    path = files.sweep_file(models)
    if path is None:
        raise UserError(f"sweep.models={models} is not a sweep.")
    settings = _settings(path)
    axes = {axis for role in ROLES for axis in settings.get(role) or {}}
    keys = {override: override.partition("=")[0] for override in overrides}
    shared = [word for word, key in keys.items() if key in axes or key.startswith(SHARED_KEYS)]
    trainings = [word for word, key in keys.items() if key.split(".")[0].split("/")[0] in TRAINING_KEYS]
    return [word for word in overrides if word not in trainings], [*shared, *trainings]


def _compose(command: str, words: Sequence[str]) -> None:
    """Composes a command's configuration but for what varies."""
    parser = OverridesParser.create()
    fixed = [word for word in words if not parser.parse_override(word).is_sweep_override()]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        compose(command, fixed)


def _train(models: str, overrides: Sequence[str]) -> None:
    """Runs the sweep of trainings that another one goes over.

    Raises:
        UserError: If a training failed.
    """
    command = [sys.executable, "-m", "vae_lab", "sweep", models, *overrides]
    die = partial(die_with_parent, os.getpid())
    if subprocess.run(command, check=False, preexec_fn=die).returncode:
        raise UserError(f"the trainings of sweep {models} have not all been done; see above.")


def _restricting(override: str, settings: Mapping[str, Any]) -> str:
    """The override as Hydra takes it: the name of an axis of paired values is no key of the configuration."""
    key, _, values = override.partition("=")
    paired = any(isinstance((settings.get(role) or {}).get(key), Mapping) for role in ROLES)
    return f"+sweep.only.{key}=[{values.strip('[]')}]" if paired else override


def _list() -> None:
    print("usage: vae-lab sweep NAME [group=option ...] [key=value ...]\n")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("sweep", no_wrap=True)
    table.add_column("runs", justify="right")
    table.add_column("done", justify="right")
    table.add_column("question")
    for path in sweep_files():
        settings = _settings(path)
        runs = math.prod(
            len(values_of(*axis)) for role in ROLES for axis in (settings.get(role) or {}).items()
        )
        table.add_row(path.stem, str(runs), _done(path.stem), manifest.question(path))
    Console(highlight=False).print(table)


def _done(name: str) -> str:
    """How many runs of the sweep are done here, as far as it has been begun."""
    directory = Path("outputs", "sweeps", name)
    if not (directory / manifest.FILE).is_file():
        return ""
    try:
        entries = manifest.read_manifest(directory).entries
    except UserError:
        return "damaged"
    return str(sum(entry.is_done for entry in entries))


def _settings(path: Path) -> Mapping[str, Any]:
    try:
        node: Any = OmegaConf.to_container(OmegaConf.load(path))
    except (OSError, ValueError, YAMLError) as error:
        raise UserError(f"{path.name} cannot be read as YAML: {str(error).splitlines()[0]}.") from error
    if not isinstance(node, dict) or not isinstance(node.get("sweep"), dict):
        raise UserError(f"{path.name} is not the file of a sweep: sweep, with its axes, is missing.")
    settings: Mapping[str, Any] = node["sweep"]
    return settings
