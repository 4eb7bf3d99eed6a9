"""A server process that has imported what a run needs, and forks itself for each job.

Imports, seconds of work, are paid once per sweep; each job is a process of its own all the same, which leaves
nothing behind and takes only itself when it is killed. Nothing but imports may happen here, and none that
start threads, as polars does: threads or a GPU that the server had touched would be broken in its children.
"""

import atexit
import faulthandler
import gc
import importlib
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from vae_lab.config import plugins, trust
from vae_lab.errors import UserError
from vae_lab.sweep.launchers.with_parent import PARENT, die_with_parent

COMMANDS = "vae_lab.cli.commands"  # which stand above a sweep, and are found by name
LONGEST = 70  # bytes of a folder, within which a socket's path of at most 107 is made

_server: int | None = None  # its number, in the server and its children
_context = get_context("forkserver")
_IMPORTED = (
    "vae_lab.training.run",
    "vae_lab.cli.commands.train",
    "vae_lab.cli.commands.application",
    "vae_lab.cli.commands.gradients",
    "vae_lab.trained.model",
    "torch._dynamo",
    "wandb.sdk.launch",
    "matplotlib.backends.backend_agg",
    "sklearn.datasets",
)


def start_imports(threads: int) -> None:
    """Begins the imports, in the background; harmless if they have begun."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read when torch is imported
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # else looking for a GPU makes it unusable in children
    _context.set_forkserver_preload([__name__ + "_parent", __name__ + "_imports"])
    _run_server()


def start_job(
    words: Sequence[str],
    cfg: DictConfig,
    context: HydraContext,
    output: str,
    environment: Mapping[str, str],
) -> BaseProcess:
    """Starts in a child what `vae-lab <words>` would, what it prints going to a file.

    Args:
        words: The command line after `vae-lab`.
        cfg: What Hydra would compose from it, with its own node; composing takes 0.2 s.
        context: Hydra's.
        output: Path of the file, to which is added.
        environment: Variables to set.
    """
    arguments = (list(words), cfg, context, output, trust.exported() | dict(environment))
    process = _context.Process(target=_job, args=arguments)
    _begin(process)
    return process


def first_mistake(command: str, jobs: Sequence[tuple[list[str], str]]) -> tuple[int, str] | None:
    """The number and the message of a job that cannot make a run, the first by its dataset; or None.

    Args:
        command: Such as `train`.
        jobs: The overrides of each, and its configuration as YAML.

    Raises:
        RuntimeError: If the checking itself ends without an answer.
    """
    for _ in range(2):
        receiver, sender = _context.Pipe(duplex=False)
        process = _context.Process(target=_check, args=(command, list(jobs), sender, trust.exported()))
        _begin(process)
        sender.close()
        try:
            return receiver.recv()
        except (EOFError, ConnectionError):
            process.join()
            if process.exitcode == 1:
                raise RuntimeError("checking the configurations ended in the error above") from None
    raise UserError(
        "the process that checks the configurations was killed twice (out of memory?); close what else runs, "
        "or take fewer or smaller models."
    )


def log_summary(logger: str, directory: str) -> bool:
    """Logs a finished sweep to one run of its own at the tracker, in a child; tells whether that was done.

    Args:
        logger: The configuration of the tracker, as YAML.
        directory: The sweep's.
    """
    process = _context.Process(target=_log_summary, args=(logger, directory))
    _begin(process)
    process.join()
    return process.exitcode == 0


def imports() -> None:
    """Modules that the server imports."""
    global _server
    _server = os.getpid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the sweep's
    for name in _IMPORTED:
        importlib.import_module(name)
    from hydra.core.plugins import Plugins

    from vae_lab.runs.provenance import remember_code

    remember_code()  # for the code may be edited while the sweep runs
    Plugins.instance()  # looks through all installed plugins, once
    gc.collect()
    gc.freeze()  # else the first collection in a child copies what it shares with its server
    atexit.register(gc.unfreeze)  # else libraries complain of leaks


def _begin(process: BaseProcess) -> None:
    """Starts a child; once more if the server was killed, in whose place comes another."""
    _run_server()
    try:
        process.start()
    except (EOFError, ConnectionError):
        _run_server()
        process.start()


def _run_server() -> None:
    """Sees to it that the server is there, and ends with this process."""
    from multiprocessing.forkserver import ensure_running

    os.environ[PARENT] = str(os.getpid())
    try:
        with _short_temporary_folder():
            ensure_running()
    finally:
        os.environ.pop(PARENT, None)


@contextmanager
def _short_temporary_folder() -> Iterator[None]:
    """Puts the server's socket where its path is not too long for one."""
    chosen = tempfile.gettempdir()
    if len(os.fsencode(chosen)) > LONGEST:
        tempfile.tempdir = next(filter(_is_writable, ("/tmp", "/var/tmp", "/dev/shm")), chosen)
    try:
        yield
    finally:
        tempfile.tempdir = chosen


