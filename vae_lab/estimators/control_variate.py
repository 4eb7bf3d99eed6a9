"""The score of q as a control variate with its optimal coefficient."""

import torch
from torch import Tensor

from vae_lab.posteriors.base import Conditional


def scaled_score(signal: Tensor, q: Conditional, z: Tensor) -> Tensor:
    r"""A surrogate, of expected gradient zero, to be subtracted from that of the score function.

    For each coordinate j of the parameters of q(z|x), with s_kj the score at sample k,

    $$\sum_j a_{kj} s_{kj}, \quad
      a_{kj} = \frac{\sum_{l \ne k} f_l s_{lj}^2}{\sum_{l \ne k} s_{lj}^2}
      \approx \frac{\mathrm{Cov}(f s_j, s_j)}{\mathrm{Var}(s_j)}$$

    The coefficient of a sample is estimated from the others, so that the estimate stays unbiased; for K = 2
    it is the leave-one-out baseline.

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
        weights, weighted = score.square(), signal * score.square()
        coefficient = (weighted.sum(0) - weighted) / (weights.sum(0) - weights)
        control = control + (coefficient * score * parameter).sum(-1)
    return control


def scores(q: Conditional, z: Tensor) -> tuple[Tensor, ...]:
    """The derivative of log q(z_k|x) by each parameter of q, `(K, B, D)`, without a graph."""
    parameters = tuple(parameter.detach().expand(z.shape) for parameter in q.parameters)
    log_q = torch.func.grad(lambda own: q.with_parameters(*own).log_prob(z).sum())
    return tuple(score.detach() for score in log_q(parameters))
