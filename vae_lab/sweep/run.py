"""A sweep from its axes to its table and its figure, around Hydra's launchers."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from vae_lab.config.targets import target_of
from vae_lab.errors import Busy, Several, UserError, did_you_mean, on_one_line
from vae_lab.files.ownership import written_whole
from vae_lab.files.writing import checksum
from vae_lab.runs import earlier, lease
from vae_lab.runs.code import changed, is_as_now, listed
from vae_lab.runs.directory import RunDirectory, kind_of
from vae_lab.runs.failure import read_failure, write_failure
from vae_lab.runs.names import EARLIER
from vae_lab.runs.result import is_finished, result_of
from vae_lab.runs.signature import Flat, definition
from vae_lab.sweep import files, manifest, table
from vae_lab.sweep import name as sweep_name
from vae_lab.sweep.axes import axes, points, short_names
from vae_lab.sweep.figures import kinds
from vae_lab.sweep.jobs import Job, compose, pasted
from vae_lab.sweep.launchers import forkserver
from vae_lab.sweep.over_runs import over_runs

PARTS = (
    "test/",
    "validation/",
    "train_curve/",
    "test_curve/",
    "timing.",
)  # begin what a training is judged by


def run_sweep(master: DictConfig, context: HydraContext, launcher: Launcher, typed: Sequence[str]) -> None:
    """Runs every combination of a sweep's axes that is not done, then writes its table and its figure.

    All jobs are composed and checked before the first starts and before anything is written.

    Args:
        master: The configuration that all jobs share, with Hydra's own node.
        context: Hydra's.
        launcher: Which runs the jobs.
        typed: The overrides of the command line.

    Raises:
        UserError: If a job cannot make a run, or if some have failed in the end.
    """
    settings: Any = OmegaConf.to_container(master.sweep, resolve=True)
    command = str(master.hydra.job.config_name)
    if master.get("runs") is not None:
        over = sweep_name.over(master.runs, command)
        settings |= {"name": over if settings["name"] is None else settings["name"]}
    before = _before(master, settings)
    parsed = OverridesParser.create(config_loader=context.config_loader).parse_overrides(list(typed))
    keys = {before.keys.get(name, name): role for name, role in before.roles.items()} if before else {}
    of, fixed = axes(settings, parsed, keys)
    if any(axis.key == "runs" for axis in of):
        raise UserError("runs takes the name of a sweep or a list: write runs=[...] with brackets.")
    if master.get("out") is not None:
        raise UserError(f"out={master.out} must be left out of a sweep, as each run would replace the file.")
    every = points(of)
    if master.get("runs") is not None:
        of, every = over_runs(master.runs, str(master.output_dir), of, every, lambda: _needs_density(master))
        fixed = [word for word in fixed if not word.startswith("runs=")]
    fixed += _without_data(master, settings, [*fixed, *(f"{axis.key}=" for axis in of)])
    kinds.check_figure(settings.get("figure"))
    names = short_names([axis.key for axis in of])
    assert list(names.values()) == list(every[0].labels)
    jobs = [
        compose(context.config_loader, master, [*fixed, *point.overrides], _label(point.labels))
        for point in every
    ]
    _refuse_the_same_twice(jobs)
    name = _name(settings, list(names.values()), jobs)
    directory = Path(master.output_dir, "sweeps", name)
    manifest.check_sweep_folder(directory)
    base = _base(context, master, fixed)
    asked = manifest.asked(directory, settings, _question(settings), command, of, every, jobs, base)
    written = manifest.grown(before, asked)
    missing = [job for job in jobs if not job.is_done()]
    for job in missing:
        RunDirectory(job.directory, job.cfg).check()
    _check_metric(written, bool(missing))
    _tell_of_other_code([job for job in jobs if job not in missing])
    if missing:
        forkserver.start_imports(int(master.hydra.launcher.get("threads", 1)))
        check_jobs(missing, elsewhere=getattr(launcher, "elsewhere", False))
    for cfg in (master, *(job.cfg for job in jobs)):
        _belongs_to(cfg, name)
    manifest.write_manifest(directory, written)
    if settings["anew"]:
        with written_whole(directory):
            pass  # nothing yet of these runs
    _tell_of_growth(before, asked, written)
    failed: dict[Path, str] = {}
    if missing:
        for job in missing:
            _begin_again_if_asked(job)
        try:
            returned = launcher.launch([job.overrides for job in missing], initial_job_idx=0)
            for job, each in zip(missing, returned, strict=True):
                if each.status == JobStatus.FAILED and (error := _failure(job, each)):
                    failed[job.directory] = error
        finally:
            if not getattr(launcher, "elsewhere", False):
                for job in missing:
                    _restore_unless_begun(job)
    written = manifest.grown(manifest.known(directory), asked)  # another invocation may have added its own
    manifest.write_manifest(directory, written)
    results = finish(written, directory, failed)
    if not results.missing:
        _log_summary(jobs[0].cfg.logger, directory)


def _needs_density(master: DictConfig) -> bool:
    """Whether what a command does with a trained model needs a p(x); imports the command's class."""
    return bool(getattr(target_of(master, "_target_"), "needs_density", True))


