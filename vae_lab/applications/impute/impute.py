"""Imputation of missing pixels by a trained model."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vae_lab.applications.base import Application, Outcome, Progress, Shown
from vae_lab.applications.impute.base import Imputed, joined
from vae_lab.applications.impute.baselines import NEIGHBOURS, by_nearest_neighbours, mean_of
from vae_lab.applications.impute.figures import draw_imputations
from vae_lab.applications.impute.held_out import HeldOut, held_out_log_likelihood
from vae_lab.applications.impute.imputers import Imputers, Method
from vae_lab.applications.impute.mask import given_mask
from vae_lab.applications.impute.scores import imputation_scores
from vae_lab.inference.terms import Statistic
from vae_lab.inference.weights import doubts, tolerated
from vae_lab.models import observed
from vae_lab.models.sampling import tensor_of
from vae_lab.models.vae import Batch
from vae_lab.noise import EVALUATION_BLOCK, PARTS, TEST, NoiseSource, random_subset
from vae_lab.trained.data import given
from vae_lab.trained.model import TrainedModel

PIXELS_AT_A_TIME = 2**22  # pixels that are decoded at a time
JUDGED_BY = "log_likelihood/missing"


class ImputeInputs(NamedTuple):
    """The data and what is missing of them, and what they are compared with.

    Args:
        x: `(N, *data_shape)`, as the model is measured on them.
        missing: Which pixels are held out, `(N, *data_shape)`.
        numbers: Of the data in their part, `(N,)`.
        train: Some training data, for the nearest neighbours.
        means: Of all training data, `(*data_shape)`.
        notes: Caveats.
    """

    x: Tensor
    missing: Tensor
    numbers: Tensor
    train: Tensor
    means: Tensor
    notes: list[str]

    @property
    def seen(self) -> Tensor:
        """The data with NaN for what is missing."""
        return self.x.masked_fill(self.missing, torch.nan)


@dataclass(frozen=True)
class Impute(Application):
    r"""Imputes missing pixels, and tells how well.

    No method sees the true values of what is missing. Leaves `imputations.npy` `(methods, draws, data,
    *data_shape)`, `means.npy` `(methods, data, *data_shape)`, `mask.npy`, the `numbers.npy` of the data in
    their part, and a figure. Errors are those of each method's estimate of $E[x_m|x_o]$; beside them stand
    those of the means of the training data and of the nearest of these.

    Args:
        missing: A share in (0, 1), of pixels that are missing completely at random; `top`, `bottom`, `left`
            or `right`, half of an image; a `.npy` file, true where a pixel is missing, of one datum's shape
            or of all data's; a `.png` file, whose white pixels are missing. None for what the data miss of
            their own (NaN), of which nothing is known that could be scored.
        data: Whose pixels: a part of the run's data, another dataset, or files, as for `given`.
        methods: By which they are imputed.
        steps: Of the Markov chains, at least 2.
        importance_samples: Of the importance weighting, and of the log-likelihood, at least 1.
        imputations: Draws for each datum by each method, at least 1.
        fill: What the encoder sees in place of what is missing, where samples of q(z|x_obs) are weighted:
            `zeros`, `means` of the training data, or `reconstructions`, ten times over; None for zeros if it
            was trained on incomplete data, else reconstructions.
        max_data: How many data at most, at random.
        max_train: How many training data the nearest ones are looked for among, at random.

    Raises:
        ValueError: If an argument is out of its range.
    """

    missing: float | str | None = None
    data: str = "test"
    methods: list[Method] = field(
        default_factory=lambda: ["importance_weighted", "metropolis_within_gibbs", "pseudo_gibbs"]
    )
    steps: int = 100
    importance_samples: int = 500
    imputations: int = 5
    fill: Literal["zeros", "means", "reconstructions"] | None = None
    max_data: int = 1000
    max_train: int = 2000

    def __post_init__(self) -> None:
        for name in ("max_data", "max_train"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        self._imputers()

    def _imputers(self) -> Imputers:
        return Imputers(self.methods, self.steps, self.importance_samples, self.imputations)

    def prepare(self, model: TrainedModel) -> ImputeInputs:
        _check(model)
        if self.data == "train":
            raise ValueError(
                "data must not be train, which the baselines know, missing pixels too; use test."
            )
        given_data = given("data", self.data, model.parts.dataset, gaps=True)
        count = len(given_data.split.x)
        chosen = random_subset(count, self.max_data, seed=0, purpose="impute")
        x = given_data.split.x[chosen]
        missing = self._held_out(x, chosen, count, model)
        train = model.parts.dataset.measured_part("train").x
        notes = [f"{len(x):,} of the {count:,} {given_data.name} data, at random"] if len(x) < count else []
        return ImputeInputs(
            x,
            missing,
            chosen,
            train[random_subset(len(train), self.max_train, seed=0, purpose="impute")],
            mean_of(train),
            [*given_data.notes, *notes],
        )

    def _held_out(self, x: Tensor, chosen: Tensor, count: int, model: TrainedModel) -> Tensor:
        """Which pixels the data have and no method sees; none, if the data miss some of their own."""
        if self.missing is None:
            if not bool(x.isnan().any()):
                raise ValueError(
                    "missing must be given for data that have all pixels: a share in (0, 1), top, bottom, "
                    "left, right, or a .npy or .png file."
                )
            return torch.zeros_like(x, dtype=torch.bool)
        mask = given_mask("missing", self.missing, model.data_shape, count, self._noise(model))
        missing = mask(chosen) & ~x.isnan()
        if not bool(missing.any()):
            raise ValueError(f"missing={self.missing} hides nothing that data={self.data} have.")
        return missing

    def __call__(
        self, model: TrainedModel, prepared: ImputeInputs, folder: Path, progress: Progress
    ) -> Outcome:
        x, missing, seen = prepared.x, prepared.missing, prepared.seen
        imputed, held_out = self._impute(model, prepared, progress)
        baselines = {
            "mean": observed.filled(seen, prepared.means),
            "knn": by_nearest_neighbours(prepared.train, seen),
        }
        _write(folder, prepared, list(imputed.values()))
        beside = {"training mean": baselines["mean"], "nearest data": baselines["knn"]}
        of_methods = {name: (each.mean, each.draws) for name, each in imputed.items()}
        draw_imputations(x, seen, of_methods, beside, folder / "imputations.png")
        singles = {name: each.mean for name, each in imputed.items()} | baselines
        scores = {} if held_out is None else imputation_scores(singles, x, missing, held_out.log_likelihood)
        metrics = {name: each.value for name, each in scores.items()}
        metrics |= {f"standard_error/{name}": each.error for name, each in scores.items()}
        for each in imputed.values():
            metrics |= {name: values.double().mean().item() for name, values in each.diagnostics.items()}
        notes = [*model.result["notes"], *prepared.notes, *self._doubts(imputed, held_out)]
        if not scores:
            return Outcome(metrics, next(iter(metrics), ""), self._filled(metrics, prepared), notes)
        return Outcome(metrics, JUDGED_BY, self._shown(scores, metrics, len(prepared.train)), notes)

    def _impute(
        self, model: TrainedModel, prepared: ImputeInputs, progress: Progress
    ) -> tuple[dict[str, Imputed], HeldOut | None]:
        """Imputations by each method, and log p(x_m|x_o) of held-out pixels, if there are any."""
        vae = model.parts.vae
        like, imputers = tensor_of(vae), self._imputers()
        means = prepared.means.to(like)
        fill = self._fill(model, means)
        size = max(1, PIXELS_AT_A_TIME // (max(EVALUATION_BLOCK, self.imputations) * means.numel()))
        parts, held_out = [], []
        for places in torch.arange(len(prepared.x)).split(size):
            missing = prepared.missing[places].to(like.device)
            whole = Batch(prepared.x[places].to(like), prepared.numbers[places].to(like.device))
            seen = whole._replace(x=whole.x.masked_fill(missing, torch.nan))
            parts.append(imputers(vae, seen, fill, means, self._noise(model)))
            if self.missing is not None:
                held_out.append(
                    held_out_log_likelihood(
                        vae, whole, missing, fill, self._noise(model), self.importance_samples
                    )
                )
            progress(int(places[-1]) + 1, len(prepared.x))
        of_each = (joined(of_method) for of_method in zip(*parts, strict=True))
        by_method = dict(zip(map(str, self.methods), of_each, strict=True))
        of_all = (torch.cat(each).cpu() for each in zip(*held_out, strict=True))
        return by_method, HeldOut(*of_all) if held_out else None

    def _noise(self, model: TrainedModel) -> NoiseSource:
        return model.noise.of_part(self.data if self.data in PARTS else TEST)

    def _doubts(self, imputed: dict[str, Imputed], held_out: HeldOut | None) -> list[str]:
        """Caveats of the importance weights."""
        if held_out is not None:
            _, sizes, in_doubt = held_out
            consequence = "log p(x_miss|x_obs) and imputations by them may be wrong there"
        elif "importance_weighted" in imputed:
            diagnostics = imputed["importance_weighted"].diagnostics
            sizes, in_doubt = diagnostics["effective_sample_size"], diagnostics["in_doubt"]
            consequence = "imputations by them may be wrong there"
        else:
            return []
        if not (share := in_doubt.double().mean().item()) > tolerated(self.importance_samples):
            return []
        remedy = f"{consequence}, and more importance_samples tell"
        return [doubts(share, sizes.mean().item(), self.importance_samples, remedy)]

    def _fill(self, model: TrainedModel, means: Tensor) -> observed.Fill:
        as_trained = "zeros" if model.parts.dataset.incomplete else "reconstructions"
        fills: dict[str, observed.Fill] = {
            "zeros": 0.0,
            "means": means,
            "reconstructions": observed.Reconstructed(model.parts.vae, means),
        }
        return fills[self.fill or as_trained]

    def _said(self, metrics: dict[str, float]) -> dict[str, str]:
        """The diagnostics of each method's draws."""
        return {
            "importance_weighted": f"effective size {metrics.get('effective_sample_size', 0):,.0f} of "
            f"{self.importance_samples:,}",
            "metropolis_within_gibbs": f"{metrics.get('acceptance', 0):.0%} of proposals accepted",
        }

    def _filled(self, metrics: dict[str, float], prepared: ImputeInputs) -> Shown:
        """The outcome where nothing is known of the truth."""
        remarks = self._said(metrics)
        rows = [(name, remarks.get(name, "")) for name in self.methods]
        gaps = f"{prepared.seen.isnan().double().mean().item():.1%} of the pixels of {len(prepared.x):,} data"
        return Shown(("missing", gaps), rows)

    def _shown(self, statistics: dict[str, Statistic], metrics: dict[str, float], count: int) -> Shown:
        remarks = self._said(metrics) | {
            "mean": "of the training data",
            "knn": f"{NEIGHBOURS} of {count:,} training data",
        }
        rows = []
        for name in [*self.methods, "mean", "knn"]:
            wrong = statistics.get(f"wrong/{name}")
            shares = () if wrong is None else (f"{wrong.value:.1%}",)
            rows.append((name, *_words(statistics[f"rmse/{name}"], 4), *shares, remarks.get(name, "")))
        blank = [""] * (len(rows[0]) - 3)
        rows.append(("log p(x_miss|x_obs)", *_words(statistics[JUDGED_BY], 3), *blank[1:], "nats per datum"))
        per_pixel = _words(statistics["log_likelihood/per_pixel"], 4)
        rows.append(("", *per_pixel, *blank[1:], "nats per missing pixel"))
        wrong_column = ["wrong"] if len(blank) > 1 else []
        return Shown(("missing pixels", "RMSE", "s.e.", *wrong_column, ""), rows)


def _check(model: TrainedModel) -> None:
    """Raises `ValueError` if the model cannot impute."""
    name = f"run={model.result['signature']}"
    if not model.parts.has_density:
        raise ValueError(f"{name} is an autoencoder, which has no p(x|z) to draw pixels from.")
    if not model.model.has_latents:
        raise ValueError(f"{name} is {type(model.model).__name__}, and imputation needs a VAE's q(z|x).")
    if not model.model.is_amortized:
        raise ValueError(
            f"{name} has no q(z|x) that serves every datum (model/encoder=none or per_datum), which "
            "imputation needs."
        )
    model.model.sample_spec(model.data_shape)


def _write(folder: Path, prepared: ImputeInputs, imputed: list[Imputed]) -> None:
    np.save(folder / "imputations.npy", torch.stack([each.draws for each in imputed]).numpy())
    np.save(folder / "means.npy", torch.stack([each.mean for each in imputed]).numpy())
    np.save(folder / "mask.npy", prepared.seen.isnan().numpy())
    np.save(folder / "numbers.npy", prepared.numbers.numpy())


def _words(statistic: Statistic, digits: int) -> tuple[str, str]:
    return f"{statistic.value:,.{digits}f}", f"{statistic.error:.{digits}f}"
