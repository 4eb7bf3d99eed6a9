"""The codes of data, and how good they are as a representation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor

from vae_lab.applications.base import Application, Outcome, Progress, Shown
from vae_lab.applications.embed.explained_variance import ExplainedVariance
from vae_lab.applications.embed.figures import accuracy
from vae_lab.applications.embed.probed import metrics_of, table_of
from vae_lab.applications.embed.probing_codes import (
    Labelled,
    Probed,
    ProbingClassifiers,
    with_components,
    without_gaps,
)
from vae_lab.datasets.base import Split, SplitDataset
from vae_lab.files.export import check_destination
from vae_lab.noise import PARTS, TEST, random_subset
from vae_lab.trained.data import Given, given
from vae_lab.trained.encode import encoded, notes_on_codes, samples_of
from vae_lab.trained.model import TrainedModel

LABEL_COUNTS = (10, 100, 1000)  # of labels, unless given
MAX_TEST_DATA = 10_000  # test data of the probe, at most


class EmbedInputs(NamedTuple):
    """The data to encode and, where codes are probed, training and test data with labels."""

    given: Given
    probed: tuple[Split, Split] | None
    notes: list[str]


@dataclass(frozen=True)
class Embed(Application):
    """Encodes data, and tries the code as a representation.

    Leaves `codes.parquet` with a row for each datum: `index`; `file`, where each is one; `label`, where there
    are any; `mean_0 ...`, the mean of q(z|x); `scale_0 ...`, its standard deviations, if these have a closed
    form and the model uses them; and `sample_0_0 ...`, samples of it, the first number being the sample's.
    The metric `explained_variance` is the share of the variance of these data that comes back when their
    means are decoded.

    Where the run's dataset has labels, classifiers are trained on its training part and tested on its test
    part: on the means, on the pixels, and on as many principal components as there are latent dimensions,
    with few labels and with all. All see the data as the model is measured on them. `accuracy.png` shows it.

    Args:
        data: Which, as `vae_lab.trained.data.given` has it.
        resize: Whether images of another size or mode are scaled, cropped and converted.
        samples: Of q for each datum, at least 0.
        classify: Whether classifiers are trained.
        labels: Numbers of labels that they are trained with, beside all; None for 10, 100 and 1,000 as far as
            these reach the number of classes and do not exceed that of the data.
        repeats: Draws of each number of labels, at least 1.
        neighbours: Whose labels the classifier by nearest neighbours asks, at least 1.
        max_train: Training data of the probe, at least 1; of more, so many at random.
        out: A `.parquet` file that the command makes a copy of `codes.parquet`.

    Raises:
        ValueError: If a number is out of its range, or something is asked that has no effect.
        UserError: If no file can be put at `out`.
    """

    needs_density = False

    data: str = "test"
    resize: bool = False
    samples: int = 0
    classify: bool = True
    labels: Sequence[int] | None = None
    repeats: int = 5
    neighbours: int = 5
    max_train: int = 10_000
    out: str | None = None

    def __post_init__(self) -> None:
        for name, least in {"samples": 0, "repeats": 1, "neighbours": 1, "max_train": 1}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        if self.labels is not None and not self.classify:
            raise ValueError(f"labels={list(self.labels)} has no effect with classify=false; leave it out.")
        if self.out is not None:
            check_destination(self.out, ".parquet")

    def prepare(self, model: TrainedModel) -> EmbedInputs:
        self._check(model)
        given_data = given("data", self.data, model.parts.dataset, self.resize)
        parts, notes = self._labelled(model.parts.dataset) if self.classify else (None, [])
        return EmbedInputs(given_data, parts, [*given_data.notes, *notes_on_codes(model), *notes])

    def __call__(
        self, model: TrainedModel, prepared: EmbedInputs, folder: Path, progress: Progress
    ) -> Outcome:
        explained = self._write(model, prepared.given, folder / "codes.parquet", progress)
        metrics = {} if math.isnan(explained) else {"explained_variance": explained}
        if prepared.probed is None:
            rows = [("data", f"{len(prepared.given.split.x):,}"), ("explained variance", f"{explained:.3f}")]
            shown = Shown((prepared.given.name, ""), rows)
            return Outcome(metrics, "explained_variance", shown, prepared.notes)
        probed = self._probed(model, prepared.probed, progress)
        accuracy(probed.scores, probed.chance, self.neighbours, folder / "accuracy.png")
        return Outcome(
            metrics | metrics_of(probed),
            "accuracy/linear/code/all",
            table_of(probed),
            [*prepared.notes, *probed.notes],
        )

    def _check(self, model: TrainedModel) -> None:
        run, vae = model.result["signature"], model.model
        if not vae.has_latents:
            raise ValueError(f"run={run}: {type(vae).__name__} has no latent variables.")
        if not vae.has_encoder:
            raise ValueError(f"run={run} has no q(z|x), by which data are encoded (model/encoder=none).")
        if self.samples and not model.parts.has_density:
            raise ValueError(
                f"samples must be 0 for an autoencoder, whose code is a point, got {self.samples}."
            )

    def _labelled(self, dataset: SplitDataset) -> tuple[tuple[Split, Split] | None, list[str]]:
        """The training and the test data of the probe, and caveats on them."""
        parts = [
            _some(dataset.measured_part(name), most)
            for name, most in (("train", self.max_train), ("test", MAX_TEST_DATA))
        ]
        train, test = parts
        if train.labels is None or test.labels is None or len(train.labels.unique()) < 2:
            if self.labels is not None:
                raise ValueError(f"labels={list(self.labels)} needs data of several classes; leave it out.")
            return None, ["the run's dataset has no labels of several classes, by which to try the code"]
        self._numbers(train.labels)  # raises where they cannot be
        whole = {"train": dataset.data.train, "test": dataset.data.test}
        notes = [
            f"the classifiers see {len(part.x):,} of {len(whole[name].x):,} {name} data, at random"
            for name, part in zip(whole, parts, strict=True)
            if len(part.x) < len(whole[name].x)
        ]
        return (train, test), notes

    def _numbers(self, labels: Tensor) -> list[int]:
        """The numbers of labels to train with, beside all.

        Raises:
            ValueError: If one is below the number of classes, or above that of the data.
        """
        least, most = len(labels.unique()), len(labels)
        if self.labels is None:
            return [count for count in LABEL_COUNTS if least <= count < most]
        for count in self.labels:
            if count < least:
                raise ValueError(f"labels must be at least {least}, one for each class, got {count}.")
            if count > most:
                raise ValueError(f"labels must be at most {most:,}, the training data, got {count:,}.")
        return list(self.labels)

    def _write(self, model: TrainedModel, given_data: Given, path: Path, progress: Progress) -> float:
        """Writes the codes of all data, and gives the share of their variance that comes back."""
        x, labels = given_data.split
        parts: dict[str, list[Tensor]] = {"mean": [], "scale": [], "sample": []}
        explained = ExplainedVariance()
        part = self.data if self.data in PARTS else TEST
        for batch in encoded(model, x, part=part):
            mean, scale = batch.q.mean, batch.q.std
            explained.add(batch.x.to(mean.device), model.decode(mean))
            parts["mean"].append(mean.float().cpu())
            if scale is not None and model.parts.has_density:
                parts["scale"].append(scale.float().cpu())
            if self.samples:
                samples = samples_of(model, batch, self.samples, part)
                parts["sample"].append(samples.transpose(0, 1).float().cpu())
            progress(int(batch.numbers[-1]) + 1, len(x))
        columns: dict[str, np.ndarray | list[str]] = {"index": np.arange(len(x))}
        columns |= {} if given_data.names is None else {"file": given_data.names}
        columns |= {} if labels is None else {"label": labels.cpu().numpy()}
        for name, values in parts.items():
            columns |= _columns(name, torch.cat(values).numpy()) if values else {}
        pl.DataFrame(columns).write_parquet(path)
        return explained.value

    def _probed(self, model: TrainedModel, parts: tuple[Split, Split], progress: Progress) -> Probed:
        train, test = without_gaps(
            *(_features(model, *each) for each in zip(parts, ("train", TEST), strict=True))
        )
        wanted = train.features["code"].shape[1]
        train, test = with_components(train, test, wanted)
        probe = ProbingClassifiers(
            self._numbers(train.labels), self.repeats, self.neighbours, model.noise.seed
        )
        probed = probe(train, test, progress)
        if (count := train.features["pca"].shape[1]) < wanted:
            probed.notes.append(f"PCA has {count} components, as many as there are, and the code {wanted}")
        return probed


def _some(part: Split, most: int) -> Split:
    """The data, or so many of them at random."""
    if len(part.x) <= most:
        return part
    return part.take(random_subset(len(part.x), most, seed=0, purpose="probe"))


def _features(model: TrainedModel, part: Split, name: str) -> Labelled:
    """Codes and pixels of data, in memory."""
    assert part.labels is not None
    batches = [(batch.q.mean.cpu(), batch.x.flatten(1).cpu()) for batch in encoded(model, part.x, part=name)]
    code, pixels = (torch.cat(values).float().numpy() for values in zip(*batches, strict=True))
    return Labelled({"code": code, "pixels": pixels}, part.labels.cpu())


def _columns(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """A column for each number that a datum has: `mean_0`, or `sample_0_0`."""
    return {"_".join([name, *map(str, place)]): values[:, *place] for place in np.ndindex(*values.shape[1:])}
