"""The score of q as a control variate with its optimal coefficient."""

import torch
from torch import Tensor

from vae_lab.models.distributions.posterior import PosteriorDistribution
from vae_lab.numerics.precision import without_autocast


def scaled_score(signal: Tensor, q: PosteriorDistribution, z: Tensor) -> Tensor:
    r"""A surrogate, of expected gradient zero, to be subtracted from that of the score function.

    For each coordinate j of the parameters of q(z|x), with s_kj the score at sample k,

    $$\sum_j a_{kj} s_{kj}, \quad
      a_{kj} = \frac{\sum_{l \ne k} f_l s_{lj}^2}{\sum_{l \ne k} s_{lj}^2}
      \approx \frac{\mathrm{Cov}(f s_j, s_j)}{\mathrm{Var}(s_j)}$$

    The coefficient of a sample is estimated from the others, so that the estimate stays unbiased; for K = 2
    it is the leave-one-out baseline. Where the scores of the others are 0, as those of a saturated logit in
    single precision, it is the mean of their signals, which it tends to.

    References:
        Black Box Variational Inference (Ranganath, Gerrish & Blei, 2014), section 3.2.

    Args:
        signal: The learning signal, `(K, B, 1)`, or `(K, B, D)` for one per latent dimension.
        q: The posterior, with its graph.
        z: Samples of it, `(K, B, D)`.

    Returns:
        `(K, B)`; only its gradient has a meaning.
    """
    control = torch.zeros_like(signal[..., 0])
    for parameter, score in zip(q.parameters, scores(q, z), strict=True):
        coefficient = _mean_of_others(signal.double(), score.double().square()).to(score)
        control = control + (coefficient * score * parameter).sum(-1)
    return control


def sum_of_others(values: Tensor) -> Tensor:
    """The sum over all samples but each in turn, of `(K, B, D)`, without a difference of large numbers."""
    others = 1 - torch.eye(len(values), dtype=values.dtype, device=values.device)
    with without_autocast(values):
        return torch.einsum("kl,lbd->kbd", others, values)


def _mean_of_others(signal: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean of the other samples' signals; the plain one where all of their weights are 0."""
    total = sum_of_others(weights)
    weighted = sum_of_others(signal * weights) / torch.where(total > 0, total, 1.0)
    return torch.where(total > 0, weighted, sum_of_others(signal) / (len(signal) - 1))


def scores(q: PosteriorDistribution, z: Tensor) -> tuple[Tensor, ...]:
    """The derivative of log q(z_k|x) by each parameter of q, `(K, B, D)`, without a graph."""
    parameters = tuple(parameter.detach().expand(z.shape) for parameter in q.parameters)
    log_q = torch.func.grad(lambda own: q.with_parameters(*own).log_prob(z).sum())
    return tuple(score.detach() for score in log_q(parameters))
