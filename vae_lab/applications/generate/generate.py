"""New data from a trained model, and whether they are new."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vae_lab.applications.base import Application, Outcome, Progress, Shown
from vae_lab.applications.generate.nearest import nearest_data
from vae_lab.datasets.base import Split
from vae_lab.figures.images import image_grid, interleave
from vae_lab.noise import random_subset
from vae_lab.trained.model import TrainedModel

MAX_COMPARED = 1000  # drawn data, and test data, whose nearest training datum is looked for
MAX_SHOWN = 100  # in a figure, at most
SHOWN_WITH_NEIGHBOUR = 24  # shown beside their nearest training datum


class GenerateInputs(NamedTuple):
    """The training data as they are compared, and whether the model's own pixels can be drawn."""

    train: Split
    can_sample: bool


@dataclass(frozen=True)
class Generate(Application):
    r"""Draws data from a model: z from its prior, x from p(x|z).

    Leaves `samples.npy`, a figure of the samples, one of each beside the nearest training datum, and with
    `by_class` the labels of these. To tell memory from generality, the distance from data that the model
    draws to the nearest training datum is compared with that of test data. A model that repeats its training
    data has a `distance/ratio` near 0; and `distance/copies` near 1 instead of 0.01, the share of what it
    draws that lies nearer to a training datum than 99 % of the test data do.

    References:
        A note on the evaluation of generative models (Theis, van den Oord & Bethge, 2016), on
        what nearest neighbours can show and what not.

    Args:
        number: How many.
        pixels: `mean` or `mode` of p(x|z), or a `sample` of it.
        temperature: By which the noise of the prior is scaled, above 0: below 1, likelier and less varied.
        by_class: Whether they are sorted by the label of the nearest training datum.

    Raises:
        ValueError: If a number is out of its range.
    """

    number: int = 64
    pixels: Literal["mean", "mode", "sample"] = "mean"
    temperature: float = 1.0
    by_class: bool = False

    def __post_init__(self) -> None:
        if self.number < 1:
            raise ValueError(f"number must be at least 1, got {self.number}.")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}.")

    def prepare(self, model: TrainedModel) -> GenerateInputs:
        if not model.parts.has_density:
            raise ValueError(
                f"run={model.result['signature']} is an autoencoder, which has no p(z) to draw from."
            )
        if not model.model.has_latents:
            for name, must_be in {"pixels": "sample", "temperature": 1.0}.items():
                if (value := getattr(self, name)) != must_be:
                    kind = type(model.model).__name__
                    raise ValueError(f"{name} must be {must_be} for {kind}, which has no z, got {value}.")
        can_sample = _can_sample(model)
        if self.pixels == "sample" and not can_sample:
            raise ValueError(f"pixels=sample: {type(model.model).__name__} cannot be sampled; use mean.")
        train = model.parts.dataset.measured_part("train")
        if self.by_class and train.labels is None:
            raise ValueError("by_class=true needs labels, which the run's dataset does not have.")
        if self.temperature != 1:
            model.sample_prior(1, self.temperature)  # raises where the prior has none
        return GenerateInputs(train, can_sample)

    def __call__(
        self, model: TrainedModel, prepared: GenerateInputs, folder: Path, progress: Progress
    ) -> Outcome:
        x = self._draw(model, self.number, self.pixels)
        shown_beside = model.data.train.x if self.pixels == "mean" else prepared.train.x  # grey beside grey
        near = nearest_data(x, shown_beside)
        labels = None
        if self.by_class:
            assert prepared.train.labels is not None
            labels = prepared.train.labels[near.numbers]
            order = labels.argsort(stable=True)
            x, labels, near = x[order], labels[order], type(near)(*(each[order] for each in near))
            np.save(folder / "labels.npy", labels.numpy())
        np.save(folder / "samples.npy", x.numpy())
        _draw_samples(x, labels, self._title(), folder)
        beside = shown_beside[near.numbers[:SHOWN_WITH_NEIGHBOUR]]
        _draw_beside(x[:SHOWN_WITH_NEIGHBOUR], beside, folder / "nearest_training_data.png")
        progress(1, 2)
        return self._compared(model, prepared, labels)

    def _draw(self, model: TrainedModel, count: int, pixels: str) -> Tensor:
        seed = model.noise.seed
        if pixels == "sample":
            return model.sample(count, seed, self.temperature).cpu()
        z = model.sample_prior(count, self.temperature, seed)
        return model.decode(z, "mode" if pixels == "mode" else "mean").cpu()

    def _compared(self, model: TrainedModel, prepared: GenerateInputs, labels: Tensor | None) -> Outcome:
        """How near to the training data the model draws, beside how near the test data lie."""
        pixels = "sample" if prepared.can_sample else self.pixels
        test = model.data.test.x
        chosen = random_subset(len(test), MAX_COMPARED, seed=0, purpose="compared")
        drawn = nearest_data(self._draw(model, len(chosen), pixels), prepared.train.x).distances
        held_out = nearest_data(test[chosen], prepared.train.x).distances
        metrics = {
            "distance/drawn": float(drawn.median()),
            "distance/test": float(held_out.median()),
            "distance/ratio": float(drawn.median() / held_out.median()),
            "distance/copies": float((drawn < held_out.quantile(0.01)).double().mean()),
        }
        shares = {} if labels is None else _shares(labels)
        notes = (
            []
            if prepared.can_sample
            else [
                f"{type(model.model).__name__} cannot be sampled: distances are those of its {self.pixels}s"
            ]
        )
        count = f"{len(chosen):,}"
        rows = [
            ("to the nearest training datum", "", ""),
            ("  drawn", f"{metrics['distance/drawn']:.3f}", f"median of {count}"),
            ("  test data", f"{metrics['distance/test']:.3f}", f"median of {count}"),
            ("  ratio", f"{metrics['distance/ratio']:.3f}", "0 would be memory"),
            ("  copies", f"{metrics['distance/copies']:.3f}", "nearer than 99 % of test data"),
            *((name.replace("/", " "), f"{share:.3f}", "share") for name, share in shares.items()),
        ]
        return Outcome(metrics | shares, "distance/ratio", Shown(("", "distance", ""), rows), notes)

    def _title(self) -> str:
        of = {"mean": "means of p(x|z)", "mode": "modes of p(x|z)", "sample": "samples"}[self.pixels]
        return of + (f", temperature {self.temperature:g}" if self.temperature != 1 else "")


