"""Which of the data a trained model finds unlike those that it was trained on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from vae_lab.applications.base import Application, Outcome, Progress
from vae_lab.applications.outliers import results
from vae_lab.applications.outliers.detection import detection
from vae_lab.applications.outliers.figures.scores import histograms
from vae_lab.applications.outliers.scorer import Scorer, Subset, independent_pixels, scorer_of
from vae_lab.applications.outliers.scores import (
    SCORES,
    WEIGHT_DIAGNOSTICS,
    likelihood_ratio,
    scores_of,
    typicality,
)
from vae_lab.errors import did_you_mean
from vae_lab.numerics.streamed import StreamedTensor, subsample
from vae_lab.trained.data import Given, given
from vae_lab.trained.model import TrainedModel, load

HISTOGRAMS, EXTREMES = "histograms.png", "most_and_least_likely.png"
MAX_ENTROPY_DATA = 1000  # held-out data whose mean -log p(x) is the typical one


class OutlierInputs(NamedTuple):
    """Everything that is scored, and by what.

    Args:
        inliers: Data like those that were trained on.
        outliers: Other data.
        held_out: Data whose mean of -log p(x) is the typical one.
        scorer: The model.
        background: The background of the likelihood ratio, if that is wanted.
        scores: The names of the scores that are wanted.
    """

    inliers: Subset
    outliers: Subset
    held_out: Subset
    scorer: Scorer
    background: Scorer | None
    scores: list[str]

    @property
    def subsets(self) -> dict[str, Subset]:
        """The data that are told apart, by kind."""
        return {"inlier": self.inliers, "outlier": self.outliers}

    @property
    def main_score(self) -> str:
        """The name of the score that judges the whole."""
        first = "negative_log_likelihood"
        return first if first in self.scores else self.scores[0]


@dataclass(frozen=True)
class Outliers(Application):
    """Scores inliers and outliers, and measures how well each score tells them apart.

    Leaves `scores.parquet` with every score of every datum, histograms, and pictures of the most and the
    least likely data. Each score is higher for what looks less like the training data: see
    `vae_lab.applications.outliers.scores`. The background of `likelihood_ratio` is a model of independent
    pixels fitted to the training data, or another run.

    Args:
        against: The outliers: `left_out` for the classes that training left out (`dataset.leave_out`), an
            option of `dataset`, an image, a folder of images, or a `.npy` or `.npz` file.
        split: The part of the run's own dataset that are the inliers.
        scores: Which scores; None for all that the model can give.
        importance_samples: `K` of the importance-weighted log-likelihood, at least 1.
        background: Directory or signature of a run that is the background; None for independent pixels.
        max_data: Of each kind, at random; None for all.
        resize: Whether images of another size or mode are scaled, cropped and converted.

    Raises:
        ValueError: If a number is out of its range, or a score does not exist.
    """

    against: str
    split: Literal["test", "validation"] = "test"
    scores: list[str] | None = None
    importance_samples: int = 100
    background: str | None = None
    max_data: int | None = None
    resize: bool = False

    def __post_init__(self) -> None:
        if self.importance_samples < 1:
            raise ValueError(f"importance_samples must be at least 1, got {self.importance_samples}.")
        if self.max_data is not None and self.max_data < 2:
            raise ValueError(f"max_data must be at least 2, got {self.max_data}.")
        for name in self.scores or []:
            if name not in SCORES:
                raise ValueError(f"scores has {name}, which is no score{did_you_mean(name, SCORES)}")

    def prepare(self, model: TrainedModel) -> OutlierInputs:
        dataset = model.parts.dataset
        inliers = Given(dataset.measured_part(self.split), self.split)
        outliers = given("against", self.against, dataset, self.resize)
        _check_data(f"split={self.split}", inliers)
        _check_data(f"against={self.against}", outliers)
        held_out = "validation" if len(dataset.data.validation.x) else "train"
        like_training = Given(dataset.measured_part(held_out), held_out)
        scores = self._scores(model, held_out)
        return OutlierInputs(
            Subset.of(inliers, self.max_data, "outliers", self.split),
            Subset.of(outliers, self.max_data, "outliers", "outliers"),
            Subset.of(like_training, MAX_ENTROPY_DATA, "entropy", held_out),
            scorer_of(model, self.importance_samples),
            self._background(model) if "likelihood_ratio" in scores else None,
            scores,
        )

    def _scores(self, model: TrainedModel, held_out: str) -> list[str]:
        """The names of the scores that are wanted, of those that the model can give."""
        can = scores_of(model.model, model.parts.has_density)
        if unable := set(self.scores or []) - set(can):
            raise ValueError(
                f"scores must be among {', '.join(can)} for this model, got {', '.join(sorted(unable))}."
            )
        if can and model.model.has_latents and not model.model.has_encoder:
            raise ValueError(f"run={model.result['signature']} has no q(z|x), which the scores need.")
        wanted = [name for name in SCORES if name in (self.scores or can)]
        if "typicality" not in wanted or _is_complete(getattr(model.parts.dataset.data, held_out).x):
            return wanted
        if self.scores:
            raise ValueError(f"scores has typicality, which needs complete {held_out} data; leave it out.")
        return [name for name in wanted if name != "typicality"]

    def _background(self, model: TrainedModel) -> Scorer:
        if self.background is None:
            return independent_pixels(model)
        other = load(self.background, model.checkpoint.parents[3], model.device)
        if other.data_shape != model.data_shape or not other.parts.has_density:
            raise ValueError(
                f"background must be a run with a p(x) of data of shape {model.data_shape}, got "
                f"{self.background}, a {type(other.model).__name__} of shape {other.data_shape}."
            )
        return scorer_of(other, self.importance_samples)

    def __call__(
        self, model: TrainedModel, prepared: OutlierInputs, folder: Path, progress: Progress
    ) -> Outcome:
        scored = _scored(prepared, progress)
        results.scores_table(prepared.subsets, scored, prepared.scores).write_parquet(
            folder / "scores.parquet"
        )
        pairs = {name: (scored["inlier"][name], scored["outlier"][name]) for name in prepared.scores}
        detections = {name: detection(*pair) for name, pair in pairs.items()}
        titles = [subset.title for subset in prepared.subsets.values()]
        histograms(
            pairs, {name: each.auroc for name, each in detections.items()}, titles, folder / HISTOGRAMS
        )
        main = prepared.main_score
        results.draw_extremes(
            prepared.subsets, {kind: of[main] for kind, of in scored.items()}, folder / EXTREMES
        )
        notes = [
            *model.result["notes"],
            *prepared.outliers.data.notes,
            f"{len(prepared.inliers.indices):,} inliers, {len(prepared.outliers.indices):,} outliers "
            f"({prepared.outliers.data.name})",
            *results.caveats(scored, prepared.scores, self.importance_samples),
        ]
        others = list(prepared.background.checkpoints) if prepared.background else []
        metrics, shown = results.metrics(detections), results.shown(detections)
        return Outcome(metrics, f"auroc/{main}", shown, notes, checkpoints=others)


def _check_data(key: str, data: Given) -> None:
    if len(data.split.x) < 2:
        raise ValueError(f"{key} must have at least 2 data, got {len(data.split.x)}.")
    if not _is_complete(data.split.x):
        raise ValueError(f"{key} must be complete data, and pixels are missing (nan) in these.")


def _is_complete(x: torch.Tensor | StreamedTensor) -> bool:
    return not bool(subsample(x).isnan().any())


def _entropy(prepared: OutlierInputs) -> float:
    """The mean of -log p(x) over data like those that were trained on."""
    if "typicality" not in prepared.scores:
        return 0.0
    return float(prepared.scorer.scores(prepared.held_out)["negative_log_likelihood"].mean())


def _scored(prepared: OutlierInputs, progress: Progress) -> dict[str, dict[str, np.ndarray]]:
    """The scores of all data, by kind."""
    entropy, total = _entropy(prepared), sum(len(subset.indices) for subset in prepared.subsets.values())
    scored, before = {}, 0
    for kind, subset in prepared.subsets.items():
        scored[kind] = _scores_of(prepared, subset, entropy, partial(_advance, progress, before, total))
        before += len(subset.indices)
    return scored


def _advance(progress: Progress, before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _scores_of(
    prepared: OutlierInputs, subset: Subset, entropy: float, progress: Callable[[int], None]
) -> dict[str, np.ndarray]:
    """Every score of every datum, and the diagnostics of the weights that likelihoods are made of."""
    scores = prepared.scorer.scores(subset, progress)
    if "negative_log_likelihood" not in scores:
        return scores
    likelihood = torch.from_numpy(scores["negative_log_likelihood"])
    scores["typicality"] = typicality(likelihood, entropy).numpy()
    if prepared.background is not None:
        of_background = prepared.background.scores(subset)
        background = torch.from_numpy(of_background["negative_log_likelihood"])
        scores["likelihood_ratio"] = likelihood_ratio(likelihood, background).numpy()
        scores |= {
            f"background/{name}": of_background[name] for name in WEIGHT_DIAGNOSTICS if name in of_background
        }
    return scores
