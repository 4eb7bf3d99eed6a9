"""Time of a training step through vae-lab's own Trainer, logging on, against a hand-written PyTorch loop.

Both run in one process, in turn, on data in memory; the figure is the median over the rounds of the ratio of
their times per step. The hand-written loop is what one would write: index batches, default Adam, no logging.

    python benchmarks/training_step.py [--rounds 9] [--steps 400] [--threads 1] [--device cpu]
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

from vae_lab.config import schema
from vae_lab.files.paths import CONF
from vae_lab.noise import NoiseSource
from vae_lab.runs import signature
from vae_lab.tracking import MetricsCsv
from vae_lab.training.build import build
from vae_lab.training.data_module import DataModule
from vae_lab.training.module import VAEModule
from vae_lab.training.run import quieten_libraries
from vae_lab.training.settings import TrainingSettings

WARM_UP = 50

CASES = {
    "MNIST 784-500-20, grey": ["dataset=mnist", "model=kingma2014", "dataset.binarize=none"],
    "MNIST 784-500-20, dynamic": ["dataset=mnist", "model=kingma2014", "dataset.binarize=dynamic"],
    "digits 64-128-2, grey": ["dataset=digits", "model.latent_dim=2", "dataset.binarize=none"],
    "digits 64-128-2, dynamic": ["dataset=digits", "model.latent_dim=2", "dataset.binarize=dynamic"],
}


class Clock(pl.Callback):
    """Seconds per step after the warm-up."""

    def on_train_batch_start(self, trainer: pl.Trainer, *_: object) -> None:
        if trainer.global_step == WARM_UP:
            _synchronise()
            self.started = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        if trainer.global_step == trainer.max_steps:
            _synchronise()
            self.seconds = (time.perf_counter() - self.started) / (trainer.max_steps - WARM_UP)


class HandWritten(nn.Module):
    """The same VAE, written out."""

    def __init__(self, pixels: int, hidden: int, latent_dim: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(pixels, hidden), activation(), nn.Linear(hidden, 2 * latent_dim)
        )
        self.decoder = nn.Sequential(nn.Linear(latent_dim, hidden), activation(), nn.Linear(hidden, pixels))

    def loss(self, x: Tensor) -> Tensor:
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        reconstruction = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
        return (reconstruction + kl) / len(x)


def ours(overrides: list[str], steps: int, device: str) -> Callable[[], float]:
    """A function that trains for some steps as `vae-lab train` does and gives the seconds per step."""
    budget = [
        f"trainer.max_samples={100 * steps}",
        "trainer.progress=false",
        "logger=none",
        f"trainer={device}",
    ]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [*overrides, *budget, "trainer.evaluate_at=end"])
    data = build(TrainingSettings.of(cfg), Path()).dataset.parts

    def measure() -> float:
        with tempfile.TemporaryDirectory() as folder:
            parts = build(TrainingSettings.of(cfg), Path(folder))
            parts.dataset.parts = data
            module = VAEModule(
                parts.vae,
                parts.estimator,
                parts.optimizer,
                NoiseSource(cfg.seed),
                parts.evaluation,
                batch_size=100,
                dataset_size=len(parts.dataset.data.train.x),
            )
            clock = Clock()
            parts.trainer.callbacks.append(clock)
            parts.trainer.loggers = [MetricsCsv(Path(folder) / "metrics.csv")]
            parts.trainer.fit(module, datamodule=DataModule(parts.dataset))
            return clock.seconds

    return measure


def hand_written(overrides: list[str], steps: int, device: str) -> Callable[[], float]:
    """A function that trains for some steps in a plain loop and gives the seconds per step."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [*overrides, "logger=none"])
    device = "cuda" if device == "gpu" else device
    parts = build(TrainingSettings.of(cfg), Path())
    data = parts.dataset.data.train.x.flatten(1).to(device)
    hidden, latent_dim = cfg.model.encoder.hidden[0], cfg.model.latent_dim
    activation = nn.Tanh if cfg.model.encoder.activation == "tanh" else nn.ReLU
    dynamic = cfg.dataset.binarize == "dynamic"

    def measure() -> float:
        model = HandWritten(data.shape[1], hidden, latent_dim, activation).to(device)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        step, started = 0, 0.0
        while True:
            for indices in torch.randperm(len(data), device=device).split(100):
                if len(indices) < 100:
                    continue
                if step == WARM_UP:
                    _synchronise()
                    started = time.perf_counter()
                if step == steps:
                    _synchronise()
                    return (time.perf_counter() - started) / (steps - WARM_UP)
                x = data[indices]
                optimizer.zero_grad()
                model.loss(torch.bernoulli(x) if dynamic else x).backward()
                optimizer.step()
                step += 1

    return measure


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main() -> None:
    """Prints a row per case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.filterwarnings("ignore")
    schema.register_schemas()
    signature.register_signature()
    quieten_libraries()
    print(
        f"{'case':28} {'vae-lab':>10} {'by hand':>10} {'ratio':>7}   "
        f"ms per step; median of {arguments.rounds} rounds"
    )
    for name, overrides in CASES.items():
        if arguments.only not in name:
            continue
        measures = [make(overrides, arguments.steps, arguments.device) for make in (ours, hand_written)]
        rounds = [[measure() for measure in measures] for _ in range(arguments.rounds)]
        mine, theirs = (statistics.median(times) for times in zip(*rounds, strict=True))
        ratio = statistics.median(a / b for a, b in rounds)
        print(f"{name:28} {mine * 1e3:10.3f} {theirs * 1e3:10.3f} {ratio:7.2f}", flush=True)


if __name__ == "__main__":
    main()
