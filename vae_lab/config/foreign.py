"""Configurations in files that somebody else may have written, checked before they are used."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vae_lab.config.trust import check_target
from vae_lab.errors import UserError
from vae_lab.files.paths import CONF

_NAMES = re.compile(r"[\w/@., -]*", re.ASCII)  # of options and their groups, which are names of files
_INTERPOLATION = re.compile(
    r"""\$\{(?: \.*[\w.\[\]-]+                 # of another key
          | oc\.env:VAE_LAB_DATA,[^${}]*
          | oc\.select:[\w.]+,[^${}]* )\}""",
    re.VERBOSE,
)


def read_configuration(path: Path) -> DictConfig:
    """The configuration in a file, which may be a stranger's: what it names is checked before it is used.

    Raises:
        UserError: If it cannot be read, or holds what `check_read` refuses.
    """
    try:
        config = OmegaConf.load(path)
        content = OmegaConf.to_container(config)
        if isinstance(config, DictConfig):
            check_read(content, path)
    except (OSError, ValueError, RecursionError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"{path} cannot be read as a configuration ({_first_line(error)}).") from error
    if not isinstance(config, DictConfig):
        raise UserError(f"{path} must hold a configuration, and holds something else.")
    return config


def read_whole(path: Path) -> DictConfig:
    """The same of a configuration that takes nothing from other files: each of its values can be told.

    Raises:
        UserError: If one cannot, or for what `read` refuses.
    """
    config = read_configuration(path)
    try:
        OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{path} cannot be read as a configuration ({_first_line(error)}).") from error
    return config


def check_read(config: Any, where: Path) -> None:
    """Checks the classes and the interpolations of a configuration that was read from a file.

    Raises:
        UserError: If a class is not allowed, or a value is taken from outside the file.
    """
    for key, name, value in _values(config):
        if name == "_target_":
            try:
                check_target(value, key)
            except UserError as error:
                raise UserError(f"{where}: {error}") from None
        left = " ".join(_INTERPOLATION.sub("", text) for text in (name, value) if isinstance(text, str))
        if "${" in left:
            raise UserError(f"{where}: {key}.{name}={value} reads the environment; write the value instead.")
        if "$" in left:  # which may become an interpolation once it is beside other text
            raise UserError(f"{where}: {key}.{name}={value} must hold no $ but in ${{key}}.")
        if not isinstance(value, str | int | float | dict | list | None):
            raise UserError(f"{where}: {key}.{name} must be a plain value, got {value!r}.")


def check_files_of(command: str, words: Sequence[str]) -> None:
    """Checks the files that a command line adds to the configuration, by Hydra's flags or `hydra.searchpath`.

    Args:
        command: What the user typed after `vae-lab`.
        words: What came after that.

    Raises:
        UserError: If one holds what `check_read` refuses, or sets something of Hydra's own.
    """
    flags, _ = get_args_parser().parse_known_args(words)
    if flags.experimental_rerun is not None:
        raise UserError("--experimental-rerun reads a pickle, which can run programs; use --config-path.")
    words = [word if ".." in word else word.partition("=")[0] for word in flags.overrides]
    searched = _searched(flags.overrides)
    for folder in searched:
        if not os.path.isdir(folder):
            raise UserError(f"hydra.searchpath: there is no folder {folder}.")
    folders = list(map(Path, filter(None, [flags.config_dir, *searched])))
    name = str(flags.config_name or command).removesuffix(".yaml")
    primary = Path(flags.config_path or CONF, f"{name}.yaml")
    if primary.parent.resolve() != CONF.resolve() and primary.is_file():
        words.append(check_option_file(primary, primary.parent))
        folders += [primary.parent, Path(flags.config_path or primary.parent)]
    others = [folder for folder in dict.fromkeys(folders) if folder.resolve() != CONF.resolve()]
    _check_options(others, " ".join(words).lower())


def _searched(overrides: Iterable[str]) -> list[str]:
    """The folders that `hydra.searchpath` names; packages are named by the user."""
    values = [word.partition("=")[2] for word in overrides if "hydra.searchpath" in word.partition("=")[0]]
    paths = [path.strip("[]'\" ") for value in values for path in value.split(",")]
    return [path.removeprefix("file://") for path in paths if path and not path.startswith("pkg://")]


def _check_options(folders: Iterable[Path], named: str) -> None:
    """Checks the options in folders that can be chosen; what else is there, as results, may hold anything.

    Args:
        folders: In which Hydra looks for options.
        named: What the command line and the configuration choose, in small letters, which not all disks tell
            from others; what they choose may name further ones.
    """
    usual = {"hydra", *(path.stem for path in CONF.iterdir())}
    others = [(path, folder) for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]
    while chosen := [pair for pair in others if pair[0].stem in usual or pair[0].stem.lower() in named]:
        for path, folder in chosen:
            others.remove((path, folder))
            for each in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if each.is_symlink() and each.is_dir():
                    raise UserError(f"{each} is a link to a folder; put the folder itself there.")
                if each.suffix in (".yaml", ".yml"):
                    named += check_option_file(each, folder)


def check_option_file(path: Path, root: Path) -> str:
    """Checks an option in a folder of options; gives what it chooses itself.

    Raises:
        UserError: If the file cannot be read, names a class that is not allowed, or sets anything of Hydra's.
    """
    config = read_configuration(path)
    content: Any = OmegaConf.to_container(config)
    defaults = " ".join(_texts(content.get("defaults")))
    if not _NAMES.fullmatch(defaults) or ".." in defaults:
        raise UserError(f"{path}: its defaults must be names of options, got {defaults}.")
    header = [line for line in path.read_text().splitlines() if "@package" in line]
    parts = path.relative_to(root).parts[:-1]
    if any("hydra" in text for text in (*map(str, config), defaults, *header, *parts)):
        raise UserError(f"{path} sets hydra, which can start programs; take that out of the file.")
    return f" {defaults.lower()}"


def _texts(node: Any) -> list[str]:
    """All names and values in a list of defaults, as they are written."""
    pairs = [pair for _, *pair in _values(node)]
    return [str(item) for pair in pairs for item in pair if not isinstance(item, dict | list | None)]


def _values(node: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Key, name and value of everything in a nested configuration."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in items:
        yield key, name, value
        yield from _values(value, f"{key}.{name}" if key else str(name))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
