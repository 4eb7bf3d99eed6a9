"""The sources behind a result, found by reading imports; nothing is imported to find them.

A source counts by its syntax tree: comments, docstrings and layout leave its hash as it is.
"""

import ast
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

# What no number depends on: neither hashed nor followed.
WITHOUT_NUMBERS = (
    "vae_lab.cli",
    "vae_lab.config",
    "vae_lab.errors",
    "vae_lab.files.export",
    "vae_lab.files.ownership",
    "vae_lab.files.paths",
    "vae_lab.reproductions",
    "vae_lab.runs",
    "vae_lab.sweep",
    "vae_lab.tracking",
    "vae_lab.training.hints",
    "vae_lab.training.not_finite",
    "vae_lab.training.offer",
    "vae_lab.training.options",
    "vae_lab.training.progress",
)
FIGURES = "figures"  # a module of this name, or a folder, draws numbers and makes none
DIGITS = 16  # of a hash


class Module(NamedTuple):
    """The content of a source.

    Args:
        digest: Hash of its syntax tree.
        file: Hash of all that is in it.
        imports: Modules with the name taken from each, or None for the whole.
        exports: What a package only hands on, by name.
        only_exports: Whether it does nothing else.
    """

    digest: str
    file: str
    imports: list[tuple[str, str | None]]
    exports: dict[str, tuple[str, str | None]]
    only_exports: bool


_remembered: dict[Path, Module] = {}


def remember_sources(package: str) -> None:
    """Keeps how a package's sources are now, for a process that has imported them and lives on."""
    place = _place(package)
    if place is not None:
        for path in place.parent.rglob("*.py"):
            inner = path.relative_to(place.parent.parent).with_suffix("").parts
            name = ".".join(inner[:-1] if inner[-1] == "__init__" else inner)
            _remembered[path] = _read(path, name)


def behind(targets: Mapping[str, str], apart: Sequence[str] = ()) -> dict[str, dict[str, str]]:
    """The sources of this package and of the user's that objects come from.

    Args:
        targets: The dotted path of each object, by the name of its part.
        apart: Modules and packages that are left out unless they are targets.

    Returns:
        Part and hash of each source, and the hash of its whole file, by its path inside the folder that holds
        its package.
    """
    sources: dict[str, dict[str, str]] = {}
    seen: set[str] = set()
    homes = {part: _home(*_split(target)) for part, target in targets.items()}
    named = {home: part for part, home in reversed(homes.items())}
    for part, first in homes.items():
        waiting = [first]
        while waiting:
            name = waiting.pop()
            left_out = (*WITHOUT_NUMBERS, *(() if name == first else apart))
            if name is None or name in seen or _is_among(name, left_out):
                continue
            seen.add(name)
            place = _place(name)
            if place is None or not place.is_file():
                continue
            module = _read(place, name)
            sources[_path(name, place)] = {
                "part": named.get(name, part),
                "hash": module.digest,
                "file": module.file,
            }
            waiting += [_home(*each) for each in module.imports]
            waiting += _active_packages(name)
    return sources


def is_as(path: str, recorded: Mapping[str, str]) -> bool:
    """Whether a source is as it was recorded by `behind`; its file alone tells, unless that has changed."""
    return _file_of(path) == recorded.get("file", "") or hash_of(path) == recorded["hash"]


def _file_of(path: str) -> str | None:
    """The hash of a source's file, unless an earlier state of it is remembered."""
    place = _place(_name(path))
    with suppress(OSError):
        return None if place is None or place in _remembered else _digest(place.read_bytes())
    return None


def hash_of(path: str) -> str | None:
    """The hash that a source has now, given by its path as in `behind`; None if it cannot be read."""
    name = _name(path)
    place = _place(name)
    try:
        return _read(place, name).digest if place is not None and place.is_file() else None
    except OSError:
        return None


def packages(paths: Iterable[str]) -> Iterator[Path]:
    """The folders of the packages that sources belong to, or the files of those that are one."""
    for top in dict.fromkeys(path.partition("/")[0].removesuffix(".py") for path in paths):
        if (place := _place(top)) is not None:
            yield place.parent if place.name == "__init__.py" else place


def _split(target: str) -> tuple[str, str | None]:
    """A dotted path as the longest module before its last name, and the name in that."""
    words = target.split(".")
    for size in range(len(words) - 1, 0, -1):
        if _place(".".join(words[:size])) is not None:
            return ".".join(words[:size]), words[size]
    return target, None


