"""Codes in a plane, and how well it separates their classes."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

Projection = Literal["pca", "tsne"]
PERPLEXITY = 30.0  # scikit-learn's, and in the middle of what the authors recommend
NEIGHBOURS = 10


class Projected(NamedTuple):
    """Codes in a plane.

    Args:
        coordinates: `(N, 2)`, or `(N, 1)` of one dimension.
        explained: The share of the variance along each, for principal components; else empty.
    """

    coordinates: Tensor
    explained: Sequence[float] = ()


def project(z: Tensor, projection: Projection, seed: int = 0) -> Projected:
    """Principal components, or a map that keeps neighbours together and distances not.

    References:
        Visualizing data using t-SNE (van der Maaten & Hinton, 2008).

    Args:
        z: Codes `(N, D)`, with `N` at least 3 and `D` at least 2.
        projection: `pca` or `tsne`.
        seed: Of what is random in `tsne`.

    Example:
        >>> z = torch.tensor([[-2.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> [round(share, 3) for share in project(z, "pca").explained]
        [0.8, 0.2]
    """
    codes = z.double().numpy()
    if (codes == codes[0]).all():  # a collapsed posterior, which has no directions
        flat = torch.zeros(len(codes), 2, dtype=torch.float64)
        return Projected(flat, (0.0, 0.0) if projection == "pca" else ())
    if projection == "tsne":
        perplexity = min(PERPLEXITY, (len(codes) - 1) / 3)
        coordinates = TSNE(perplexity=perplexity, random_state=seed).fit_transform(codes)
        return Projected(torch.from_numpy(coordinates))
    pca = PCA(2, svd_solver="full")
    coordinates = pca.fit_transform(codes)
    return Projected(torch.from_numpy(coordinates), pca.explained_variance_ratio_.tolist())


def knn_accuracy(coordinates: Tensor, labels: Tensor) -> float:
    """The share of the data whose label is the most frequent one of their 10 nearest others.

    Args:
        coordinates: `(N, D)`, with `N` at least 2.
        labels: `(N,)`; of labels that are as frequent, the smallest counts.

    Example:
        >>> pairs = torch.tensor([[0.0, 0.0], [0.0, 1.0], [9.0, 0.0], [9.0, 1.0]]).repeat_interleave(6, dim=0)
        >>> knn_accuracy(pairs, torch.tensor([0, 1]).repeat_interleave(12))
        1.0
    """
    neighbours = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(labels) - 1)).fit(coordinates.numpy())
    others = torch.from_numpy(neighbours.kneighbors(return_distance=False))  # without each point itself
    return float((labels[others].mode(1).values == labels).double().mean())
