"""How the posteriors of all data together compare with the prior."""

import math

import torch
from torch import Tensor

from vae_lab.models.distributions.posterior import PosteriorDistribution

CHUNK = 20_000_000  # numbers at a time
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
MIN_DATA = 16  # data that make blocks of four


@torch.no_grad()
def mutual_information(q: PosteriorDistribution, z: Tensor) -> Tensor:
    r"""The terms, `(N,)` in nats, whose mean is the mutual information of x and z under q and the `N` data.

    $$I = \frac1N \sum_n E_{q(z|x_n)} \left[ \log q(z|x_n) - \log \frac1N \sum_m q(z|x_m) \right] \le \log N$$

    The rate, the mean of KL(q(z|x) || p(z)), is this plus the distance of the aggregate posterior to the
    prior, $\mathrm{KL}(\frac1N \sum_m q(z|x_m) || p(z))$.

    References:
        ELBO surgery: yet another way to carve up the variational evidence lower bound (Hoffman & Johnson,
        2016), equation 6.

    Args:
        q: The posteriors of `N` data.
        z: A sample of each, `(N, D)`.
    """
    count, dimensions = z.shape
    aggregate = [
        q.log_prob(some.unsqueeze(1)).double().logsumexp(1)
        for some in z.split(max(1, CHUNK // (count * dimensions)))
    ]
    own = q.log_prob(z.unsqueeze(0))[0].double()
    return own - torch.cat(aggregate) + math.log(count)


@torch.no_grad()
def maximum_mean_discrepancy(z: Tensor, prior: Tensor) -> Tensor:
    r"""Unbiased estimates of the squared distance of two distributions, one for each block of samples.

    $$\mathrm{MMD}^2 = E[k(z, z')] + E[k(y, y')] - 2 E[k(z, y)], \quad
      k(a, b) = \sum_s \frac{2 D s}{2 D s + |a - b|^2}$$

    for `s` from 0.1 to 10. Around zero where the distributions are the same; the mean over blocks is
    normal even then, as the estimate from all pairs at once is not.

    References:
        A kernel two-sample test (Gretton et al., 2012), equation 3; B-test: low variance kernel two-sample
        test (Zaremba, Gretton & Blaschko, 2013), blocks of sqrt(N); the kernel is that of Wasserstein
        auto-encoders (Tolstikhin et al., 2018), section 4.

    Args:
        z: Samples of the aggregate posterior, in random order, `(N, D)` with `N` at least 16.
        prior: As many samples of the prior.

    Returns:
        About sqrt(N) of them.

    Raises:
        ValueError: If there are fewer than 16 samples.
    """
    if len(z) < MIN_DATA:
        raise ValueError(f"the distance needs at least {MIN_DATA} data, got {len(z)}.")
    size = math.isqrt(len(z))
    whole = len(z) // size * size
    pairs = zip(z[:whole].double().split(size), prior[:whole].double().split(size), strict=True)
    return torch.stack([_of_one_block(a, b) for a, b in pairs])


def _of_one_block(a: Tensor, b: Tensor) -> Tensor:
    others = len(a) * (len(a) - 1)
    within = (_kernel(a, a).sum() + _kernel(b, b).sum() - 2 * len(a) * len(SCALES)) / others
    return within - 2 * _kernel(a, b).mean()


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    squares = torch.cdist(a, b).square()
    widths = [2 * a.shape[1] * scale for scale in SCALES]
    return torch.stack([width / (width + squares) for width in widths]).sum(0)
