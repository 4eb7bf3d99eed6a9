"""Groups of options in `conf/`, this package's and those of plug-ins, and the options of each."""

from functools import cache
from pathlib import Path

from vae_lab.config.plugins import conf_folders


def groups() -> list[str]:
    """The groups of options, such as `model/encoder`."""
    return sorted(_options(tuple(conf_folders())))


def options_of(group: str) -> list[str]:
    """The options of a group, such as `mnist` of `dataset`."""
    return sorted(_options(tuple(conf_folders())).get(group, {}))


def option_file(group: str, option: str) -> Path:
    """The file of an option that there is."""
    return _options(tuple(conf_folders()))[group][option]


@cache
def _options(folders: tuple[Path, ...]) -> dict[str, dict[str, Path]]:
    """The file of each option, by group."""
    options: dict[str, dict[str, Path]] = {}
    for folder in folders:
        for path in folder.rglob("*.yaml"):
            if (group := str(path.parent.relative_to(folder))) != ".":
                options.setdefault(group, {})[path.stem] = path
    return options
