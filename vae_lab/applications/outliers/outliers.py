"""Which of the data a trained model finds unlike those that it was trained on."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor

from vae_lab.applications.base import Application, Outcome, Progress, Shown
from vae_lab.applications.impute.baselines import mean_of
from vae_lab.applications.outliers.detection import Detection, detection
from vae_lab.applications.outliers.figures.scores import histograms
from vae_lab.applications.outliers.scores import (
    OF_LIKELIHOOD,
    OF_WEIGHTS,
    SCORES,
    likelihood_ratio,
    outlier_scores,
    reconstruction_error,
    scores_of,
    typicality,
)
from vae_lab.errors import did_you_mean
from vae_lab.figures.images import image_grid
from vae_lab.inference.weights import doubts, tolerated
from vae_lab.models.alternatives import IndependentPixels
from vae_lab.models.alternatives.base import DensityModel
from vae_lab.models.likelihoods import Bernoulli, Gaussian
from vae_lab.models.observed import filled
from vae_lab.models.sampling import noise_for
from vae_lab.noise import NoiseSpec, random_subset
from vae_lab.numerics.streamed import in_batches, subsample
from vae_lab.trained.data import Given, given
from vae_lab.trained.model import TrainedModel, load

AT_A_TIME = 500
OF_BACKGROUND = 10_000  # training data that the background is fitted to, at most
OF_ENTROPY = 1000  # held-out data whose mean -log p(x) is the typical one, at most
PERTURBATION = 0.1  # of the background's training data, in their standard deviations
SHOWN = 25


class Part(NamedTuple):
    """Data, and the numbers of those among them that are scored, which key their noise beside `key`."""

    whole: Given
    numbers: Tensor
    key: str

    @property
    def title(self) -> str:
        return f"{self.whole.name} ({len(self.numbers):,})"

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The data and their numbers, some after another."""
        return in_batches(self.whole.split.x, self.numbers.split(AT_A_TIME))


