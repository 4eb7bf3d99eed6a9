"""One measurement of gradient estimators, from its configuration to its files."""

import math
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf

from vae_lab.applications.gradients.figures.variance import draw_gradients
from vae_lab.config import foreign
from vae_lab.config.instantiate import instantiate, makes
from vae_lab.config.schema import GradientsConfig, TrainConfig
from vae_lab.errors import Busy, UserError
from vae_lab.estimators.base import Estimator
from vae_lab.files.ownership import written_whole
from vae_lab.files.writing import checksum
from vae_lab.models.networks import NoEncoder, PerDatum
from vae_lab.models.vae import VAE
from vae_lab.noise import NoiseSource
from vae_lab.probe.settings import ProbeSettings
from vae_lab.runs import lease
from vae_lab.runs.code import Code, code_of
from vae_lab.runs.directory import RunDirectory
from vae_lab.runs.failure import remove_if_unused
from vae_lab.runs.find import find
from vae_lab.runs.result import is_finished, result_of
from vae_lab.runs.signature import NOT_DEFINING_IN_GROUP, flatten, signature
from vae_lab.training.build import TrainingParts, build, check_root
from vae_lab.training.checkpoint import load_checkpoint, weights_of_model
from vae_lab.training.compatibility import NEEDS_NETWORK, prepare_probe
from vae_lab.training.run import quieten_libraries, run

OF_THIS_COMMAND = (
    "output_dir",
    "rerun",
    "logger",
    "callbacks",
    "noise",
    "sweep",
    "evaluation",
)  # not taken over from a run


class State(NamedTuple):
    """A state of the model: a checkpoint, or None for the state before training."""

    name: str
    checkpoint: Path | None


class Plan(NamedTuple):
    """What a measurement is made of."""

    training: DictConfig
    trained: RunDirectory
    settings: ProbeSettings
    parts: TrainingParts
    noise: NoiseSource
    estimators: dict[str, Estimator]
    states: list[State]


def plan(cfg: DictConfig) -> Plan:
    """Builds the parts of a measurement, with everything checked that can be before it; writes nothing.

    Raises:
        UserError: If the configuration, the data or a checkpoint cannot make a measurement.
    """
    check_root(cfg, GradientsConfig)
    if cfg.run is None and "encoder" not in cfg.model:
        raise UserError(f"model: {NEEDS_NETWORK}")
    training, trained = _training(cfg)
    settings = instantiate(cfg.probe, "probe", ProbeSettings)
    if "encoder" not in training.model or makes(training.model.encoder, "model.encoder", NoEncoder, PerDatum):
        raise UserError(f"model.encoder: {NEEDS_NETWORK}")
    parts = build(training, trained.checkpoints)
    noise = instantiate(cfg.noise, "noise", NoiseSource, seed=training.seed)
    estimators = _estimators(cfg, settings, parts, noise)
    return Plan(training, trained, settings, parts, noise, estimators, _states(cfg, training, trained, parts))


def measure(cfg: DictConfig, directory: RunDirectory) -> None:
    """Measures every estimator at every state; trains the model first if a state asks for it.

    Leaves `gradients.parquet`, `table.md`, figures and, last, `metrics.json`.

    Raises:
        UserError: If the configuration, the data or a checkpoint cannot make a measurement.
    """
    quieten_libraries()
    planned = plan(cfg)
    with directory.once() as writing:
        if not writing.is_done:
            code = code_of(cfg, planned.trained.cfg)
            entries = _measure(cfg, directory, planned, code)
            writing.keep(entries, code, next(planned.parts.vae.parameters()).device)


def _measure(cfg: DictConfig, directory: RunDirectory, planned: Plan, code: Code) -> dict[str, Any]:
    training, trained, settings, parts, noise, estimators, states = planned
    if cfg.run is None:
        _train_if_asked(training, trained, states, parts)
    weights = [_weights(state, trained, parts) for state in states]
    directory.keep_diff(code)
    rows: list[dict[str, Any]] = []
    for state, (samples, state_dict) in zip(states, weights, strict=True):
        parts.vae.load_state_dict(state_dict)
        rows += _rows(state, samples, training, settings, parts, estimators, noise)
    table = pl.DataFrame(rows, infer_schema_length=None)
    with written_whole(directory.path) as folder:
        table.write_parquet(folder / "gradients.parquet")
        (folder / "table.md").write_text(_markdown(table))
        draw_gradients(table, folder / "figures")
    return {
        "signature": directory.signature,
        "definition": directory.definition,
        "metrics": _metrics(table),
        "checkpoints": {
            str(state.checkpoint): checksum(state.checkpoint) for state in states if state.checkpoint
        },
        "training": flatten(OmegaConf.to_container(training, resolve=True)),
        "config": directory.config,
    }


