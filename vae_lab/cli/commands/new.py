"""`vae-lab new`."""

import keyword
import sys
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import NamedTuple

from vae_lab.config import plugins
from vae_lab.config.options import options_of
from vae_lab.config.plugins import FILE, sweep_files
from vae_lab.errors import UserError, did_you_mean
from vae_lab.files.writing import near, write_atomically

TEMPLATES = Path(__file__).parent.parent / "templates"
FOLDER = "parts"  # of parts of a user's own, where there is none yet
USAGE = "usage: vae-lab new KIND NAME, such as vae-lab new estimator mine"


class Kind(NamedTuple):
    """A kind of part that can be begun from a template.

    Args:
        groups: The groups of its option; none of a sweep.
        words: Of the command that judges one, with `{name}`.
    """

    groups: tuple[str, ...]
    words: str


KINDS = {
    "estimator": Kind(("estimator",), "check estimator={name}"),
    "baseline": Kind(("estimator/baseline",), "check estimator=score_function estimator/baseline={name}"),
    "likelihood": Kind(("model/likelihood",), "check model/likelihood={name}"),
    "posterior": Kind(("model/posterior",), "check model/posterior={name}"),
    "network": Kind(("model/encoder", "model/decoder"), "check model/encoder={name} model/decoder={name}"),
    "dataset": Kind(("dataset",), "check dataset={name}"),
    "sweep": Kind((), "sweep {name}"),
}


def main() -> None:
    """Writes a part of the user's own from a template that runs as it is: a class, its option and its test.

    Raises:
        UserError: If the words are not a kind and a new name, or a file is there already.
    """
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words) or not words:
        return print(f"{USAGE}\n\nkinds: {', '.join(KINDS)}")
    if words[0] not in KINDS:
        raise UserError(f"{words[0]} is no kind of part{did_you_mean(words[0], KINDS)}")
    if len(words) != 2:
        raise UserError(f"takes a kind and a name: vae-lab new {words[0]} mine.")
    kind, name = words
    _check_name(kind, name)
    listed = _names_listed()
    folder = next((Path(each) for each in listed if Path(each).is_dir()), Path(FOLDER))
    files = _files(kind, name, folder)
    if there := [path for path in files if path.exists()]:
        raise UserError(f"{near(there[0])} is there already; choose another name.")
    if str(folder) not in listed:
        names = ", ".join(f'"{each}"' for each in [*listed, str(folder)])
        files[Path(FILE)] = f"plugins = [{names}]\n"
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
        print(near(path))
    print(f"next: vae-lab {KINDS[kind].words.format(name=name)}")


def _check_name(kind: str, name: str) -> None:
    if not name.isidentifier() or keyword.iskeyword(name) or name != name.lower() or name.startswith("_"):
        raise UserError(
            f"the name must be lower-case letters, digits and _, such as my_{kind}, got {name!r}."
        )
    if kind == "sweep":
        if name in {path.stem for path in sweep_files()}:
            raise UserError(f"there is a sweep {name} already; choose another name.")
        return
    for group in KINDS[kind].groups:
        if name in options_of(group):
            raise UserError(f"there is an option {group}={name} already; choose another name.")
    if name in sys.stdlib_module_names or find_spec(name) is not None:
        raise UserError(f"there is a Python module {name} already; choose another name.")


def _names_listed() -> list[str]:
    path = Path(FILE)
    return plugins.names_in(path) if path.is_file() else []


def _files(kind: str, name: str, folder: Path) -> dict[Path, str]:
    """The text of each file of a part."""
    values = {
        "name": name,
        "module": name,
        "class_name": "".join(word.capitalize() for word in name.split("_")),
        "title": name.replace("_", " ").capitalize(),
        "blank": "",
    }

    def text(template: str) -> str:
        return Template((TEMPLATES / f"{kind}.{template}.txt").read_text()).substitute(values)

    if kind == "sweep":
        return {folder / "sweeps" / f"{name}.yaml": text("yaml")}
    options = {folder / "conf" / group / f"{name}.yaml": text("yaml") for group in KINDS[kind].groups}
    return {folder / f"{name}.py": text("py"), **options, folder / f"test_{name}.py": text("test")}
