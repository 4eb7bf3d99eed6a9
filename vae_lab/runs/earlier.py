"""An earlier result, set aside until the one that replaces it is whole, and brought back if that fails.

It lies in `.earlier`, which can be read like the run's own directory. The mark `.afresh` says which way files
are being moved, so that a move which was killed can be ended. All of it happens under the run's lease.
"""

import shutil
from contextlib import suppress
from pathlib import Path

from vae_lab.files import ownership
from vae_lab.files.writing import write_atomically
from vae_lab.runs.names import EARLIER, FAILURE, FROZEN, RESTART_MARK, RESULT, left_by_runs

TO_EARLIER, BACK = "to .earlier", "back"


def settle(path: Path) -> None:
    """Ends what a killed process has begun to move in a run's directory."""
    state = _state(path)
    if state == TO_EARLIER:
        _move_aside(path)
    elif state == BACK:
        _move_back(path)


def set_aside(path: Path, kind: str) -> None:
    """Moves a result to `.earlier`; what an unfinished run has left is removed.

    Args:
        path: The run's directory.
        kind: The command whose result it is.

    Raises:
        UserError: If a link leads out of the directory; nothing is moved then.
    """
    for name in left_by_runs(path):
        ownership.inside(path, name)
    if (path / RESULT).is_file():
        drop(path)
        earlier = path / EARLIER
        ownership.claim_folder(earlier, kind)
        (earlier / ".hydra").mkdir(exist_ok=True)
        with suppress(FileNotFoundError):
            shutil.copy(path / FROZEN[0], earlier / FROZEN[0])
        write_atomically(path / RESTART_MARK, TO_EARLIER)
        _move_aside(path)
    else:
        ownership.remove(path, left_by_runs(path))
        (path / RESTART_MARK).touch()


def restore_unless_begun(path: Path) -> None:
    """Brings the earlier result back if the run has left nothing from which it could go on."""
    whole = (path / EARLIER / RESULT).is_file()
    if whole and not (path / "checkpoints" / "last.ckpt").exists() and not (path / RESULT).exists():
        ownership.remove(path, set(left_by_runs(path)) - {FAILURE})
        write_atomically(path / RESTART_MARK, BACK)
        _move_back(path)


def must_begin_afresh(path: Path) -> bool:
    """Whether a run begins at its beginning, whatever there is to continue from."""
    return (path / RESTART_MARK).exists()


def drop(path: Path) -> None:
    """Removes the earlier result."""
    earlier = path / EARLIER
    if earlier.is_dir():
        ownership.remove(earlier, left_by_runs(earlier))
        ownership.leave(earlier, FROZEN)


def replaced(path: Path) -> None:
    """Removes the earlier result, and the mark, once the new result is whole."""
    drop(path)
    (path / RESTART_MARK).unlink(missing_ok=True)


def _move_aside(path: Path) -> None:
    names = left_by_runs(path)
    names.sort(key=lambda name: name != RESULT)  # which goes first: what is there is not whole
    earlier = path / EARLIER
    ownership.published(earlier, sorted({*ownership.published(earlier), *ownership.published(path)}))
    ownership.move(path, earlier, names)
    ownership.published(path, [])
    (path / RESTART_MARK).write_text("")


def _move_back(path: Path) -> None:
    earlier = path / EARLIER
    names = left_by_runs(earlier)
    names.sort(key=lambda name: name == RESULT)  # which comes last
    ownership.published(path, ownership.published(earlier))
    ownership.move(earlier, path, names)
    (path / RESTART_MARK).unlink()
    drop(path)


def _state(path: Path) -> str:
    try:
        return (path / RESTART_MARK).read_text()
    except FileNotFoundError:
        return ""
