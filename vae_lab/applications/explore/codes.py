"""The codes of data, and how a model uses each latent dimension for them."""

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from vae_lab.evaluation.active_units import THRESHOLD, ActiveUnits, posterior_means
from vae_lab.evaluation.latent_space import kl_terms
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource

Which = Literal["mean", "sample"]


class Dimensions(NamedTuple):
    """How a model uses each of its latent dimensions for some data.

    Args:
        kl: The mean of KL(q(z_d|x) || p(z_d)) over the data in nats, `(D,)`; None where it is not defined.
        variances: Var_x(E[z_d|x]), `(D,)`.
        means: The mean code, `(D,)`.
    """

    kl: Tensor | None
    variances: Tensor
    means: Tensor

    @property
    def active(self) -> Tensor:
        """Which are active by the rule of Burda et al. (2016), `(D,)`: see `ActiveUnits`."""
        return self.variances > THRESHOLD

    def order(self, count: int) -> list[int]:
        """The first `count` dimensions, active ones first, then by their KL, or else their variance."""
        used = self.variances if self.kl is None else self.kl
        active = self.active.tolist()
        return sorted(range(count), key=lambda d: (not active[d], -float(used[d])))


class Codes(NamedTuple):
    """Codes of some of the data.

    Args:
        z: `(M, D)`.
        numbers: Of these data, `(M,)`.
        dimensions: Of all data.
    """

    z: Tensor
    numbers: Tensor
    dimensions: Dimensions


@torch.no_grad()
def encode(
    batches: Iterable[Batch],
    with_posterior: Callable[[Batch], VAE],
    noise: NoiseSource,
    kept: Tensor,
    which: Which = "mean",
    has_prior: bool = True,
) -> Codes:
    """Goes once through the data and keeps the codes of some of them.

    The KL terms are those of `latent_space`, from the same noise where they have no closed form.

    Args:
        batches: The data with their numbers, a few at a time.
        with_posterior: Gives the model with a q(z|x) that serves a batch.
        noise: Source of evaluation noise.
        kept: Numbers of the data whose codes are kept, in ascending order.
        which: Whether a code is the mean of q(z|x), or a sample of it.
        has_prior: Whether the codes are trained towards p(z), from which a KL term is measured.
    """
    codes, numbers, sums = [], [], []
    units: ActiveUnits | None = None
    for batch in batches:
        vae = with_posterior(batch)
        q = vae.encode(batch)
        z = q.transform(batch.draw(noise, vae.posterior_noise(1), "latent space")["posterior"])
        units = units or ActiveUnits(vae.latent_dim)
        units.add(*posterior_means(vae, batch, noise))
        of_batch = kl_terms(vae, q, z) if has_prior else None
        if of_batch is not None:
            sums.append(of_batch.double().sum(0).cpu())
        chosen = torch.isin(batch.indices.cpu(), kept)
        codes.append((q.mean if which == "mean" else z[0]).cpu()[chosen])
        numbers.append(batch.indices.cpu()[chosen])
    assert units is not None, "there are no data"
    count, totals, *_ = units.sums
    kl = torch.stack(sums).sum(0) / count if sums else None
    dimensions = Dimensions(kl, units.variances(units.sums), totals / count)
    return Codes(torch.cat(codes), torch.cat(numbers), dimensions)
