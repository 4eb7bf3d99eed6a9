"""The bounds of a 784-500-20 model, as `vae-lab evaluate` takes them, against its matrix products alone.

    python benchmarks/importance_sampling.py [threads] [data]

Both are timed in turns, in the same process, on the sizes that a chunk has. Prints the ratio of the times,
what 5,000 samples for 10,000 images would take, and the peak memory.
"""

import resource
import statistics
import sys
import time

import torch

from vae_lab.evaluation.measures import Measures
from vae_lab.inference.importance_sampling import CHUNK_ROWS
from vae_lab.models.likelihoods import Bernoulli
from vae_lab.models.networks import MLP
from vae_lab.models.posteriors import Gaussian
from vae_lab.models.priors import StandardNormal
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource

SAMPLES, ROUNDS = 5000, 5


def model() -> VAE:
    """The model of Kingma & Welling (2014) for MNIST."""
    q, shape = Gaussian(20), (1, 28, 28)
    encoder = MLP(shape, (q.num_outputs,), [500], "tanh")
    return VAE(encoder, MLP((20,), shape, [500], "tanh"), q, Bernoulli(), StandardNormal(20), 20)


def products(rows: int) -> None:
    """The decoder's two matrix products for so many rows."""
    z, first, hidden, second = (
        torch.randn(size) for size in ((CHUNK_ROWS, 20), (20, 500), (CHUNK_ROWS, 500), (500, 784))
    )
    for _ in range(rows // CHUNK_ROWS):
        z @ first
        hidden @ second


def seconds(function: object, *arguments: object) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    function(*arguments)  # type: ignore[operator]
    return time.perf_counter() - start


def main() -> None:
    """Times both and prints the figures."""
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    data = int(sys.argv[2]) if len(sys.argv) > 2 else 400
    vae, noise = model(), NoiseSource(0)
    measures = Measures([SAMPLES], latent_space=False, gap=0)
    batch = Batch(torch.rand(data, 1, 28, 28).round(), torch.arange(data))
    ratios, times = [], []
    with torch.no_grad():
        for turn in range(ROUNDS + 1):
            alone = seconds(products, data * SAMPLES)
            whole = seconds(measures, vae, batch, noise)
            if turn:  # the first warms up
                ratios.append(whole / alone)
                times.append(whole)
    flops = 2 * data * SAMPLES * (20 * 500 + 500 * 784)
    whole = statistics.median(times)
    print(f"{torch.get_num_threads()} threads: {statistics.median(ratios):.2f} times the matrix products")
    print(f"{flops / whole / 1e9:.0f} GFLOP/s; 10,000 images take {whole * 10_000 / data / 60:.1f} minutes")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
