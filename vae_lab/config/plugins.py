"""Plug-ins: packages and folders of the user's, with options, sweeps and classes of their own.

A plug-in is a folder that holds `conf/`, laid out as that of this package, or `sweeps/`, and the packages
and modules whose classes they name. `docs/your-own.md` is the page for users.
"""

import os
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from vae_lab.errors import UserError
from vae_lab.files.paths import CONF, SWEEPS

ENTRY_POINTS = "vae_lab.conf"  # a group; the value of each is the name of a package
VARIABLE = "VAE_LAB_PLUGINS"  # folders, and names of packages, separated as those of PATH
FILE = "vae_lab.toml"  # of the working folder: plugins = ["folder", "package"]


class Plugin(NamedTuple):
    """A plug-in.

    Args:
        name: Its package if that is installed, else its folder; names it in `VAE_LAB_PLUGINS`.
        folder: Holds `conf/` and `sweeps/`.
        packages: Packages and modules that its classes may be of.
        python_path: The folder in which Python must look for them; None for what is installed.
    """

    name: str
    folder: Path
    packages: tuple[str, ...]
    python_path: Path | None

    @property
    def conf(self) -> Path:
        """The folder of its options."""
        return self.folder / "conf"

    @property
    def sweeps(self) -> Path:
        """The folder of its sweeps."""
        return self.folder / "sweeps"


class Found(NamedTuple):
    """The plug-ins that can be used, and a sentence for each that cannot."""

    plugins: tuple[Plugin, ...]
    troubles: tuple[str, ...]


def plugins() -> tuple[Plugin, ...]:
    """The plug-ins of this process, in the order in which they were named.

    Left out is one that is not there, holds nothing, or has an option or a sweep of a name that is taken.
    """
    return _found(os.environ.get(VARIABLE, ""), os.getcwd()).plugins


def activate() -> tuple[str, ...]:
    """Makes the plug-ins known to this process and to those that it starts, their packages included.

    Returns:
        A sentence for each plug-in that is left out.
    """
    usable, troubles = _found(os.environ.get(VARIABLE, ""), os.getcwd())
    for plugin in usable:
        if plugin.python_path is not None and str(plugin.python_path) not in sys.path:
            sys.path.append(str(plugin.python_path))
    if usable:
        os.environ[VARIABLE] = os.pathsep.join(plugin.name for plugin in usable)
    return troubles


def conf_folders() -> list[Path]:
    """The folders of options: this package's, and those of the plug-ins."""
    return [CONF, *(plugin.conf for plugin in plugins() if plugin.conf.is_dir())]


def sweep_folders() -> list[Path]:
    """The folders of sweeps: this package's, and those of the plug-ins."""
    return [SWEEPS, *(plugin.sweeps for plugin in plugins())]


def sweep_files() -> list[Path]:
    """The files of the sweeps that have a name: this package's, then those of the plug-ins."""
    return [path for folder in sweep_folders() for path in sorted(folder.glob("*.yaml"))]


@cache
def _found(variable: str, working_folder: str) -> Found:
    beside = Path(working_folder)
    usable: dict[Path, Plugin] = {}
    refusals: list[UserError] = []
    makers = [*_installed(), *_named(variable, beside)]
    try:
        makers += [partial(_of, name, beside, FILE) for name in names_in(beside / FILE)]
    except UserError as error:
        refusals.append(error)
    for make in makers:
        try:
            plugin = make()
            folder = plugin.folder.resolve()
            if folder not in usable:
                _check_names(plugin, usable.values())
                usable[folder] = plugin
        except UserError as error:
            refusals.append(error)
    notes = (f"{str(error).removesuffix('.')}; this plug-in is left out." for error in refusals)
    return Found(tuple(usable.values()), tuple(notes))


def _installed() -> Iterator[Callable[[], Plugin]]:
    for point in entry_points(group=ENTRY_POINTS):
        of = f" of {point.dist.name}" if point.dist is not None else ""
        yield partial(_of_package, point.value, f"the entry point {point.name}{of}")


def _named(variable: str, beside: Path) -> Iterator[Callable[[], Plugin]]:
    for name in filter(None, variable.split(os.pathsep)):
        yield partial(_of, name, beside, VARIABLE)


def names_in(path: Path) -> list[str]:
    """The names of plug-ins in a file; none if there is no file.

    Raises:
        UserError: If the file cannot be read, or holds anything else.
    """
    if not path.is_file():
        return []
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}).") from error
    names = content.pop("plugins", [])
    if content or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f'{path} must hold plugins = ["folder or package", ...] and nothing else.')
    return names


def _of(name: str, beside: Path, source: str) -> Plugin:
    folder = beside / Path(name).expanduser()
    if folder.is_dir():
        return _of_folder(folder.resolve(), f"{source}: {name}")
    if os.sep in name or name.startswith((".", "~")):
        raise UserError(f"{source}: there is no folder {name} (seen from {beside}).")
    return _of_package(name, source)


def _of_folder(folder: Path, source: str) -> Plugin:
    _check_content(folder, source)
    if (folder / "__init__.py").is_file():  # a package itself, whose parent Python looks into
        return Plugin(str(folder), folder, (folder.name,), folder.parent)
    packages = [path.parent.name for path in folder.glob("*/__init__.py")]
    modules = [path.stem for path in folder.glob("*.py")]
    return Plugin(str(folder), folder, tuple(sorted({*packages, *modules} - {"conf", "sweeps"})), folder)


def _of_package(name: str, source: str) -> Plugin:
    try:
        spec = find_spec(name.partition(".")[0])  # imports nothing
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"{source}: there is no folder and no package {name}; install it, or name its folder."
        )
    folder = Path(next(iter(spec.submodule_search_locations)), *name.split(".")[1:])
    _check_content(folder, f"{source}: {name}")
    return Plugin(name, folder, (name.partition(".")[0],), None)


def _check_content(folder: Path, source: str) -> None:
    if not any((folder / name).is_dir() for name in ("conf", "sweeps")):
        raise UserError(f"{source}: {folder} is no plug-in; a plug-in holds conf/ or sweeps/.")


def _check_names(plugin: Plugin, others: Iterable[Plugin]) -> None:
    """Checks that no option and no sweep of a plug-in has the name of one that there is."""
    for folder, taken in (
        (plugin.conf, [CONF, *(other.conf for other in others)]),
        (plugin.sweeps, [SWEEPS, *(other.sweeps for other in others)]),
    ):
        for path in sorted(folder.rglob("*.yaml")):
            if same := [place for each in taken if (place := each / path.relative_to(folder)).is_file()]:
                raise UserError(f"{path} has the name of {same[0]}; rename the file.")
