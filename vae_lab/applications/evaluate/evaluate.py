"""How good a trained model is."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import polars as pl
import torch
from torch import Tensor

from vae_lab.applications.base import Application, Outcome, Progress
from vae_lab.applications.evaluate.figures import kl_per_dimension
from vae_lab.config.instantiate import named
from vae_lab.evaluation.measures import Measured, Measures
from vae_lab.models.observed import of_observed
from vae_lab.models.sampling import tensor_of
from vae_lab.models.vae import Batch, has_latents
from vae_lab.numerics.streamed import subsample
from vae_lab.trained.model import TrainedModel

WEIGHTED_MEASURES = ("log_likelihood", "bits_per_dimension", "annealing_gain", "approximation_gap")


@dataclass(frozen=True)
class Evaluate(Application):
    """Measures a trained model on one split, in nats per datum.

    Leaves `data.parquet` with the terms of each datum, in the order of the split, and a figure of the latent
    dimensions.

    Args:
        measures: What is measured.
        split: On which part of the run's dataset.
    """

    needs_pixels = False

    measures: Measures
    split: Literal["test", "validation"] = "test"

    def prepare(self, model: TrainedModel) -> Batch:
        """All data of the split, beside the model on its device."""
        x = getattr(model.data, self.split).x
        if len(x) == 0:
            raise ValueError(f"split={self.split}: the dataset of the run has none; use split=test.")
        if not model.parts.has_density:
            raise ValueError(
                f"run={model.result['signature']} is an autoencoder, which has no p(x, z) to measure."
            )
        try:
            self.measures.check(model.model)
        except ValueError as error:
            raise ValueError(named(error, "measures", vars(self.measures))) from error
        rows = cast(
            Tensor, x.to(tensor_of(model.model))
        )  # or what stands for one, and is read as it is measured
        return Batch(rows, torch.arange(len(x), device=model.device))

    def __call__(self, model: TrainedModel, prepared: Batch, folder: Path, progress: Progress) -> Outcome:
        total = len(prepared.x)
        vae = model.model
        if has_latents(vae) and bool(subsample(prepared.x).isnan().any()):
            vae = of_observed(vae)
        measured = self.measures(
            vae, prepared, model.noise.of_part(self.split), lambda done: progress(done, total)
        )
        _write(measured, folder)
        metrics = {}
        for name, (value, error, monte_carlo_error) in measured.statistics.items():
            metrics[f"{self.split}/{name}"] = value
            metrics |= {} if math.isnan(error) else {f"standard_error/{name}": error}
            metrics |= (
                {} if math.isnan(monte_carlo_error) else {f"monte_carlo_error/{name}": monte_carlo_error}
            )
        kl = [] if measured.kl_per_dimension is None else measured.kl_per_dimension.tolist()
        return Outcome(
            metrics | {f"kl_per_dimension/{index}": value for index, value in enumerate(kl)},
            metric=f"{self.split}/{_judged_by(measured)}",
            notes=[*model.result["notes"], *measured.notes],
            details={
                "log_likelihood": self._log_likelihood(model),
                "unknown_errors": _unknown(measured),
            },
        )

    def _log_likelihood(self, model: TrainedModel) -> str | None:
        """The kind of number that `log_likelihood` is."""
        if not model.model.has_latents:
            return model.model.log_likelihood
        return f"L_{max(self.measures.importance_samples, default=0)}"


def _write(measured: Measured, folder: Path) -> None:
    columns = {name: term.values.cpu().numpy() for name, term in measured.terms.items()}
    pl.DataFrame(columns).with_row_index("index").write_parquet(folder / "data.parquet")
    if measured.kl_per_dimension is not None:
        kl_per_dimension(measured.kl_per_dimension.tolist(), folder / "kl_per_dimension.png")


def _unknown(measured: Measured) -> list[str]:
    """The measures whose weights do not tell how far they are off."""
    return [
        name
        for name, each in measured.statistics.items()
        if name in WEIGHTED_MEASURES or name.startswith("L_")
        if math.isnan(each.monte_carlo_error)
    ]


def _judged_by(measured: Measured) -> str:
    """The log-likelihood as every kind of model has it, if it was measured, or else in another way."""
    ways = ("log_likelihood", "exact_log_likelihood", "log_likelihood_ais")
    return next((name for name in ways if name in measured.statistics), "log_likelihood")
