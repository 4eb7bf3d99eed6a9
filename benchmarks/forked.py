"""Command lines in forked children of a process that has the imports done, watched while they run.

A child does what `python -m vae_lab WORDS` does, in a folder and with an environment of its own. The
server that a sweep starts is forked as well, from the sweep: no command waits for imports.
"""

import atexit
import gc
import os
import runpy
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from ctypes import CDLL
from multiprocessing import util
from pathlib import Path
from typing import NamedTuple

# What looks at words and environment when it is imported, and what a server imports for its effects.
AFRESH = ("vae_lab.cli", "vae_lab.config.explain", "vae_lab.sweep.launchers.forkserver_imports")
TICKS = os.sysconf("SC_CLK_TCK")


class Ended(NamedTuple):
    """How a command line ended.

    Args:
        status: Exit status; negative for a signal.
        stdout: What it printed.
        stderr: What it printed there.
        processor: Seconds of processor time, its jobs included.
        wall: Seconds by the clock.
        interrupted: Whether it was interrupted, having begun its work.
        late: Why it was killed: it did not end by itself.
        orphans: Commands of the processes that it left.
    """

    status: int
    stdout: str
    stderr: str
    processor: float
    wall: float
    interrupted: bool
    late: str
    orphans: list[str]


def shut_in(variable: str = "VAE_LAB_SHUT_IN") -> Path:
    """Starts this program again where all but one new folder is read-only, and no other process is seen.

    There it does the imports that its children share.

    Returns:
        The folder, in memory; whatever a command does wrong stays there.
    """
    if variable in os.environ:
        import vae_lab.sweep.launchers.forkserver_imports  # noqa: F401

        gc.freeze()  # else each collection in a child copies what all share
        return Path(os.environ[variable])
    folder = tempfile.mkdtemp(prefix="vae_lab-")
    script = (
        'mount -t tmpfs tmpfs "$1" && mount -o remount,bind,ro / && shift && '
        'exec setpriv --bounding-set=-all --inh-caps=-all "$@"'  # root itself is then a user like others
    )
    user = [] if os.getuid() == 0 else ["--map-root-user"]
    os.environ |= {variable: folder, "TMPDIR": folder, "MPLCONFIGDIR": folder}
    unshare = ["unshare", *user, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    os.execvp("unshare", [*unshare, "sh", "-c", script, "sh", folder, sys.executable, *sys.argv])


def open_before(log: Path, variable: str = "VAE_LAB_LOG") -> int:
    """Opens a file to add to, before `shut_in` makes the disk read-only; gives its descriptor."""
    if variable not in os.environ:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.set_inheritable(descriptor, True)
        os.environ[variable] = str(descriptor)
    return int(os.environ[variable])


def usual_environment(home: Path) -> dict[str, str]:
    """The variables of a user who has this folder as a home."""
    return {
        "HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1",
        "COLUMNS": "100", "PYTHONDONTWRITEBYTECODE": "1",
        "MPLCONFIGDIR": str(home / ".cache" / "matplotlib"), "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
    }  # fmt: skip


def side_by_side(tasks: Sequence[Callable[[], None]]) -> None:
    """Does tasks at a time, each in a process of its own, which is told of what its commands leave behind."""
    workers = []
    for task in tasks:
        if (pid := os.fork()) == 0:
            CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
            try:
                task()
            except BaseException:
                traceback.print_exc()
            os._exit(0)
        workers.append(pid)
    for pid in workers:
        os.waitpid(pid, 0)


def start(words: Sequence[str], folder: Path, environment: Mapping[str, str], streams: Path) -> int:
    """Starts a command line in a folder; gives its process.

    Args:
        words: What stands after `vae-lab`.
        folder: Where.
        environment: All of it.
        streams: A folder for `stdout` and `stderr`.
    """
    paths = [streams / "stdout", streams / "stderr"]
    for path in paths:
        path.write_bytes(b"")
    if (pid := os.fork()) == 0:
        os._exit(_child(words, folder, environment, paths))
    return pid


def run(
    words: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    *,
    streams: Path,
    cut_after: float = 3.0,
    limit: float = 10.0,
    patience: float = 120.0,
    begun: Callable[[], bool] = lambda: False,
) -> Ended:
    """Runs a command line to its end.

    Args:
        words: What stands after `vae-lab`.
        folder: Where.
        environment: All of it.
        streams: A folder for `stdout` and `stderr`.
        cut_after: Seconds of processor time after which it is interrupted if it has begun its work.
        limit: Seconds of processor time after which it is killed.
        patience: Seconds by the clock after which it is killed.
        begun: Whether it has begun its work.
    """
    since = time.monotonic()
    pid = start(words, folder, environment, streams)
    interrupted, late, pause = False, "", 0.005
    while not (ended := os.wait4(pid, os.WNOHANG))[0]:
        time.sleep(pause)
        pause = min(2 * pause, 0.1)
        processor, wall = seconds(family(pid)), time.monotonic() - since
        if processor > limit or wall > patience:
            late = f"{processor:.1f} s of processor time, {wall:.0f} s by the clock"
            os.kill(pid, signal.SIGKILL)
        elif processor > cut_after and not interrupted and begun():
            interrupted = True
            os.kill(pid, signal.SIGINT)
    _, status, usage = ended
    wall = time.monotonic() - since
    out, err = ((streams / name).read_text(errors="replace") for name in ("stdout", "stderr"))
    processor = usage.ru_utime + usage.ru_stime
    return Ended(os.waitstatus_to_exitcode(status), out, err, processor, wall, interrupted, late, orphans())


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for parent in found:
        with suppress(OSError):  # of a process that ends meanwhile
            for task in Path(f"/proc/{parent}/task").glob("*/children"):
                found += [int(child) for child in task.read_text().split()]
    return found


def seconds(pids: Sequence[int]) -> float:
    """Processor time of processes and of their children that have ended."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(int(field) for field in fields[11:15])
    return total / TICKS


def orphans(grace: float = 2.0) -> list[str]:
    """Names the processes that a command has left, after a while in which they may end; then ends them."""
    until = time.monotonic() + grace
    while left := _living():
        if time.monotonic() > until:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            break
        time.sleep(0.02)
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return list(left.values())


def _living() -> dict[int, str]:
    """The descendants of this process that live, with their commands."""
    found = {}
    for pid in family(os.getpid())[1:]:
        with suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                found[pid] = (
                    Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
    return found


def _child(words: Sequence[str], folder: Path, environment: Mapping[str, str], paths: Sequence[Path]) -> int:
    os.setsid()
    atexit._clear()  # what is to be done when the process that forked this one ends
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for stream, path in enumerate((Path(os.devnull), *paths)):
        opened = os.open(path, os.O_RDWR)
        os.dup2(opened, stream)
        os.close(opened)
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    sys.stdout = open(1, "w", encoding=encoding, buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding=encoding, errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    util.spawnv_passfds = _fork_instead
    sys.argv = ["vae-lab", *words]
    sys.path[0] = str(folder)
    for name in [name for name in sys.modules if name.startswith(AFRESH)]:
        del sys.modules[name]
    status = _carry_out()
    with suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def _carry_out() -> int:
    try:
        runpy.run_module("vae_lab", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
            return 1
        return int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _fork_instead(path: str, arguments: Sequence[bytes | str], descriptors: Sequence[int]) -> int:
    """Does in a fork what `multiprocessing` would ask a new interpreter, its server, to do."""
    if pid := os.fork():
        return pid
    kept = {0, 1, 2, *descriptors}
    for descriptor in [int(name) for name in os.listdir("/proc/self/fd")]:
        if descriptor not in kept:
            with suppress(OSError):
                os.close(descriptor)
    try:
        exec(arguments[-1], {"__name__": "__main__"})
    except SystemExit:
        pass
    except BaseException:
        traceback.print_exc()
    os._exit(0)