def _training(cfg: DictConfig) -> tuple[DictConfig, RunDirectory]:
    """The configuration and the directory of the training run that the model comes from."""
    keys = [field.name for field in fields(TrainConfig)]
    training = OmegaConf.masked_copy(cfg, keys)
    training.rerun = False
    if cfg.run is None:
        if _at(cfg) == [0]:  # `noise` is the probe's alone
            training.noise = {"_target_": "vae_lab.noise.NoiseSource"}
        counts = sorted({count for count in _at(cfg) if isinstance(count, int) and count > 0})
        training.trainer.checkpoint_at = counts or training.trainer.checkpoint_at
        return training, RunDirectory(Path(cfg.output_dir) / "runs" / signature(training), training)
    path = find(cfg.run, cfg.output_dir)
    stored = foreign.read_whole(path / ".hydra" / "config.yaml")
    taken = [key for key in keys if key in stored and key not in OF_THIS_COMMAND]
    _refuse_overrides(set(taken) - {"noise", "evaluation"})
    for key in taken:
        training[key] = stored[key]
    for name in NOT_DEFINING_IN_GROUP["trainer"]:
        training.trainer[name] = cfg.trainer[name]
    return training, RunDirectory(path, training)


def _refuse_overrides(taken: set[str]) -> None:
    """Refuses what the command line says of a model that comes from a run."""
    machine = {f"trainer.{name}" for name in NOT_DEFINING_IN_GROUP["trainer"]}
    for override in HydraConfig.get().overrides.task:
        key = override.lstrip("+~").partition("=")[0]
        place = key.partition("@")[2] or key  # +estimator@estimators.mine adds to the estimators
        if place.split(".")[0].split("/")[0] in taken and key not in machine:
            raise UserError(f"run= gives the model and its training: leave out {override}.")


def _at(cfg: DictConfig) -> list[int | str]:
    """The states asked for: sample counts, names and paths."""
    values = list(cfg.at) if isinstance(cfg.at, ListConfig) else [cfg.at]
    if not values:
        raise UserError("at must name at least one state, got [].")
    for value in values:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (isinstance(value, str) or (number and value >= 0 and float(value).is_integer())):
            raise UserError(
                "at must hold sample counts of at least 0, last, best or paths of checkpoints, got "
                f"{value!r}."
            )
    return [value if isinstance(value, str) else int(value) for value in values]


def _estimators(
    cfg: DictConfig, settings: ProbeSettings, parts: TrainingParts, noise: NoiseSource
) -> dict[str, Estimator]:
    if not cfg.estimators:
        raise UserError("estimators must name at least one, such as estimators=single_sample.")
    keys = {str(name): f"estimators.{name}" for name in cfg.estimators}
    estimators = {name: instantiate(cfg.estimators[name], key, Estimator) for name, key in keys.items()}
    prepare_probe("probe", settings, keys, estimators, parts.vae, noise, parts.dataset)
    return estimators


def _states(
    cfg: DictConfig, training: DictConfig, trained: RunDirectory, parts: TrainingParts
) -> list[State]:
    states = []
    batch_size = parts.dataset.batch_size
    for value in _at(cfg):
        if isinstance(value, str) and value not in ("last", "best"):
            states.append(State(value.removesuffix(".ckpt"), Path(value)))
        elif isinstance(value, str):
            if value == "best" and cfg.run is None and parts.settings.select != "best":
                raise UserError("at=best needs a training with trainer.select=best, got trainer.select=last.")
            states.append(State(value, trained.checkpoints / f"{value}.ckpt"))
        elif value == 0:
            states.append(State("0", None))
        else:
            samples = math.ceil(value / batch_size) * batch_size
            states.append(State(str(value), trained.checkpoints / f"samples={samples:09d}.ckpt"))
            budget = parts.settings.num_steps(batch_size, len(parts.dataset.data.train.x)) * batch_size
            if cfg.run is None and samples > budget:
                raise UserError(
                    f"at={value} lies beyond the training, which ends at {budget} samples; raise "
                    "trainer.max_samples or trainer.max_epochs."
                )
    for state in states:
        _check_there(cfg, state, trained)
    return states


def _check_there(cfg: DictConfig, state: State, trained: RunDirectory) -> None:
    """A checkpoint must exist unless the training is still to make it."""
    path = state.checkpoint
    if path is None or path.is_file() or (cfg.run is None and path.parent == trained.checkpoints):
        return
    there = sorted(entry.stem.replace("samples=", "").lstrip("0") for entry in path.parent.glob("*.ckpt"))
    raise UserError(
        f"at={state.name}: {path} does not exist. There are: {', '.join(there) or 'none'}. Numbered "
        "checkpoints are kept with trainer.checkpoint_at."
    )


