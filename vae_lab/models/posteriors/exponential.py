"""Exponential posteriors."""

from torch import Tensor

from vae_lab.models.posteriors.positive import Positive


class Exponential(Positive):
    r"""Exponential distributions of positive latent variables, $z = -s(x) \log(1 - u)$.

    $$\mathrm{KL}(q \| \mathrm{Exp}(1)) = \sum_d s_d - 1 - \log s_d$$

    Args:
        latent_dim: `D`, at least 1.

    Example:
        >>> import torch
        >>> q = Exponential(latent_dim=1)(torch.zeros(1, 1))
        >>> round(q.transform(torch.tensor([[[0.5]]])).item(), 4), q.mean.item()
        (0.6931, 1.0)
    """

    names = ("scale",)

    def quantile(self, uniform: Tensor, *logs: Tensor) -> Tensor:
        return -logs[0].exp() * (-uniform).log1p()

    def log_density(self, z: Tensor, *logs: Tensor) -> Tensor:
        return -z * (-logs[0]).exp() - logs[0]

    def mean(self, *logs: Tensor) -> Tensor:
        return logs[0].exp()

    def variance(self, *logs: Tensor) -> Tensor:
        return (2 * logs[0]).exp()

    def entropy(self, *logs: Tensor) -> Tensor:
        return 1 + logs[0]