def _can_sample(model: TrainedModel) -> bool:
    try:
        model.model.sample_spec(model.data_shape)
    except ValueError:
        return False
    return True


def _shares(labels: Tensor) -> dict[str, float]:
    names, counts = labels.unique(return_counts=True)
    return {
        f"class/{name}": count / len(labels)
        for name, count in zip(names.tolist(), counts.tolist(), strict=True)
    }


def _draw_samples(x: Tensor, labels: Tensor | None, title: str, folder: Path) -> None:
    """A square of samples, or a row for each class."""
    path = folder / "samples.png"
    if labels is None:
        columns = max(1, round(min(len(x), MAX_SHOWN) ** 0.5))
        image_grid([(title, x[:MAX_SHOWN])], path, columns)
        return
    columns = 10
    rows = []
    for label in labels.unique().tolist():
        of_class = x[labels == label][:columns]
        missing = columns - len(of_class)
        blank = torch.full((missing, *x.shape[1:]), 0.5)
        rows.append(torch.cat([of_class, blank]))
    names = ", ".join(map(str, labels.unique().tolist()))
    image_grid(
        [(f"{title}\na row for each class of the nearest training datum: {names}", torch.cat(rows))],
        path,
        columns,
    )


def _draw_beside(x: Tensor, train: Tensor, path: Path) -> None:
    columns = min(8, len(x))
    whole = len(x) // columns * columns
    if x.dim() != 4:
        image_grid([("drawn, one per row", x), ("nearest training data", train)], path, columns)
        return
    rows = interleave(x[:whole], train[:whole], columns)
    image_grid([("drawn, each row above the nearest training data", rows)], path, columns)
