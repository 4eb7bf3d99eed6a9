"""Pictures and measures of a model's latent space."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from vae_lab.applications.base import Application, Outcome, Progress
from vae_lab.applications.explore.codes import Which
from vae_lab.applications.explore.encoding import codes_of, encode_datum
from vae_lab.applications.explore.figures.interpolations import End
from vae_lab.applications.explore.plane import draw_plane
from vae_lab.applications.explore.projection import Projection
from vae_lab.applications.explore.summary import outcome
from vae_lab.applications.explore.view import Datum, LatentView
from vae_lab.datasets.base import Split
from vae_lab.noise import permutation
from vae_lab.trained.data import given
from vae_lab.trained.model import TrainedModel

MIN_CODES = 3  # codes that make a plane


class ExploreInputs(NamedTuple):
    """Data that are looked at.

    Args:
        split: The data.
        around: Whose code the traversals are around, if one is named.
        ends: Of the interpolations.
    """

    split: Split
    around: Datum | None
    ends: tuple[Datum, Datum]


@dataclass(frozen=True)
class Explore(Application):
    r"""Shows the latent space of a model with an encoder.

    Leaves `traversals.png`, a row for each dimension; `interpolation.png`, between two data on the straight
    line and on the arc; `aggregate_posterior.png`, the codes of data in a plane, with their coordinates in
    `coordinates.parquet`; and, for two dimensions and a standard normal prior, `manifold.png`, p(x|z) over
    the quantiles of the prior. Measures the mean KL(q(z_d|x) || p(z_d)) of each dimension, how many are
    active, the share of the variance in the plane, and `knn_accuracy`: the share of the codes whose label is
    the most frequent one of their 10 nearest others there.

    References:
        Auto-Encoding Variational Bayes (Kingma & Welling, 2014), figure 4; Importance Weighted Autoencoders
        (Burda, Grosse & Salakhutdinov, 2016), section 5.1.

    Args:
        split: Whose codes are shown.
        around: Number of the datum of the split around whose code dimensions are moved; None for the mean of
            the prior, or of the codes of an autoencoder.
        reach: How far they are moved, above 0, in standard deviations of the prior, or of an autoencoder's
            codes.
        steps: Data in a row of traversals and of interpolations, at least 2.
        between: Two data, each by its number in the split or by a file; None for two at random, of different
            labels where there are labels.
        resize: Whether an image of another size or mode is scaled, cropped and converted.
        codes: Whether a code is the mean of q(z|x), or a sample of it.
        projection: Of more than two dimensions to the plane.
        max_data: Codes in the plane, at random, at least 3.

    Raises:
        ValueError: If an argument is out of its range.
    """

    needs_density = False

    split: Literal["train", "validation", "test"] = "test"
    around: int | None = None
    reach: float = 3.0
    steps: int = 9
    between: list[int | str] | None = None
    resize: bool = False
    codes: Which = "mean"
    projection: Projection = "pca"
    max_data: int = 2000

    def __post_init__(self) -> None:
        if not 0 < self.reach < math.inf:
            raise ValueError(f"reach must be above 0, got {self.reach}.")
        for name, least in {"steps": 2, "max_data": MIN_CODES}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        if self.between is not None and len(self.between) != 2:
            raise ValueError(
                f"between must name two data, such as [3,17] or [a.png,b.png], got {self.between}."
            )

    def prepare(self, model: TrainedModel) -> ExploreInputs:
        run = f"run={model.result['signature']}"
        if not model.model.has_latents:
            raise ValueError(
                f"{run} is a {type(model.model).__name__}, which has no latent variables to explore."
            )
        if not model.model.has_encoder:
            raise ValueError(f"{run} has no q(z|x) (model/encoder=none), and without it no codes to explore.")
        split = model.parts.dataset.measured_part(self.split)
        if len(split.x) == 0:
            raise ValueError(f"split={self.split}: the dataset of the run has none; use split=test.")
        if len(split.x) < MIN_CODES:
            raise ValueError(
                f"split={self.split} has {len(split.x)} data, and must have {MIN_CODES} at least."
            )
        around = None if self.around is None else self._numbered("around", self.around, split)
        between = self.between or _of_two_classes(split, model.noise.seed)
        first, second = (self._datum(which, split, model) for which in between)
        return ExploreInputs(split, around, (first, second))

    def _datum(self, which: int | str, split: Split, model: TrainedModel) -> Datum:
        if isinstance(which, int):
            return self._numbered("between", which, split)
        given_data = given("between", which, model.parts.dataset, self.resize)
        if len(given_data.split.x) != 1:
            raise ValueError(
                f"between={which} has {len(given_data.split.x)} data; name a file of one, or a number."
            )
        return Datum(given_data.name, given_data.split.x[:1])

    def _numbered(self, key: str, index: int, split: Split) -> Datum:
        size = len(split.x)
        if not 0 <= index < size:
            raise ValueError(
                f"{key} must be at least 0 and below {size}, the size of the {self.split} part, got {index}."
            )
        label = None if split.labels is None else int(split.labels[index])
        return Datum(f"{self.split} {index}", split.x[torch.tensor([index])], index, label)

    def __call__(
        self, model: TrainedModel, prepared: ExploreInputs, folder: Path, progress: Progress
    ) -> Outcome:
        split = prepared.split
        codes = codes_of(model, split, self.split, self.max_data, self.codes, progress)
        view = LatentView(model, codes)
        around = None if prepared.around is None else self._end(view, prepared.around)
        start, end = (self._end(view, datum) for datum in prepared.ends)
        view.draw_interpolation(start, end, self.steps, folder / "interpolation.png")
        labels = None if split.labels is None else split.labels[codes.numbers]
        codes_drawn = {"mean": "means", "sample": "samples"}[self.codes]
        title = f"{codes_drawn} of q(z|x), {len(codes.z):,} data of the {self.split} part"
        in_plane, of_plane = draw_plane(view, labels, self.projection, title, folder)
        notes = [
            *_of_fewer(view, len(split.x)),
            *view.draw_manifold(folder / "manifold.png"),
            *view.draw_traversals(around, self.reach, self.steps, folder / "traversals.png"),
            *of_plane,
        ]
        return outcome(view, in_plane, labels, notes)

    def _end(self, view: LatentView, datum: Datum) -> End:
        z = encode_datum(view.model, datum.x, datum.position, self.split)[: view.seen]
        return End(datum.name, datum.label, datum.x[0].cpu().float(), z.float())


def _of_fewer(view: LatentView, size: int) -> list[str]:
    measured = len(view.codes.numbers)
    if not view.vae.is_per_datum or measured == size:
        return []
    return [f"q is fitted to each datum: active units and KL are those of {measured:,} of the {size:,} data"]


def _of_two_classes(split: Split, seed: int) -> tuple[int, int]:
    """Two data at random, of different labels where there are any."""
    first, *others = permutation(len(split.x), seed=seed, purpose="between", epoch=0).tolist()
    if split.labels is None:
        return first, others[0]
    labels = split.labels.tolist()
    return first, next((other for other in others if labels[other] != labels[first]), others[0])
