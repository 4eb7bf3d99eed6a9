"""Squared lengths of mean gradients, and whether two of them differ, from blocks of replicates."""

from itertools import combinations

import torch
from torch import Tensor


def squared_length(gram: Tensor) -> float:
    r"""An unbiased estimate of $|E\, v|^2$ from the Gram matrix of independent blocks `v_i`.

    Args:
        gram: Inner products of the blocks, `(M, M)`, `M` at least 2.
    """
    blocks = len(gram)
    return float((gram.sum() - gram.trace()) / (blocks * (blocks - 1)))


def standard_error(gram: Tensor) -> float:
    r"""The standard error of `squared_length` where the expectation of the blocks is zero.

    The mean of $\langle v_i, v_j \rangle$ over i < j has variance $2\,\mathrm{tr}(\Sigma^2) / (M (M - 1))$
    then, and differences of blocks give $\mathrm{tr}(\Sigma^2)$ whatever the expectation is:
    $E \langle v_i - v_j, v_k - v_l \rangle^2 = 4\,\mathrm{tr}(\Sigma^2)$.

    Args:
        gram: Inner products of the blocks, `(M, M)`.

    Returns:
        NaN for fewer than 8 blocks, which know too little of it.
    """
    blocks = len(gram)
    if blocks < 8:
        return float("nan")
    products = []
    for i, j, k, m in combinations(range(blocks), 4):
        for a, b, c, d in ((i, j, k, m), (i, k, j, m), (i, m, j, k)):
            products.append(gram[a, c] - gram[a, d] - gram[b, c] + gram[b, d])
    trace = torch.stack(products).square().mean() / 4
    return float((2 * trace / (blocks * (blocks - 1))).sqrt())
