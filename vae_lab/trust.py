"""Which classes a configuration may name, and what a configuration that was read from a file may hold.

A class named by `_target_` is imported and called, so a configuration is a program. Allowed are the classes
of this package, those of `torch.optim`, and what the user has named; all else is refused before it is
imported. `docs/security.md` is the page for users.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vae_lab.errors import UserError
from vae_lab.files import write_atomically
from vae_lab.paths import CONF, ROOT, SWEEPS

VARIABLE = "VAE_LAB_TRUST"  # packages and classes of the user's, separated by commas
PACKAGES = ("vae_lab", "torch.optim")
FACTORIES = ("vae_lab.build.build_vae", "vae_lab.build.build_autoregressive")  # functions beside the classes

_FILE = re.compile(r"file://([^,'\"\]\s]+)")
_DOTTED = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)+")
_NAMED = re.compile(rf"""_target_['"]?\s*:\s*['"]?({_DOTTED.pattern})|^[^=]*_target_=(.*)""")
_INTERPOLATION = re.compile(
    r"""\$\{(?: \.*[\w.\[\]-]+                 # of another key
          | oc\.env:VAE_LAB_DATA,[^${}]*
          | oc\.select:[\w.]+,[^${}]* )\}""",
    re.VERBOSE,
)
_arguments: ContextVar[tuple[str, ...]] = ContextVar("trust", default=())


def find(target: Any, key: str) -> Callable[..., Any]:
    """The class or the factory that a `_target_` names, imported only if that is allowed.

    Args:
        target: The dotted path.
        key: The key of its node, for messages.

    Raises:
        UserError: If it is not allowed, or names nothing that can be imported.
    """
    package = check_target(target, key)
    try:
        found = resolve_name(target) if package == target else _located(target, package)
    except Exception as error:
        raise UserError(f"{_at(key)} names nothing that can be imported: {target}.") from error
    named_in_full = package == target and callable(found)
    defined_there = isinstance(found, type) and _is_below(found.__module__, package)
    if not (named_in_full or defined_there or target in FACTORIES):
        raise UserError(f"{_at(key)} must be a class that {package} defines, got {target}.")
    return found


def check_target(target: Any, key: str) -> str:
    """The name that allows a `_target_`: of the package that it lies in, or its own; imports nothing.

    Raises:
        UserError: If it is not allowed.
    """
    if not isinstance(target, str) or "." not in target:
        raise UserError(f"{_at(key)} must be the dotted path of a class, got {target!r}.")
    for names in (lambda: PACKAGES, lambda: [*_named_by_user(), *_named_in_configuration()]):
        if package := max((name for name in names() if _is_below(target, name)), default=""):
            return package
    root = target.partition(".")[0]
    raise UserError(
        f"{_at(key)}={target} is neither of vae_lab nor of torch.optim; if {root} is a package of your own, "
        f"set {VARIABLE}={root}."
    )


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
        if isinstance(value, str) and "${" in _INTERPOLATION.sub("", value):
            raise UserError(f"{where}: {key}.{name}={value} reads the environment; write the value instead.")


def read(path: Path) -> DictConfig:
    """The configuration in a file, which may be a stranger's: what it names is checked before it is used.

    Raises:
        UserError: If it cannot be read, or holds what `check_read` refuses.
    """
    try:
        config = OmegaConf.load(path)
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"{path} cannot be read as a configuration ({_first_line(error)}).") from error
    if not isinstance(config, DictConfig):
        raise UserError(f"{path} must hold a configuration, and holds something else.")
    check_read(OmegaConf.to_container(config), path)
    return config


def named_in(words: Iterable[str]) -> list[str]:
    """The dotted paths that words of a command line give to a `_target_`.

    Example:
        >>> named_in(["estimator._target_=mine.A,mine.B", "+model.prior={_target_: other.C}", "seed=1"])
        ['mine.A', 'mine.B', 'other.C']
    """
    values = [match[1] or match[2] for word in words for match in _NAMED.finditer(word)]
    found = [name for value in values for name in _DOTTED.findall(value)]
    return [name for name in found if not any(_is_below(name, package) for package in PACKAGES)]


@contextmanager
def trusting(names: Iterable[str]) -> Iterator[None]:
    """Allows further packages and classes, within a `with` block of this process."""
    token = _arguments.set((*_arguments.get(), *names))
    try:
        yield
    finally:
        _arguments.reset(token)


@contextmanager
def typed(command: str, words: Sequence[str]) -> Iterator[None]:
    """Allows what the words after `vae-lab <command>` name, here and in the processes that this one starts.

    Files that the words add to the configuration are checked. What was named is remembered after a success.

    Raises:
        UserError: If such a file holds what it must not.
    """
    before, names = os.environ.get(VARIABLE), named_in(words)
    if names:
        os.environ[VARIABLE] = ",".join(dict.fromkeys([*_listed(before or ""), *names]))
    try:
        check_files_of(command, words)
        _leave_out_current_folder()
        yield
        _remember(names)
    finally:
        os.environ.pop(VARIABLE, None)
        os.environ |= {VARIABLE: before} if before is not None else {}


