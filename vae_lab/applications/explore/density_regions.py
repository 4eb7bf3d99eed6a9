"""The regions in which a density has most of its mass."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vae_lab.models.distributions.prior import Prior


@torch.no_grad()
def density_levels(prior: Prior, samples: Tensor, masses: Sequence[float]) -> list[float]:
    r"""The values of log p(z) above which the prior has given masses: its highest density regions.

    The level of a mass is the quantile $1 - m$ of log p(z) over samples of p. For a standard normal in two
    dimensions it is $\log(1 - m) - \log 2\pi$, a circle of radius $\sqrt{-2 \log(1 - m)}$.

    References:
        Computing and graphing highest density regions (Hyndman, 1996), section 3.2.

    Args:
        prior: p(z).
        samples: Of the prior, `(N, D)`.
        masses: `m`, each between 0 and 1.
    """
    log_p = prior.log_prob(samples.unsqueeze(0))[0].double().cpu()
    return log_p.quantile(1 - torch.tensor(masses, dtype=torch.float64)).tolist()