class OutlierInputs(NamedTuple):
    """Inliers, outliers, data for the typical likelihood, the background, and the scores to be given."""

    inliers: Part
    outliers: Part
    like_training: Part
    background: TrainedModel | DensityModel | None
    scores: list[str]


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
        for key, part in {f"split={self.split}": inliers, f"against={self.against}": outliers}.items():
            if len(part.split.x) < 2:
                raise ValueError(f"{key} must have at least 2 data, got {len(part.split.x)}.")
            if bool(subsample(part.split.x).isnan().any()):
                raise ValueError(f"{key} must be complete data, and pixels are missing (nan) in these.")
        can = scores_of(model.model, model.parts.has_density)
        if unable := set(self.scores or []) - set(can):
            raise ValueError(
                f"scores must be among {', '.join(can)} for this model, got {', '.join(sorted(unable))}."
            )
        if can and not isinstance(model.model, DensityModel) and not model.model.has_encoder:
            raise ValueError(f"run={model.result['signature']} has no q(z|x), which the scores need.")
        wanted = [name for name in SCORES if name in (self.scores or can)]
        held_out = "validation" if len(dataset.data.validation.x) else "train"
        if "typicality" in wanted and bool(subsample(getattr(dataset.data, held_out).x).isnan().any()):
            if self.scores:
                raise ValueError(
                    f"scores has typicality, which needs complete {held_out} data; leave it out."
                )
            wanted.remove("typicality")
        return OutlierInputs(
            _part(inliers, self.max_data, "outliers", self.split),
            _part(outliers, self.max_data, "outliers", "outliers"),
            _part(Given(dataset.measured_part(held_out), held_out), OF_ENTROPY, "entropy", held_out),
            self._background(model) if "likelihood_ratio" in wanted else None,
            wanted,
        )

    def _background(self, model: TrainedModel) -> TrainedModel | DensityModel:
        if self.background is None:
            return _independent_pixels(model)
        other = load(self.background, model.checkpoint.parents[3], model.device)
        if other.data_shape != model.data_shape or not other.parts.has_density:
            raise ValueError(
                f"background must be a run with a p(x) of data of shape {model.data_shape}, got "
                f"{self.background}, a {type(other.model).__name__} of shape {other.data_shape}."
            )
        return other

    def __call__(
        self, model: TrainedModel, prepared: OutlierInputs, folder: Path, progress: Progress
    ) -> Outcome:
        inliers, outliers = prepared.inliers, prepared.outliers
        total = len(inliers.numbers) + len(outliers.numbers)
        entropy = self._entropy(model, prepared)
        both = []
        for part, before in ((inliers, 0), (outliers, len(inliers.numbers))):
            both.append(
                self._scored(
                    model, prepared, part, entropy, lambda done, before=before: progress(before + done, total)
                )
            )
        _table(prepared, both).write_parquet(folder / "scores.parquet")
        pairs = {name: (both[0][name], both[1][name]) for name in prepared.scores}
        found = {name: detection(*pair) for name, pair in pairs.items()}
        aurocs = {name: each.auroc for name, each in found.items()}
        histograms(pairs, aurocs, [inliers.title, outliers.title], folder / "histograms.png")
        self._extremes(prepared, pairs, folder / "most_and_least_likely.png")
        return self._outcome(model, prepared, found, self._doubts(prepared, both))

    def _entropy(self, model: TrainedModel, prepared: OutlierInputs) -> float:
        """The mean of -log p(x) over data like those that were trained on."""
        if "typicality" not in prepared.scores:
            return 0.0
        parts = [each["negative_log_likelihood"] for each in self._of_model(model, prepared.like_training)]
        return float(np.concatenate(parts).mean())

    def _scored(
        self, model: TrainedModel, prepared: OutlierInputs, part: Part, entropy: float, progress: Any
    ) -> dict[str, np.ndarray]:
        """Every score of every datum, and what they are made of."""
        parts = []
        for number, found in enumerate(self._of_model(model, part)):
            parts.append(found)
            progress(min((number + 1) * AT_A_TIME, len(part.numbers)))
        scores = {name: np.concatenate([each[name] for each in parts]) for name in parts[0]}
        if "negative_log_likelihood" not in scores:
            return scores
        likelihood = torch.from_numpy(scores["negative_log_likelihood"])
        scores["typicality"] = typicality(likelihood, entropy).numpy()
        if prepared.background is not None:
            of_background = list(self._of_model(prepared.background, part))
            found = {
                name: np.concatenate([each[name] for each in of_background]) for name in of_background[0]
            }
            background = torch.from_numpy(found["negative_log_likelihood"])
            scores["likelihood_ratio"] = likelihood_ratio(likelihood, background).numpy()
            scores |= {f"background/{name}": found[name] for name in OF_WEIGHTS if name in found}
        return scores

    def _doubts(self, prepared: OutlierInputs, both: Sequence[Mapping[str, np.ndarray]]) -> list[str]:
        """Caveats on the importance weights, by which likelihoods are estimated."""
        if not set(prepared.scores) & set(OF_LIKELIHOOD):
            return []
        consequence = "their likelihoods may be too low, and more importance_samples tell"
        notes = []
        for kind, scores in zip(("inliers", "outliers"), both, strict=True):
            for prefix, of in {"": "", "background/": " by the background"}.items():
                sizes, in_doubt = (scores.get(f"{prefix}{name}") for name in OF_WEIGHTS)
                if (
                    sizes is None
                    or in_doubt is None
                    or not (in_doubt.mean() > tolerated(self.importance_samples))
                ):
                    continue
                share, size = float(in_doubt.mean()), float(sizes.mean())
                notes.append(f"{kind}{of}: {doubts(share, size, self.importance_samples, consequence)}")
        return notes

    def _of_model(self, model: TrainedModel | DensityModel, part: Part) -> Iterator[dict[str, np.ndarray]]:
        """Scores of one model, batch after batch."""
        for x, numbers in part.batches():
            if isinstance(model, DensityModel):
                found = {"negative_log_likelihood": -model.log_prob(x).double()}
            else:
                found = _one_batch(model, x, numbers, self.importance_samples, part.key)
            yield {name: values.cpu().numpy() for name, values in found.items()}

    def _extremes(
        self, prepared: OutlierInputs, pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], path: Path
    ) -> None:
        judged_by = "negative_log_likelihood" if "negative_log_likelihood" in pairs else prepared.scores[0]
        groups = []
        for part, scores in zip((prepared.inliers, prepared.outliers), pairs[judged_by], strict=True):
            order = part.numbers[torch.from_numpy(np.argsort(scores, kind="stable"))]
            for what, ends in {"most": order[:SHOWN], "least": order.flip(0)[:SHOWN]}.items():
                groups.append((f"{part.whole.name}\n{what} likely", part.whole.split.x[ends]))
        image_grid(groups, path, columns=5)

    def _outcome(
        self, model: TrainedModel, prepared: OutlierInputs, found: Mapping[str, Detection], said: list[str]
    ) -> Outcome:
        metrics: dict[str, float] = {}
        for name, each in found.items():
            metrics |= {f"auroc/{name}": each.auroc, f"aupr/{name}": each.aupr, f"fpr95/{name}": each.fpr95}
            if not math.isnan(each.auroc_error):
                metrics[f"standard_error/auroc/{name}"] = each.auroc_error
            if not math.isnan(each.auroc_low):
                metrics |= {f"low/auroc/{name}": each.auroc_low, f"high/auroc/{name}": each.auroc_high}
        rows = [
            (name, f"{each.auroc:.3f}", _interval(each), f"{each.aupr:.3f}", f"{each.fpr95:.3f}")
            for name, each in found.items()
        ]
        number = len(prepared.inliers.numbers), len(prepared.outliers.numbers)
        judged_by = "negative_log_likelihood" if "negative_log_likelihood" in found else prepared.scores[0]
        notes = [
            *model.result["notes"],
            *prepared.outliers.whole.notes,
            f"{number[0]:,} inliers, {number[1]:,} outliers ({prepared.outliers.whole.name})",
            *said,
        ]
        shown = Shown(("score", "AUROC", "95 % interval", "AUPR", "FPR95"), rows)
        background = prepared.background
        others = [background.checkpoint] if isinstance(background, TrainedModel) else []
        return Outcome(metrics, f"auroc/{judged_by}", shown, notes, checkpoints=others)


