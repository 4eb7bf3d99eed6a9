"""How well classes can be told by features of data, from few labels and from many."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from vae_lab.applications.impute.baselines import mean_of
from vae_lab.noise import permutation

STEPS = 1000  # of the logistic regression's optimiser, at most
CLASSIFIERS = ("linear", "knn")


class Labelled(NamedTuple):
    """Features of `N` data, each `(N, F)`, by name, and their classes, `(N,)`."""

    features: Mapping[str, np.ndarray]
    labels: Tensor


class Score(NamedTuple):
    """The accuracy of a classifier on test data.

    Args:
        classifier: `linear` or `knn`.
        features: By their name.
        labels: Number of them that it was trained with.
        mean: The accuracy, over all draws of the labels.
        standard_error: Of that mean; None where there is one draw.
    """

    classifier: str
    features: str
    labels: int
    mean: float
    standard_error: float | None


class Probed(NamedTuple):
    """The results of a probe.

    Args:
        scores: For every classifier, features and number of labels.
        chance: The accuracy of always saying the most frequent class.
        notes: Caveats.
    """

    scores: list[Score]
    chance: float
    notes: list[str]


class Classifier(Protocol):
    """A classifier of scikit-learn."""

    def fit(self, x: np.ndarray, labels: np.ndarray) -> object: ...

    def score(self, x: np.ndarray, labels: np.ndarray) -> float: ...


@dataclass(frozen=True)
class ProbingClassifiers:
    """Trains two classifiers on features of data and measures how often they are right on test data.

    `linear` is a logistic regression with an L2 penalty of strength 1, on features that are standardised by
    the mean and the standard deviation of all training data. `knn` asks the nearest training data, in
    Euclidean distance of the features as they are, weighted by the inverse of the distance, which decides
    where neighbours of several classes are as many. Whatever needs no labels, such as standardising, sees all
    training data; a classifier sees those whose labels are drawn.

    References:
        Understanding intermediate layers using linear classifier probes (Alain & Bengio, 2017).
        Semi-supervised learning with deep generative models (Kingma, Rezende, Mohamed & Welling, 2014),
        section 4.1, whose M1 classifies codes of few labelled data.

    Args:
        numbers: Of labels; all labels are used too.
        repeats: Draws of each number of labels, at least 1.
        neighbours: Whose classes are asked, at least 1, or all where there are fewer.
        seed: Of the draws.
    """

    numbers: Sequence[int]
    repeats: int = 5
    neighbours: int = 5
    seed: int = 0

    def __call__(self, train: Labelled, test: Labelled, progress: Callable[[int, int], None]) -> Probed:
        """Measures every classifier on every feature.

        Args:
            train: The training data.
            test: The test data.
            progress: Called with the number of classifiers that are done, and of all.
        """
        every = len(train.labels)
        numbers = sorted({*self.numbers, every})
        scores: list[Score] = []
        slow: list[str] = []
        for kind in CLASSIFIERS:
            for name in train.features:
                x, test_x = self._seen(kind, train.features[name], test.features[name])
                for count in numbers:
                    draws = [torch.arange(every)] if count == every else self.draws(train.labels, count)
                    accuracies = []
                    for chosen in draws:
                        classifier, is_done = self._fitted(kind, x[chosen], train.labels[chosen].numpy())
                        accuracies.append(classifier.score(test_x, test.labels.numpy()))
                        slow += [] if is_done else [f"{name} with {count:,} labels"]
                    scores.append(_score(kind, name, count, accuracies))
                    progress(len(scores), len(CLASSIFIERS) * len(train.features) * len(numbers))
        most = train.labels.mode().values
        chance = float((test.labels == most).double().mean())
        return Probed(scores, chance, _of_slow(slow))

    def draws(self, labels: Tensor, count: int) -> list[Tensor]:
        """So many data at random, with as many of each class as possible, for each repeat."""
        return [balanced(labels, count, self.seed, repeat) for repeat in range(self.repeats)]

    def _seen(self, kind: str, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if kind == "knn":
            return train, test
        scaler = StandardScaler().fit(train)
        return scaler.transform(train), scaler.transform(test)

    def _fitted(self, kind: str, x: np.ndarray, labels: np.ndarray) -> tuple[Classifier, bool]:
        """A trained classifier, and whether its training came to an end."""
        if kind == "knn":
            nearest = KNeighborsClassifier(min(self.neighbours, len(x)), weights="distance")
            return nearest.fit(x, labels), True
        linear = LogisticRegression(max_iter=STEPS)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            linear.fit(x, labels)
        return linear, not any(issubclass(each.category, ConvergenceWarning) for each in caught)


def balanced(labels: Tensor, count: int, seed: int, repeat: int) -> Tensor:
    """The numbers of so many data at random, with as many of each class as possible, in order.

    Fewer are among more: those of a draw of 10 are in the draw of 100 with the same seed and repeat.

    Args:
        labels: Classes of all data, `(N,)`.
        count: How many, at most `N`.
        seed: Of the draw.
        repeat: Which draw.

    Example:
        >>> labels = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2])
        >>> labels[balanced(labels, 6, seed=0, repeat=0)].tolist()
        [0, 0, 0, 1, 1, 2]
    """
    order = permutation(len(labels), seed=seed, purpose="labels", epoch=repeat)
    of_order = labels[order]
    turn = torch.empty_like(order)  # a datum's place among those of its class
    for each in labels.unique():
        of_class = of_order == each
        turn[of_class] = torch.arange(int(of_class.sum()))
    return order[turn.argsort(stable=True)[:count]].sort().values


def without_gaps(train: Labelled, test: Labelled) -> tuple[Labelled, Labelled]:
    """The same with the training part's mean for every pixel that is missing (NaN)."""
    means = mean_of(torch.from_numpy(train.features["pixels"])).float().numpy()

    def full(part: Labelled) -> Labelled:
        pixels = part.features["pixels"]
        return Labelled({**part.features, "pixels": np.where(np.isnan(pixels), means, pixels)}, part.labels)

    return full(train), full(test)


def with_components(train: Labelled, test: Labelled, count: int) -> tuple[Labelled, Labelled]:
    """The same data with a further feature, `pca`: the leading principal components of the pixels.

    Args:
        train: By whose `pixels` the components are found.
        test: Other data, of which they are taken too.
        count: How many; as many as there can be where these are fewer.
    """
    pixels = train.features["pixels"]
    pca = PCA(min(count, *pixels.shape), random_state=0).fit(pixels)
    both = (
        part._replace(features={**part.features, "pca": pca.transform(part.features["pixels"])})
        for part in (train, test)
    )
    return next(both), next(both)


def _score(kind: str, features: str, count: int, accuracies: Sequence[float]) -> Score:
    error = float(np.std(accuracies, ddof=1) / len(accuracies) ** 0.5) if len(accuracies) > 1 else None
    return Score(kind, features, count, float(np.mean(accuracies)), error)


def _of_slow(slow: Sequence[str]) -> list[str]:
    if not slow:
        return []
    which = ", ".join(dict.fromkeys(slow))
    return [f"the linear probe had not come to its end after {STEPS:,} steps: on {which}"]