def exported() -> dict[str, str]:
    """The environment variable for processes that do not inherit this one's environment."""
    return {VARIABLE: os.environ[VARIABLE]} if VARIABLE in os.environ else {}


def check_files_of(command: str, words: Sequence[str]) -> None:
    """Checks the files that a command line adds to the configuration, by Hydra's flags or `hydra.searchpath`.

    Raises:
        UserError: If one holds what `check_read` refuses, or sets something of Hydra's own.
    """
    name = _given(words, "--config-name", "-cn") or command
    primary = Path(_given(words, "--config-path", "-cp") or CONF, f"{name.removesuffix('.yaml')}.yaml")
    if primary.parent.resolve() != CONF.resolve() and primary.is_file():
        _check_file(primary, primary.parent)
        folders = [path for path in primary.parent.iterdir() if path.is_dir()]  # of options
        for folder in [primary.parent] if "defaults" in read(primary) else folders:
            _check_folder(folder, primary.parent)
    searched = [path for word in words if "hydra.searchpath" in word for path in _FILE.findall(word)]
    for folder in map(Path, filter(None, [_given(words, "--config-dir", "-cd"), *searched])):
        if folder.resolve() not in (CONF.resolve(), ROOT.resolve()):
            _check_folder(folder, folder)


def _leave_out_current_folder() -> None:
    """Keeps started processes from looking for modules in the current folder, where this one does not."""
    if not {"", os.getcwd()} & set(sys.path):
        os.environ["PYTHONSAFEPATH"] = "1"


def _given(words: Sequence[str], *flags: str) -> str:
    """The value of one of Hydra's flags, the last if there are several; "" if there is none."""
    pairs = [*(word.partition("=")[::2] for word in words), *pairwise(words)]
    return next((value for name, value in reversed(pairs) if name in flags and value), "")


def _check_folder(folder: Path, root: Path) -> None:
    for path in sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")]):
        _check_file(path, root)


def _check_file(path: Path, root: Path) -> None:
    """Checks an option in a folder of options."""
    config = read(path)
    defaults = str(config.get("defaults", ""))
    if "${" in defaults or ".." in defaults:
        raise UserError(f"{path}: its defaults must be names of options, got {defaults}.")
    header = [line for line in path.read_text().splitlines() if "@package" in line]
    if any("hydra" in text for text in (*config, defaults, *header, *path.relative_to(root).parts[:-1])):
        raise UserError(f"{path} sets hydra, which can start programs; take that out of the file.")


def _remember(names: Iterable[str]) -> None:
    """Adds names to a file of the user's, so that what was made with them can be used later."""
    with suppress(OSError, RuntimeError):  # without a home, or where it cannot be written
        store, known = _store(), _remembered()
        if new := [name for name in dict.fromkeys(names) if name not in known]:
            store.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(store, "\n".join([*known, *new]) + "\n")
            print(f"note: {', '.join(new)} is trusted from now on; {store} holds the list.")


def _named_by_user() -> list[str]:
    return [*_arguments.get(), *_listed(os.environ.get(VARIABLE, "")), *_remembered()]


def _remembered() -> list[str]:
    try:
        return _listed(_store().read_text())
    except (OSError, RuntimeError, ValueError):
        return []


def _store() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "vae_lab" / "trust"


def _listed(text: str) -> list[str]:
    """The names in a text, separated by commas or lines."""
    return [name for name in re.split(r"[,\s]+", text) if name]


@cache
def _named_in_configuration() -> tuple[str, ...]:
    """What the files of `conf/` and `sweeps/` name: they are a part of the installation."""
    paths = [path for folder in (CONF, SWEEPS) for path in sorted(folder.rglob("*.yaml"))]
    return tuple(named_in(line for path in paths for line in path.read_text().splitlines()))


def _located(target: str, package: str) -> Any:
    """The object that a dotted path names, or the first module on its way that lies outside the package."""
    found: Any = import_module(package)
    path = package
    for part in target.removeprefix(f"{package}.").split("."):
        path = f"{path}.{part}"
        if isinstance(found, ModuleType) and not hasattr(found, part):
            found = import_module(path)
        else:
            found = getattr(found, part)
        if isinstance(found, ModuleType) and not _is_below(found.__name__, package):
            break
    return found


def _at(key: str) -> str:
    return f"{key}._target_" if key else "_target_"


def _is_below(name: Any, package: str) -> bool:
    return name == package or str(name).startswith(f"{package}.")


def _values(node: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Key, name and value of everything in a nested configuration."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in items:
        yield key, name, value
        yield from _values(value, f"{key}.{name}" if key else str(name))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