def _before(master: DictConfig, settings: Mapping[str, Any]) -> manifest.Manifest | None:
    """The manifest of the sweep of this name, unless it is to begin anew."""
    if settings["name"] is None or settings["anew"]:
        return None
    return manifest.known(Path(master.output_dir, "sweeps", sweep_name.checked(settings["name"])))


def _name(settings: Mapping[str, Any], axes: Sequence[str], jobs: Sequence[Job]) -> str:
    name = settings["name"]
    return sweep_name.checked(sweep_name.derived(axes, jobs) if name is None else name)


def _base(context: HydraContext, master: DictConfig, fixed: Sequence[str]) -> Flat | None:
    """The definition that the runs share apart from their axes; None where that is no configuration."""
    with suppress(Exception):
        return definition(compose(context.config_loader, master, fixed).cfg)
    return None


def _tell_of_growth(
    before: manifest.Manifest | None, asked: manifest.Manifest, written: manifest.Manifest
) -> None:
    if before is None:
        return
    total, new = len(written.entries), len(written.entries) - len(before.entries)
    if new:
        print(
            f"{asked.name} grows by {new} run{'s' * (new != 1)} to {total}; its table and figure are of all."
        )
    elif len(asked.entries) < total:
        print(
            f"{asked.name} has {total} runs, {len(asked.entries)} of which are asked for; its table is of "
            "all."
        )


def _log_summary(logger: DictConfig, directory: Path) -> None:
    """Logs the table and the figures of a finished sweep to the tracker, unless these have been."""
    mark = directory / ".logged"
    now = checksum(directory / "runs.parquet")
    is_logged = mark.is_file() and mark.read_text() == now
    if not is_logged and forkserver.log_summary(OmegaConf.to_yaml(logger), str(directory)):
        mark.write_text(now)


def _refuse_the_same_twice(jobs: Sequence[Job]) -> None:
    """Two points that are one run would count as two."""
    first: dict[Path, Job] = {}
    for job in jobs:
        other = first.setdefault(job.directory, job)
        if other is not job:
            raise UserError(f"{other.label} and {job.label} are the same run; leave one of them out.")


def _check_metric(written: manifest.Manifest, some_missing: bool) -> None:
    """Checks `sweep.metric` as far as that can be before the runs: by its part, and by what there is.

    Raises:
        UserError: If no run can have it.
    """
    metric = written.metric
    if metric and not some_missing:
        done = [result_of(entry.directory) for entry in written.entries if entry.is_done]
        if metric not in (known := table.columns(done)):
            raise UserError(
                f"sweep.metric={metric} is in no run{did_you_mean(metric, filter(_is_measure, known))}"
            )
    elif metric and written.command == "train" and not metric.startswith(PARTS):
        raise UserError(
            f"sweep.metric must begin with one of {', '.join(PARTS)}, as test/elbo does, got {metric}."
        )


def _is_measure(column: str) -> bool:
    return "/" in column


def _tell_of_other_code(done: Sequence[Job]) -> None:
    """Says of how many results the code is another now, and which parts of it are."""
    results = [result_of(job.directory) for job in done]
    others = [result for result in results if not is_as_now(result)]
    if others:
        parts = dict.fromkeys(part for result in others for part in changed(result.code))
        causes = listed(list(parts)) or "while the runs were made"
        print(
            f"note: the code of {len(others)} of the {len(done)} finished runs has changed since: {causes}; "
            "rerun=code repeats these runs."
        )


def _begin_again_if_asked(job: Job) -> None:
    """With `rerun=true` sets the result aside of a run that nobody does just now.

    The job itself must not, or it would begin again whenever SLURM puts it back into its queue.
    """
    if job.cfg.rerun == "code":
        return  # which a job may find again and again
    if job.cfg.rerun and job.directory.is_dir():
        RunDirectory(job.directory, job.cfg).claim()
        with suppress(Busy), lease.hold(job.directory):
            earlier.settle(job.directory)
            earlier.set_aside(job.directory, kind_of(job.cfg))
    job.cfg.rerun = False


def _restore_unless_begun(job: Job) -> None:
    """Brings back the result of a run that was to be done again and was not begun."""
    if (job.directory / EARLIER).is_dir():
        with suppress(Busy), lease.hold(job.directory):
            earlier.restore_unless_begun(job.directory)


def _failure(job: Job, returned: JobReturn) -> str | None:
    """Why a job failed; left beside the run where the run itself could not, as when it was killed."""
    error = returned._return_value  # the property would raise and print it
    if isinstance(error, Busy):
        return None
    if (known := read_failure(job.directory)) is not None:
        return known
    if is_finished(job.directory):
        return None  # by another invocation
    job.freeze()
    write_failure(job.directory, str(error))
    return str(error)


