"""Imputations without a generative model, to compare with."""

import torch
from sklearn.impute import KNNImputer
from torch import Tensor

from vae_lab.numerics.streamed import StreamedTensor, in_batches

CHUNK_DATA = 2000  # data that are read
NEIGHBOURS = 5


def mean_of(x: Tensor | StreamedTensor) -> Tensor:
    """The mean of each pixel over the data that have it, `(*data_shape)`; over all pixels, where none has.

    Args:
        x: Data `(N, *data_shape)`, NaN where a pixel is missing.

    Example:
        >>> mean_of(torch.tensor([[1.0, torch.nan], [2.0, 4.0]])).tolist()
        [1.5, 4.0]
    """
    total = torch.zeros(tuple(x.shape[1:]), dtype=torch.float64)
    counts = torch.zeros_like(total)
    for some, _ in in_batches(x, torch.arange(len(x)).split(CHUNK_DATA)):
        total += some.double().nansum(0).cpu()
        counts += (~some.isnan()).double().sum(0).cpu()
    overall = total.sum() / counts.sum()
    return torch.where(counts > 0, total / counts.clamp(min=1), overall).float()


def by_nearest_neighbours(train: Tensor, x: Tensor, neighbours: int = NEIGHBOURS) -> Tensor:
    """Each missing pixel by its mean over the nearest training data, by scikit-learn.

    Args:
        train: `(N, *data_shape)`, NaN where a pixel is missing.
        x: `(B, *data_shape)`, likewise.
        neighbours: How many, at most `N`.

    References:
        Missing value estimation methods for DNA microarrays (Troyanskaya et al., 2001).
    """
    imputer = KNNImputer(n_neighbors=min(neighbours, len(train)), keep_empty_features=True)
    imputer.fit(train.flatten(1).double().numpy())
    return torch.from_numpy(imputer.transform(x.flatten(1).double().numpy())).to(x).reshape(x.shape)
