"""How a model uses its latent dimensions."""

import math

import torch
from torch import Tensor

from vae_lab.evaluation.active_units import ActiveUnits
from vae_lab.evaluation.aggregate_posterior import FEWEST, maximum_mean_discrepancy, mutual_information
from vae_lab.evaluation.terms import Statistic, Term, of_unknown_error, statistic
from vae_lab.noise import NoiseSource, NoiseSpec, permutation
from vae_lab.posteriors.base import Conditional
from vae_lab.vae import VAE, Batch


@torch.no_grad()
def latent_space(vae: VAE, batch: Batch, noise: NoiseSource) -> tuple[dict[str, Statistic], Tensor]:
    r"""What q says of the latent space, and the KL term of each dimension.

    `kl` is the rate, the mean of KL(q(z|x) || p(z)); `mutual_information` and `marginal_kl` are its two
    parts, the second being the distance of the aggregate posterior to the prior, KL(q(z) || p(z)); `mmd` is
    another such distance, the squared maximum mean discrepancy. `active_units` counts dimensions, of all
    layers and of each.

    Args:
        vae: The model.
        batch: All data, `N` of them; they are what the aggregate posterior is made of.
        noise: Source of evaluation noise.

    Returns:
        The statistics by name, and the mean KL of each dimension, `(D,)`, in nats.
    """
    specs = {
        "posterior": NoiseSpec(vae.posterior.noise_law, 1, (vae.latent_dim,)),
        "prior": vae.prior.noise_spec(1),
    }
    draws = noise.evaluation(
        specs, purpose="latent space", indices=batch.indices, device=batch.x.device, dtype=batch.x.dtype
    )
    q = vae.encode(batch)
    z, prior = q.transform(draws["posterior"]), vae.prior.sample(draws["prior"])
    is_exact = vae.posterior.has_analytic_kl(vae.prior)
    kl = q.kl(vae.prior) if is_exact else _sampled_kl(vae, q, z)
    rate = statistic(Term(kl.sum(1)) if is_exact else of_unknown_error(kl.sum(1)))
    information = statistic(of_unknown_error(mutual_information(q, z[0])))
    statistics = {
        "kl": rate,
        "mutual_information": information,
        "marginal_kl": Statistic(rate.value - information.value, monte_carlo_error=math.nan),
        "active_units": Statistic(_active_units(q.mean)),
    }
    layers = q.mean.split(vae.layer_dims, dim=1)
    if len(layers) > 1:
        counts = {
            f"active_units_{number}": _active_units(mean) for number, mean in enumerate(layers, start=1)
        }
        statistics |= {name: Statistic(count) for name, count in counts.items()}
    if len(batch.x) >= FEWEST:
        order = permutation(len(batch.x), seed=0, purpose="blocks", epoch=0)  # data may be sorted by class
        statistics["mmd"] = statistic(of_unknown_error(maximum_mean_discrepancy(z[0, order], prior[0])))
    return statistics, kl.double().mean(0)


def _active_units(means: Tensor) -> int:
    units = ActiveUnits(means.shape[1])
    units.add(means)
    return units.count(units.sums)


def _sampled_kl(vae: VAE, q: Conditional, z: Tensor) -> Tensor:
    """The terms of log q(z|x) - log p(z) of each datum and dimension, `(N, D)`, at one sample."""
    return (q.log_prob_per_dimension(z) - vae.prior.log_prob_per_dimension(z))[0]
