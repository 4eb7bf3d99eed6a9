"""Time of the probe against a loop of `backward()` calls that knows the variance equally well.

Both estimate the variance of every encoder parameter's minibatch gradient, for the same two estimators at the
same state. The loop takes the sample variance of whole gradients. The error is the median over the parameters
of the relative error, against a probe with many more replicates. The loop's time is that of the replicates
that give it the probe's error, which falls as one over their square root. Medians of interleaved rounds.

    python benchmarks/probe.py [--replicates 20] [--loop 1000] [--rounds 5] [--threads 1] [--device cpu]
"""

import argparse
import statistics
import time

import torch
from torch import Tensor

from vae_lab.estimators import Reparameterized, StickingTheLanding
from vae_lab.estimators.base import Estimator
from vae_lab.models.likelihoods import Bernoulli
from vae_lab.models.networks import MLP
from vae_lab.models.posteriors import Gaussian
from vae_lab.models.priors import StandardNormal
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource
from vae_lab.probe import Probe
from vae_lab.probe.moments import Moments

ESTIMATORS = [Reparameterized(kl="sampled"), StickingTheLanding()]


def problem(device: str) -> tuple[VAE, Batch]:
    """The VAE of Kingma & Welling (2014), 784-500-20, and a batch of 100 binary images."""
    torch.manual_seed(0)
    shape, q = (1, 28, 28), Gaussian(20)
    encoder = MLP(shape, (q.num_outputs,), [500], "tanh")
    decoder = MLP((20,), shape, [500], "tanh")
    vae = VAE(encoder, decoder, q, Bernoulli(), StandardNormal(20), 20).to(device)
    return vae, Batch(torch.rand(100, *shape).round().to(device), torch.arange(100, device=device))


def by_probe(vae: VAE, batch: Batch, replicates: int, seed: int = 1) -> list[Tensor]:
    """The variances of all encoder parameters, for each estimator, by the probe."""
    probe = Probe(vae, batch, NoiseSource(seed), replicates, generative=False, minibatch=False)
    samples = [probe.sample(estimator) for estimator in ESTIMATORS]
    return [_flat([sample.variance(name) for name in probe.groups["encoder"]]) for sample in samples]


def by_loop(vae: VAE, batch: Batch, replicates: int, seed: int = 2) -> list[Tensor]:
    """The same by one `backward()` per replicate."""
    return [_loop(vae, batch, estimator, replicates, seed) for estimator in ESTIMATORS]


def _loop(vae: VAE, batch: Batch, estimator: Estimator, replicates: int, seed: int) -> Tensor:
    moments = [Moments() for _ in vae.encoder.parameters()]
    specs, source = estimator.noise_spec(vae, batch), NoiseSource(seed)
    for replicate in range(replicates):
        noise = source.training(specs, purpose="loop", step=replicate, batch_size=100, device=batch.x.device)
        vae.zero_grad()
        estimator(vae, batch, noise).surrogate.mean().backward()
        for moment, parameter in zip(moments, vae.encoder.parameters(), strict=True):
            assert parameter.grad is not None
            moment.add(parameter.grad.unsqueeze(0))
    return _flat([moment.variance for moment in moments])


def _flat(parts: list[Tensor]) -> Tensor:
    return torch.cat([part.flatten() for part in parts])


def _error(found: list[Tensor], truth: list[Tensor]) -> float:
    return statistics.mean(((a - b).abs() / b).median().item() for a, b in zip(found, truth, strict=True))


def _trace_error(found: list[Tensor], truth: list[Tensor]) -> float:
    return statistics.mean(abs(a.sum() / b.sum() - 1).item() for a, b in zip(found, truth, strict=True))


def main() -> None:
    """Prints errors, times and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replicates", type=int, default=20)
    parser.add_argument("--loop", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    vae, batch = problem(arguments.device)
    truth = by_probe(vae, batch, 4000, seed=99)
    short = max(20, arguments.loop // 20)
    by_probe(vae, batch, arguments.replicates)
    probe_times, loop_times = [], []
    for _ in range(arguments.rounds):
        started = time.perf_counter()
        by_probe(vae, batch, arguments.replicates)
        middle = time.perf_counter()
        by_loop(vae, batch, short)
        probe_times.append(middle - started)
        loop_times.append((time.perf_counter() - middle) / short)
    found, looped = by_probe(vae, batch, arguments.replicates), by_loop(vae, batch, arguments.loop)
    errors = _error(found, truth), _error(looped, truth)
    seconds, per_replicate = statistics.median(probe_times), statistics.median(loop_times)
    needed = arguments.loop * (errors[1] / errors[0]) ** 2
    print(f"error per parameter  probe {errors[0]:.3f} with {arguments.replicates} replicates, ", end="")
    print(f"loop {errors[1]:.3f} with {arguments.loop}; the loop needs {needed:.0f} for the probe's")
    traces = _trace_error(found, truth), _trace_error(looped, truth)
    print(f"error of the trace   probe {traces[0]:.3f}, loop {traces[1]:.3f}")
    print(f"seconds              probe {seconds:.3f}, loop {needed * per_replicate:.2f}")
    print(f"ratio                {needed * per_replicate / seconds:.0f}")


if __name__ == "__main__":
    main()