def _is_writable(folder: str) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def _take(environment: Mapping[str, str]) -> None:
    """Takes over the environment of the command, and with it the plug-ins."""
    os.environ.update(environment)
    plugins.activate()


def _job(
    words: list[str], cfg: DictConfig, context: HydraContext, output: str, environment: dict[str, str]
) -> None:
    os.setsid()  # so that Ctrl-C reaches the sweep alone, which then ends its jobs
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _die_with_parents()
    _take(environment)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    as_text: Any = {"buffering": 1, "encoding": "utf-8", "errors": "backslashreplace", "closefd": False}
    sys.stdout = open(1, "w", **as_text)  # noqa: SIM115 - for the life of the process
    sys.stderr = open(2, "w", **as_text)  # noqa: SIM115
    faulthandler.enable()
    logging.raiseExceptions = False  # of a log on a full disk
    from hydra.core.utils import JobStatus, run_job, setup_globals

    from vae_lab.config.explain import exit_if_explained

    sys.argv = ["vae-lab", *words]
    setup_globals()
    main = importlib.import_module(COMMANDS).main_of(words[0])
    try:
        returned = run_job(main, cfg, "hydra.run.dir", None, context)
        if returned.status == JobStatus.FAILED:
            raise returned._return_value  # by the property Hydra would add lines of its own
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except Exception as error:
        exit_if_explained(error, words[0])
        raise


def _check(
    command: str, jobs: list[tuple[list[str], str]], sender: Connection, environment: dict[str, str]
) -> None:
    _die_with_parents()
    _take(environment)
    from hydra.conf import HydraConf, OverridesConf
    from hydra.core.hydra_config import HydraConfig

    from vae_lab.config.explain import explain
    from vae_lab.training.run import quieten_libraries

    quieten_libraries()
    check = importlib.import_module(COMMANDS).check_of(command)
    cfgs: list[Any] = [OmegaConf.create(text) for _, text in jobs]
    by_dataset = sorted(range(len(jobs)), key=lambda index: str(cfgs[index].get("dataset")))
    for index in by_dataset:  # each of which is loaded once
        cfg, overrides = cfgs[index], jobs[index][0]
        hydra = OmegaConf.structured(HydraConf(overrides=OverridesConf(task=overrides)))
        HydraConfig.instance().cfg = OmegaConf.create({"hydra": hydra})  # type: ignore[assignment]
        try:
            check(cfg)
        except Exception as error:
            message = explain(error, command)
            if message is None:
                message = f"{type(error).__name__}: {error}"
            sender.send((index, message))
            return
    sender.send(None)


def _log_summary(logger: str, directory: str) -> None:
    _die_with_parents()
    from vae_lab.config.instantiate import instantiate
    from vae_lab.tracking import Tracking

    cfg: Any = OmegaConf.create(logger)
    try:
        instantiate(cfg, "logger", Tracking).log_sweep(Path(directory))
    except Exception as error:  # the table and the figures are there all the same
        message = str(error).strip().splitlines() or [type(error).__name__]
        print(f"warning: the sweep was not logged to the tracker: {message[0]}", file=sys.stderr)
        sys.exit(2)


def _die_with_parents() -> None:
    """Ends this process when the server or the sweep ends, however that happens."""
    die_with_parent(_server)
    sweep = parent_process()
    if sweep is not None:
        threading.Thread(target=_follow, args=(sweep,), daemon=True).start()


def _follow(sweep: Any) -> None:
    sweep.join()
    os.kill(os.getpid(), signal.SIGKILL)
