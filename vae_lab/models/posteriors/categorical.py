"""Categorical posteriors."""

import torch
from torch import Tensor

from vae_lab.models import priors
from vae_lab.models.distributions.discrete import CategoricalDistribution
from vae_lab.models.distributions.prior import Prior, Support
from vae_lab.models.posteriors.discrete import Discrete, all_values
from vae_lab.models.priors.categorical import check_categories


class Categorical(Discrete):
    r"""Categorical latent variables, `D / C` of them, each a one-hot vector of `C` numbers.

    $$q(z|x) = \prod_v \prod_c \pi_{vc}^{z_{vc}}, \quad
      \mathrm{KL}(q \| p) = \sum_{vc} \pi_{vc} (\log \pi_{vc} - \log \pi^p_{vc})$$

    The decoder sees all `D` numbers. The KL term of a variable is counted in equal parts for its numbers. No
    gradient passes through samples.

    Args:
        latent_dim: `D`, a multiple of `num_categories`.
        num_categories: `C`, at least 2.

    Raises:
        ValueError: If `num_categories` is below 2, or does not divide `latent_dim`.

    Example:
        >>> q = Categorical(latent_dim=6, num_categories=3)(torch.zeros(1, 6))
        >>> q.transform(torch.tensor([[[0.3, 0.9, 0.2, 0.7, 0.1, 0.4]]])).flatten().tolist()
        [0.0, 1.0, 0.0, 1.0, 0.0, 0.0]
    """

    support: Support = "one-hot"
    factorises = False  # the numbers of a vector exclude each other

    def __init__(self, latent_dim: int, num_categories: int = 10) -> None:
        super().__init__(latent_dim)
        check_categories(latent_dim, num_categories)
        self.num_categories = num_categories
        self.num_states = num_categories ** (latent_dim // num_categories)

    def forward(self, outputs: Tensor) -> CategoricalDistribution:
        return CategoricalDistribution(outputs, self.num_categories)

    def check(self, prior: Prior) -> None:
        super().check(prior)
        theirs = getattr(prior, "num_categories", self.num_categories)
        if theirs != self.num_categories:
            raise ValueError(
                f"num_categories must be the same in model.posterior and model.prior, got "
                f"{self.num_categories} and {theirs}."
            )

    def has_analytic_kl(self, prior: Prior) -> bool:
        return isinstance(prior, priors.Categorical)

    def states(self) -> Tensor:
        return all_values(torch.eye(self.num_categories), self.outputs["logits"] // self.num_categories)
