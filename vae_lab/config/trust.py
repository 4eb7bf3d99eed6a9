"""Which classes a configuration may name.

A class named by `_target_` is imported and called, so a configuration is a program. Allowed are the classes
of this package, those of `torch.optim`, and what the user has named; all else is refused before it is
imported. `docs/security.md` is the page for users.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from itertools import accumulate
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType
from typing import Any

from vae_lab.config import plugins
from vae_lab.errors import UserError
from vae_lab.files.writing import write_atomically

VARIABLE = "VAE_LAB_TRUST"  # packages and classes of the user's, separated by commas
PACKAGES = ("vae_lab", "torch.optim")
FACTORIES = (
    "vae_lab.training.build_model.build_vae",
    "vae_lab.training.build_model.build_autoregressive",
)  # functions beside the classes

# Where what runs of an earlier version name is now.
MOVED = {
    "vae_lab.alternatives": "vae_lab.models.alternatives",
    "vae_lab.build": "vae_lab.training.build_model",
    "vae_lab.evaluation.annealed_importance_sampling": "vae_lab.inference.annealed",
    "vae_lab.evaluation.settings": "vae_lab.training.evaluation",
    "vae_lab.likelihoods": "vae_lab.models.likelihoods",
    "vae_lab.networks": "vae_lab.models.networks",
    "vae_lab.optimizers": "vae_lab.training.optimizers",
    "vae_lab.posteriors": "vae_lab.models.posteriors",
    "vae_lab.priors": "vae_lab.models.priors",
    "vae_lab.probing": "vae_lab.probe.settings",
    "vae_lab.sobol": "vae_lab.noise.sobol",
    "vae_lab.uses.Embed": "vae_lab.applications.embed.Embed",
    "vae_lab.uses.Evaluate": "vae_lab.applications.evaluate.Evaluate",
    "vae_lab.uses.Explore": "vae_lab.applications.explore.Explore",
    "vae_lab.uses.Generate": "vae_lab.applications.generate.Generate",
    "vae_lab.uses.Impute": "vae_lab.applications.impute.Impute",
    "vae_lab.uses.Outliers": "vae_lab.applications.outliers.Outliers",
}

_DOTTED = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)+")
_NAMED = re.compile(
    rf"""(?:^[\s-]*|[{{,]\s*)['"]?_target_['"]?\s*:\s*['"]?({_DOTTED.pattern})|^[^=]*_target_=(.*)"""
)
_arguments: ContextVar[tuple[str, ...]] = ContextVar("trust", default=())


def find_target(target: Any, key: str) -> Callable[..., Any]:
    """The class or the factory that a `_target_` names, imported only if that is allowed.

    Args:
        target: The dotted path.
        key: The key of its node, for messages.

    Raises:
        UserError: If it is not allowed, or names nothing that can be imported.
    """
    package = check_target(target, key)
    target = moved(target)
    try:
        factory = resolve_name(target) if package == target else _located(target, package)
    except Exception as error:
        raise UserError(f"{_at(key)}={target} cannot be imported: {_reason(target)}.") from error
    named_in_full = package == target and callable(factory)
    defined_there = isinstance(factory, type) and _is_below(factory.__module__, package)
    if not (named_in_full or defined_there or target in FACTORIES):
        raise UserError(f"{_at(key)} must be a class that {package} defines, got {target}.")
    return factory


def moved(target: str) -> str:
    """A dotted path, or the one by which this version knows what an earlier one had there.

    Example:
        >>> moved("vae_lab.networks.MLP"), moved("mypackage.Mine")
        ('vae_lab.models.networks.MLP', 'mypackage.Mine')
    """
    old = next((old for old in MOVED if _is_below(target, old)), target)
    return MOVED.get(old, old) + target.removeprefix(old)


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


def named_in(words: Iterable[str]) -> list[str]:
    """The dotted paths that words of a command line give to a `_target_`.

    Example:
        >>> named_in(["estimator._target_=mine.A,mine.B", "+model.prior={_target_: other.C}", "seed=1"])
        ['mine.A', 'mine.B', 'other.C']
    """
    values = [match[1] or match[2] for word in words for match in _NAMED.finditer(word)]
    names = [name for value in values for name in _DOTTED.findall(value)]
    return [name for name in names if not any(_is_below(name, package) for package in PACKAGES)]


@contextmanager
def trusting(names: Iterable[str]) -> Iterator[None]:
    """Allows further packages and classes, within a `with` block of this process."""
    token = _arguments.set((*_arguments.get(), *names))
    try:
        yield
    finally:
        _arguments.reset(token)


@contextmanager
def typed(words: Iterable[str]) -> Iterator[None]:
    """Allows what the words of a command line name, here and in the processes that this one starts.

    What was named is remembered after a success.
    """
    before, names = os.environ.get(VARIABLE), named_in(words)
    if names:
        os.environ[VARIABLE] = ",".join(dict.fromkeys([*_listed(before or ""), *names]))
    try:
        yield
        _remember(names)
    finally:
        os.environ.pop(VARIABLE, None)
        os.environ |= {VARIABLE: before} if before is not None else {}


def exported() -> dict[str, str]:
    """The environment variables for processes that do not inherit this one's environment."""
    return {name: os.environ[name] for name in (VARIABLE, plugins.VARIABLE) if name in os.environ}


def _remember(names: Iterable[str]) -> None:
    """Adds names to a file of the user's, so that what was made with them can be used later."""
    with suppress(OSError, RuntimeError):  # without a home, or where it cannot be written
        store, known = _store(), _remembered()
        if new := [name for name in dict.fromkeys(names) if name not in known]:
            store.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(store, "\n".join([*known, *new]) + "\n")
            print(f"note: {', '.join(new)} is trusted from now on; {store} holds the list.")


def _named_by_user() -> list[str]:
    of_plugins = [package for plugin in plugins.plugins() for package in plugin.packages]
    return [*_arguments.get(), *_listed(os.environ.get(VARIABLE, "")), *of_plugins, *_remembered()]


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


def _named_in_configuration() -> tuple[str, ...]:
    """Targets in the files of `conf/` and `sweeps/`: of the installation, and of plug-ins."""
    return _named_below((*plugins.conf_folders(), *plugins.sweep_folders()))


@cache
def _named_below(folders: tuple[Path, ...]) -> tuple[str, ...]:
    paths = [path for folder in folders for path in sorted(folder.rglob("*.yaml"))]
    return tuple(named_in(line for path in paths for line in path.read_text().splitlines()))


def _located(target: str, package: str) -> Any:
    """The object that a dotted path names, or the first module on its way that lies outside the package."""
    located: Any = import_module(package)
    path = package
    for part in target.removeprefix(f"{package}.").split("."):
        path = f"{path}.{part}"
        if isinstance(located, ModuleType) and not hasattr(located, part):
            located = import_module(path)
        else:
            located = getattr(located, part)
        if isinstance(located, ModuleType) and not _is_below(located.__name__, package):
            break
    return located


def _reason(target: str) -> str:
    """Why nothing was found: what a module on the way raises, which `resolve_name` hides, comes first."""
    root, *names = target.split(".")
    last = ""
    for module in accumulate([root, *names[:-1]], "{}.{}".format):
        try:
            import_module(module)
        except ModuleNotFoundError as missing:
            if missing.name == root:
                return f"there is no package {root}; install it, or set PYTHONPATH=<the folder that has it>"
            if missing.name != module:
                return str(missing)
            break
        except Exception as raised:
            return f"{type(raised).__name__}: {raised}"
        last = module
    return f"{last} has no {target.removeprefix(last + '.')}"


def _at(key: str) -> str:
    return f"{key}._target_" if key else "_target_"


def _is_below(name: Any, package: str) -> bool:
    return name == package or str(name).startswith(f"{package}.")
