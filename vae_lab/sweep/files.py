"""Files of sweeps that have a name: of this package, of plug-ins, and one that the command line gives."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vae_lab.config.foreign import check_option_file
from vae_lab.config.plugins import sweep_files
from vae_lab.errors import UserError, did_you_mean

SUFFIXES = (".yaml", ".yml")
_given: dict[str, Path] = {}


def sweep_file(name: str) -> Path | None:
    """The file of the sweep of a name, if there is one."""
    return _given.get(name) or next((path for path in sweep_files() if path.stem == name), None)


@contextmanager
def located(name_or_path: str) -> Iterator[tuple[str, Path]]:
    """The name of a sweep, and its file in a folder `sweeps/`, where Hydra looks for it.

    Args:
        name_or_path: The name of a sweep, or the path of a file that is one.

    Raises:
        UserError: If there is none, or what is there is no file of options.
    """
    if not name_or_path.endswith(SUFFIXES):
        path = sweep_file(name_or_path)
        if path is None:
            names = [path.stem for path in sweep_files()]
            raise UserError(f"{name_or_path} is not a sweep{did_you_mean(name_or_path, names)}")
        yield name_or_path, path
        return
    path = Path(name_or_path).expanduser()
    if not path.is_file():
        raise UserError(f"there is no file {path}, which would be a sweep.")
    check_option_file(path, path.parent)
    _given[path.stem] = path
    with tempfile.TemporaryDirectory(prefix="vae_lab-sweep-") as folder:
        copy = Path(folder, "sweeps", f"{path.stem}.yaml")
        copy.parent.mkdir()
        shutil.copyfile(path, copy)
        yield path.stem, copy
