"""Bernoulli posteriors."""

import torch
from torch import Tensor

from vae_lab.models import priors
from vae_lab.models.distributions.discrete import BernoulliDistribution
from vae_lab.models.distributions.prior import Prior, Support
from vae_lab.models.posteriors.discrete import Discrete, all_values


class Bernoulli(Discrete):
    r"""Binary latent variables, $q(z|x) = \prod_d \sigma(l_d)^{z_d} (1 - \sigma(l_d))^{1 - z_d}$.

    $$\mathrm{KL}(q \| p) = \sum_d q_d (l_d - l^p_d) - \log(1 + e^{l_d}) + \log(1 + e^{l^p_d})$$

    No gradient passes through samples: estimators are those of the score function and of discrete latent
    variables, such as `rloo`, `disarm` or `rebar`.

    Args:
        latent_dim: `D`, at least 1.

    Raises:
        ValueError: If `latent_dim` is below 1.

    Example:
        >>> q = Bernoulli(latent_dim=2)(torch.zeros(1, 2))
        >>> q.transform(torch.tensor([[[0.3, 0.9]]])).flatten().tolist(), round(q.entropy().item(), 4)
        ([0.0, 1.0], 1.3863)
    """

    support: Support = "binary"

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        self.num_states = 2**latent_dim

    def forward(self, outputs: Tensor) -> BernoulliDistribution:
        return BernoulliDistribution(outputs)

    def has_analytic_kl(self, prior: Prior) -> bool:
        return isinstance(prior, priors.Bernoulli)

    def states(self) -> Tensor:
        return all_values(torch.tensor([[0.0], [1.0]]), self.outputs["logits"])
