"""Hamiltonian Monte Carlo for many data at once against a loop over data, in gradients of log p(x, z).

Both make transitions of ten leapfrog steps on the posteriors of a 3-100-784 Bernoulli model, that of Monte
Carlo EM, with the same code; they run in turn, and the figure is the median over the rounds of the ratio of
their rates.

    python benchmarks/hmc.py [--data 1000] [--rounds 7] [--threads 1]
"""

import argparse
import statistics
import time

import torch
from torch import Tensor

from vae_lab.inference import hmc
from vae_lab.models.likelihoods import Bernoulli
from vae_lab.models.networks import MLP, NoEncoder
from vae_lab.models.posteriors import Gaussian
from vae_lab.models.priors import StandardNormal
from vae_lab.models.vae import VAE

LATENT, HIDDEN, PIXELS, LEAPFROG = 3, 100, 784, 10
LOOPED = 20  # data of one round of the loop


def model() -> VAE:
    """A decoder of three latent dimensions."""
    torch.manual_seed(0)
    decoder = MLP((LATENT,), (PIXELS,), [HIDDEN], activation="tanh")
    return VAE(
        NoEncoder((PIXELS,), (2 * LATENT,)),
        decoder,
        Gaussian(LATENT),
        Bernoulli(),
        StandardNormal(LATENT),
        LATENT,
    )


def gradients_per_second(vae: VAE, x: Tensor, transitions: int) -> float:
    """Gradients of one datum's log-joint, in a second, for all data of `x` side by side."""

    def log_joint(z: Tensor) -> Tensor:
        return vae.log_joint(x, z)

    chains = hmc.start_chains(log_joint, torch.zeros(1, len(x), LATENT), torch.tensor(0.1))
    began = time.perf_counter()
    for _ in range(transitions):
        momentum, uniform = torch.randn(1, len(x), LATENT), torch.rand(1, len(x))
        chains, _ = hmc.transition(log_joint, chains, momentum, uniform, LEAPFROG)
    return transitions * LEAPFROG * len(x) / (time.perf_counter() - began)


def main() -> None:
    """Prints both rates and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    vae = model()
    x = torch.rand(arguments.data, PIXELS).round()
    pairs = []
    for _ in range(arguments.rounds):
        batched = gradients_per_second(vae, x, transitions=3)
        looped = [gradients_per_second(vae, x[datum : datum + 1], transitions=3) for datum in range(LOOPED)]
        pairs.append((batched, statistics.harmonic_mean(looped)))
    batched, looped = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(first / second for first, second in pairs)
    print(f"{arguments.data} data at once: {batched:,.0f} gradients/s")
    print(f"a loop over data:  {looped:,.0f} gradients/s")
    print(f"ratio: {ratio:.1f}")


if __name__ == "__main__":
    main()