def _train_if_asked(
    training: DictConfig, trained: RunDirectory, states: list[State], parts: TrainingParts
) -> None:
    """Trains to the end if a state is of this training, which has checkpoints also where it was killed."""
    asked = {
        state.name: state.checkpoint
        for state in states
        if state.checkpoint and state.checkpoint.parent == trained.checkpoints
    }
    is_done = all(path.is_file() for path in asked.values()) and trained.finished() is not None
    if not asked or is_done:
        return
    if parts.trainer.world_size > 1:
        raise UserError(
            f"at={next(iter(asked))}: a training of several processes needs a command of its own; train with "
            "vae-lab train and trainer.checkpoint_at, then give run=<its directory>."
        )
    trained.claim()
    try:
        _train(training, trained)
    except Exception:
        remove_if_unused(trained.path)
        raise
    for name, path in asked.items():
        if not path.is_file():
            raise UserError(
                f"at={name}: the run in {trained.path} is done and has no {path.name}; "
                "say rerun=true to vae-lab train with the same configuration."
            )


def _train(training: DictConfig, trained: RunDirectory) -> None:
    """Trains the model, or waits for another process that does."""
    while trained.finished() is None:
        try:
            run(training, trained)
        except Busy:
            lease.wait(trained.path)


def _weights(
    state: State, trained: RunDirectory, parts: TrainingParts
) -> tuple[int, dict[str, torch.Tensor]]:
    """The training samples behind a state, and the model's parameters there."""
    fresh = parts.vae.state_dict()
    if state.checkpoint is None:
        return 0, {name: value.clone() for name, value in fresh.items()}
    try:
        checkpoint = load_checkpoint(state.checkpoint)
        weights = weights_of_model(checkpoint)
        if state.checkpoint.parent == trained.checkpoints:
            trained.check_origin(state.checkpoint, checkpoint["vae_lab"].get("origin", {}))
            _check_recorded(state, trained)
    except (ValueError, KeyError) as error:
        raise UserError(f"at={state.name}: {error}") from error
    for name in sorted(fresh.keys() | weights.keys()):
        here, there = (tuple(side[name].shape) if name in side else "not there" for side in (fresh, weights))
        if here != there:
            raise UserError(
                f"at={state.name}: {state.checkpoint} is of another model: {name} is {there} in it and "
                f"{here} here; give the model that it was trained with, or run=<its run>."
            )
    return checkpoint["vae_lab"]["samples"], weights


def _check_recorded(state: State, trained: RunDirectory) -> None:
    """Raises `UserError` if the weights that a finished run has tested are not in its checkpoint any more."""
    assert state.checkpoint is not None
    is_tested = state.checkpoint == trained.tested_checkpoint(trained.cfg.trainer.get("select", "last"))
    if is_tested and is_finished(trained.path):
        recorded = result_of(trained.path).get("checkpoint_sha256")
        if recorded not in (None, checksum(state.checkpoint)):
            raise UserError(
                f"at={state.name}: {state.checkpoint} is not the checkpoint that was tested; say rerun=true "
                "to vae-lab train with the same configuration."
            )


def _rows(
    state: State,
    samples: int,
    training: DictConfig,
    settings: ProbeSettings,
    parts: TrainingParts,
    estimators: dict[str, Estimator],
    noise: NoiseSource,
) -> Iterator[dict[str, Any]]:
    vae = _placed(parts.vae, parts, training)
    where = {
        "state": state.name,
        "samples": samples,
        "latent_dim": vae.latent_dim,
        "seed": training.seed,
        "dataset": type(parts.dataset).__name__,
        "run": signature(training),
    }
    for measurement in settings.measure(vae, parts.dataset, estimators, noise):
        yield where | asdict(measurement)


def _placed(vae: VAE, parts: TrainingParts, training: DictConfig) -> VAE:
    """The model on the trainer's device and in its precision."""
    double = str(training.trainer.precision).startswith("64")
    device = parts.trainer.strategy.root_device
    return vae.to(device=device, dtype=torch.float64 if double else torch.float32)


def _metrics(table: pl.DataFrame) -> dict[str, float]:
    """The variance of the whole encoder's gradient, by state and estimator."""
    encoder = table.filter(pl.col("group") == "encoder")
    return {f"variance/{row['state']}/{row['estimator']}": row["variance"] for row in encoder.to_dicts()}


def _markdown(table: pl.DataFrame) -> str:
    """The table of the parts of the model, without their layers."""
    names = [name for name in table.columns if not name.endswith(("_low", "_high"))]
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    for row in table.filter(~pl.col("group").str.contains(r"\.")).to_dicts():
        cells = [f"{row[name]:.4g}" if isinstance(row[name], float) else str(row[name]) for name in names]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
