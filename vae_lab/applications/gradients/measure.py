"""One measurement of gradient estimators, from its settings to its files."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, NamedTuple

import polars as pl
import torch

from vae_lab.applications.gradients.figures.variance import draw_variances
from vae_lab.applications.gradients.settings import GradientsSettings
from vae_lab.applications.gradients.states import State, states_of, train_if_asked, weights_at
from vae_lab.files.markdown import markdown_table
from vae_lab.files.ownership import written_whole
from vae_lab.files.writing import checksum
from vae_lab.models.vae import VAE
from vae_lab.runs.code import Code
from vae_lab.runs.directory import RunDirectory
from vae_lab.training.build import TrainingParts, build
from vae_lab.training.compatibility import prepare_probe
from vae_lab.training.run import quieten_libraries


class ModelStates(NamedTuple):
    """The model that is measured, and its states."""

    parts: TrainingParts
    states: list[State]


def prepare(settings: GradientsSettings) -> ModelStates:
    """Builds the model, with everything checked that can be before a measurement; writes nothing.

    Raises:
        UserError: If the settings, the data or a checkpoint cannot make a measurement.
    """
    parts = build(settings.training, settings.trained.checkpoints)
    keys = {name: f"estimators.{name}" for name in settings.estimators}
    of_run = (parts.vae, settings.noise, parts.dataset)
    prepare_probe("probe", settings.probe, keys, settings.estimators, *of_run)
    return ModelStates(parts, states_of(settings, parts))


def measure(settings: GradientsSettings, directory: RunDirectory) -> None:
    """Measures every estimator at every state; trains the model first if a state asks for it.

    Leaves `gradients.parquet`, `table.md`, figures and, last, `metrics.json`.

    Raises:
        UserError: If the settings, the data or a checkpoint cannot make a measurement.
    """
    quieten_libraries()
    measured = prepare(settings)
    with directory.once() as writing:
        if not writing.is_done:
            code = directory.code(settings.trained)
            entries = _measure(settings, directory, measured, code)
            writing.keep(entries, code, next(measured.parts.vae.parameters()).device)


def _measure(
    settings: GradientsSettings, directory: RunDirectory, measured: ModelStates, code: Code
) -> dict[str, Any]:
    parts, states = measured
    train_if_asked(settings, states, parts)
    weights = [weights_at(state, settings.trained, parts) for state in states]
    directory.keep_diff(code)
    rows: list[dict[str, Any]] = []
    for state, (samples, state_dict) in zip(states, weights, strict=True):
        parts.vae.load_state_dict(state_dict)
        rows += _rows(state, samples, settings, parts)
    table = pl.DataFrame(rows, infer_schema_length=None)
    with written_whole(directory.path) as folder:
        table.write_parquet(folder / "gradients.parquet")
        (folder / "table.md").write_text(_markdown(table))
        draw_variances(table, folder / "figures")
    return {
        "signature": directory.signature,
        "definition": directory.definition,
        "metrics": _metrics(table),
        "checkpoints": {
            str(state.checkpoint): checksum(state.checkpoint) for state in states if state.checkpoint
        },
        "training": settings.trained.config,
        "config": directory.config,
    }


def _rows(
    state: State, samples: int, settings: GradientsSettings, parts: TrainingParts
) -> Iterator[dict[str, Any]]:
    vae = _placed(parts)
    where = {
        "state": state.name,
        "samples": samples,
        "latent_dim": vae.latent_dim,
        "seed": settings.training.seed,
        "dataset": type(parts.dataset).__name__,
        "run": settings.trained.signature,
    }
    for measurement in settings.probe.measure(vae, parts.dataset, settings.estimators, settings.noise):
        yield where | asdict(measurement)


def _placed(parts: TrainingParts) -> VAE:
    """The model on the trainer's device and in its precision."""
    double = str(parts.trainer_factory.precision).startswith("64")
    device = parts.trainer.strategy.root_device
    return parts.vae.to(device=device, dtype=torch.float64 if double else torch.float32)


def _metrics(table: pl.DataFrame) -> dict[str, float]:
    """The variance of the whole encoder's gradient, by state and estimator."""
    encoder = table.filter(pl.col("group") == "encoder")
    return {f"variance/{row['state']}/{row['estimator']}": row["variance"] for row in encoder.to_dicts()}


def _markdown(table: pl.DataFrame) -> str:
    """The table of the parts of the model, without their layers."""
    names = [name for name in table.columns if not name.endswith(("_low", "_high"))]
    rows = [
        [f"{row[name]:.4g}" if isinstance(row[name], float) else str(row[name]) for name in names]
        for row in table.filter(~pl.col("group").str.contains(r"\.")).to_dicts()
    ]
    return markdown_table(names, rows) + "\n"