def _home(module: str, name: str | None = None) -> str | None:
    """The module that a name in a module comes from, through packages that only hand it on."""
    place = _place(module)
    if name and place is not None and place.name == "__init__.py":
        handed_on = _read(place, module).exports.get(name, (module, name))
        if handed_on != (module, name):  # which goes before a module of that name
            return _home(*handed_on)
    if name and _place(f"{module}.{name}") is not None:
        return f"{module}.{name}"
    return module if place is not None else None


def _active_packages(name: str) -> list[str]:
    """The packages around a module whose own source does more than hand on names."""
    words = name.split(".")[:-1]
    around = [".".join(words[:size]) for size in range(1, len(words) + 1)]
    places = [(package, place) for package in around if (place := _place(package)) and place.is_file()]
    return [package for package, place in places if not _read(place, package).only_exports]


def _is_among(name: str, modules: Iterable[str]) -> bool:
    is_named = any(name == each or name.startswith(f"{each}.") for each in modules)
    is_figure = name.startswith("vae_lab.") and FIGURES in name.split(".")
    return name == "vae_lab" or is_named or is_figure


def _name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _path(name: str, place: Path) -> str:
    return name.replace(".", "/") + ("/__init__.py" if place.name == "__init__.py" else ".py")


def _place(name: str) -> Path | None:
    """The file of a module, or the folder of one without; None outside this package and the user's."""
    package, _, last = name.rpartition(".")
    if not package:
        return _top(last)
    parent = _place(package)
    if parent is None or parent.is_file() and parent.name != "__init__.py":
        return None
    folder = parent.parent if parent.is_file() else parent
    choices = (folder / last / "__init__.py", folder / f"{last}.py", folder / last)
    return next((path for path in choices if path.exists()), None)


def _top(name: str) -> Path | None:
    if name in sys.stdlib_module_names:
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.origin is not None:
        place = Path(spec.origin)
        return place if place.suffix == ".py" and (name == "vae_lab" or not _is_installed(place)) else None
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    return next((folder for folder in folders if not _is_installed(folder)), None)


def _is_installed(place: Path) -> bool:
    """Whether it is a library's, known by its version, or Python's."""
    if {"site-packages", "dist-packages"} & set(place.parts):
        return True
    return place.is_relative_to(sysconfig.get_path("stdlib"))


def _read(path: Path, name: str) -> Module:
    if path in _remembered:
        return _remembered[path]
    state = path.stat()
    return _parsed(path, name, state.st_mtime_ns, state.st_size)


@cache
def _parsed(path: Path, name: str, *_: int) -> Module:
    source = path.read_bytes()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return Module(_digest(source), _digest(source), [], {}, False)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    imports = [each for node in ast.walk(tree) for _, each in _imported(node, package)]
    exports = {bound: each for node in tree.body for bound, each in _imported(node, package)}
    quiet = all(isinstance(node, ast.ImportFrom) or _is_quiet(node) for node in tree.body)
    return Module(_digest(repr(_tree(tree)).encode()), _digest(source), imports, exports, quiet)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGITS]


def _imported(node: ast.AST, package: str) -> Iterator[tuple[str, tuple[str, str | None]]]:
    """The names that a statement binds, with the module and the name that each comes from."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.asname or alias.name, (alias.name, None)
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - (node.level - 1)] if node.level else []
        module = ".".join([*above, *([node.module] if node.module else [])])
        for alias in node.names:
            yield alias.asname or alias.name, (module, None if alias.name == "*" else alias.name)


def _is_quiet(node: ast.stmt) -> bool:
    """Whether it is a docstring or the list of what a package exports."""
    if isinstance(node, ast.Assign):
        return [getattr(target, "id", None) for target in node.targets] == ["__all__"]
    return _is_docstring(node)


def _is_docstring(node: Any) -> bool:
    return (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and type(node.value.value) is str
    )


def _tree(node: Any) -> Any:
    """A syntax tree as nested tuples, without positions and docstrings; equal in all versions of Python."""
    if isinstance(node, ast.AST):
        fields = ((name, _tree(getattr(node, name, None))) for name in node._fields)
        return (type(node).__name__, *(pair for pair in fields if pair[1] not in (None, ())))
    if isinstance(node, list):
        return tuple(_tree(item) for item in node if not _is_docstring(item))
    return None if node is None else repr(node)  # by which the number 1 is not the text "1"