def check_jobs(jobs: Sequence[Job], elsewhere: bool = False) -> None:
    """Builds what each job would, in a process beside this one.

    Args:
        jobs: Which have not been done.
        elsewhere: Whether they will run on other machines, whose devices this one needs not have.

    Raises:
        UserError: With a mistake, the first by its job's dataset.
    """
    distinct = {_apart_from_seed(job): job for job in reversed(jobs)}
    checked = list(reversed(distinct.values()))
    builds = checked[0].command in ("train", "gradients")  # others ask for no device before they run
    cfgs = [_on_any_device(job.cfg) if elsewhere and builds else job.cfg for job in checked]
    texts = [(job.overrides, OmegaConf.to_yaml(cfg)) for job, cfg in zip(checked, cfgs, strict=True)]
    if (mistake := forkserver.first_mistake(checked[0].command, texts)) is not None:
        index, message = mistake
        raise UserError(f"{message} (in {checked[index].label})" if len(jobs) > 1 else message)


def finish(
    written: manifest.Manifest, directory: Path, failed_now: Mapping[Path, str] | None = None
) -> table.Results:
    """Writes and shows the table of what is done, draws the figure, and names what failed.

    Args:
        written: What the sweep consists of.
        directory: Its own.
        failed_now: The errors of runs that failed just now, by their directories.

    Raises:
        UserError: If a run has failed, or no run has the metric.
    """
    from vae_lab.sweep.show import plain_console, show_settings

    results = table.collect(written)
    console = plain_console(soft_wrap=True, markup=False)
    paths = _write(results, directory)
    if not results.settings.is_empty():
        show_settings(results, console)
    for warning in results.warnings:
        console.print(f"warning: {warning}", style="yellow")
    for path in paths:
        console.print(str(path))
    errors = {entry.directory: error for entry, state, error in results.missing if state == "failed"}
    for where, error in (failed_now or {}).items():
        if not is_finished(where) or read_failure(where) is not None:  # else another invocation has done it
            errors[where] = error
    failed = [entry for entry in written.entries if entry.directory in errors]
    if failed:
        lines = [
            f"  {on_one_line(entry.label)}: {on_one_line(errors[entry.directory].splitlines()[-1])}\n"
            f"    {pasted(written.command, entry.directory)}"
            for entry in failed
        ]
        done = sum(entry.state()[0] == "done" and entry not in failed for entry in written.entries)
        others = len(written.entries) - done - len(failed)
        parts = [f"{done} done", f"{len(failed)} failed", f"{others} not done" if others else ""]
        raise Several("\n".join([f"{', '.join(filter(None, parts))}; each alone:", *lines]))
    has_one = written.command == "train" or written.metric
    if has_one and not results.runs.is_empty() and results.settings.is_empty():
        known = list(filter(_is_measure, results.runs.columns))
        metric = results.manifest.metric
        raise UserError(
            f"sweep.metric={metric} is in no run{did_you_mean(metric, known)} The runs are done: the same "
            "command with another sweep.metric and sweep.anew=true makes their table."
        )
    return results


def _write(results: table.Results, directory: Path) -> list[Path]:
    """Writes tables and figures in the place of the earlier ones; the tables also if the figure fails."""
    manifest.claim_sweep_folder(directory)
    trouble: Exception | None = None
    with written_whole(directory) as folder:
        paths = table.write_table(results, folder)
        if not results.runs.is_empty():
            try:
                paths += kinds.draw_figure(results, folder)
            except Exception as error:
                trouble = error
    if trouble is not None:
        raise trouble
    return [directory / path.relative_to(folder) for path in paths]


def _question(settings: dict[str, Any]) -> str:
    path = files.sweep_file(str(settings.get("name")))
    return manifest.question(path) if path is not None else ""


def _label(labels: dict[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in labels.items())


def _belongs_to(cfg: DictConfig, name: str) -> None:
    """Names the sweep in a configuration, and makes it the group at the tracker unless that has a name."""
    with open_dict(cfg):
        cfg.sweep.name = name
        if "group" in cfg.logger and cfg.logger.group is None:
            cfg.logger.group = name


def _on_any_device(cfg: DictConfig) -> DictConfig:
    here = cfg.copy()
    if here.trainer.accelerator in ("gpu", "cuda", "auto"):
        here.trainer.update({"accelerator": "auto", "devices": 1, "num_nodes": 1, "strategy": "auto"})
    return here


def _apart_from_seed(job: Job) -> str:
    return OmegaConf.to_yaml({key: value for key, value in job.cfg.items() if key != "seed"})


def _without_data(master: DictConfig, settings: dict[str, Any], fixed: Sequence[str]) -> list[str]:
    """Overrides of a sweep where the files of its dataset are absent, unless the user chose one."""
    instead = [str(override) for override in settings.get("without_data", [])]
    chosen = any(word.lstrip("+").startswith("dataset=") for word in fixed)
    if not instead or chosen or "files" not in master.dataset:
        return []
    root = Path(master.dataset.root).expanduser()
    if all((root / str(name)).is_file() for name in master.dataset.files):
        return []
    print(
        f"note: the files of {master.dataset._target_} are not in {root}: running with {' '.join(instead)}."
    )
    return instead