def _interval(found: Detection) -> str:
    """The 95 % interval of the AUROC; a dash where it is unknown."""
    return "-" if math.isnan(found.auroc_low) else f"{found.auroc_low:.3f} to {found.auroc_high:.3f}"


def _one_batch(model: TrainedModel, x: Any, numbers: Any, num_samples: int, part: str) -> dict[str, Any]:
    batch = model.batch(x, numbers)
    vae = model.model if isinstance(model.model, DensityModel) else model.with_posterior(batch, part)
    if not model.parts.has_density and not isinstance(vae, DensityModel):
        return {"reconstruction_error": reconstruction_error(vae, batch)}
    return outlier_scores(vae, batch, model.noise.of_part(part), num_samples)


def _independent_pixels(model: TrainedModel) -> DensityModel:
    """A background of what each pixel is like in the training data, for densities with noise on them.

    References:
        Likelihood Ratios for Out-of-Distribution Detection (Ren et al., 2019), for the noise.
    """
    train = model.parts.dataset.measured_part("train").x
    x = train[random_subset(len(train), OF_BACKGROUND, seed=0, purpose="background")]
    x = filled(x, mean_of(x).to(x))
    binary = isinstance(getattr(model.model, "likelihood", None), Bernoulli)
    if not binary:
        spec = {"pixels": NoiseSpec("normal", 1, model.data_shape)}
        x = x + PERTURBATION * x.std() * noise_for(spec, len(x), seed=0, like=x)["pixels"][0]
    pixels = IndependentPixels(model.data_shape, Bernoulli() if binary else Gaussian())
    for _ in pixels.fit(x, model.noise):
        pass
    return pixels.to(model.device)


def _part(whole: Given, most: int | None, purpose: str, key: str) -> Part:
    number = len(whole.split.x)
    return Part(whole, random_subset(number, number if most is None else most, seed=0, purpose=purpose), key)


def _table(prepared: OutlierInputs, both: Sequence[Mapping[str, np.ndarray]]) -> pl.DataFrame:
    """A row for each datum: which kind it is, its number there, file and label, and its scores."""
    parts = []
    for kind, part, scores in zip(("inlier", "outlier"), prepared[:2], both, strict=True):
        (_, labels), numbers = part.whole.split, part.numbers.tolist()
        names, nothing = part.whole.names, [None] * len(numbers)
        columns: dict[str, Any] = {
            "kind": [kind] * len(numbers),
            "index": numbers,
            "file": nothing if names is None else [names[number] for number in numbers],
            "label": nothing if labels is None else labels[part.numbers].tolist(),
        }
        types: Any = {"file": pl.String, "label": pl.Int64}
        columns |= {name: scores[name] for name in prepared.scores}
        parts.append(pl.DataFrame(columns, schema_overrides=types))
    return pl.concat(parts)
