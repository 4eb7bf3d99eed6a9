"""Quasi-random noise: the samples of a datum spread evenly."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from vae_lab.noise.source import NoiseSource, NoiseSpec, open_interval

BITS = 30  # of torch's Sobol points


class SobolNoise(NoiseSource):
    r"""Training noise whose `K` draws for a datum are a scrambled Sobol sequence.

    The points of a step are scrambled together, and those of each datum shifted digit by digit by a random
    number of its own. Each point is uniform, so that what is unbiased stays so; of $K = 2^m$ points of a
    datum each of `K` equal intervals of every coordinate holds one, and the mean of a smooth function has a
    variance of less than $1/K$. `normal` noise is its inverse CDF. Data are independent given the scrambling.
    Evaluation noise, noise that all data share, and that of more than 21,201 numbers stay independent.

    References:
        Randomly permuted (t, m, s)-nets and (t, s)-sequences (Owen, 1995), for scrambling; Quasi-Monte Carlo
        Variational Inference (Buchholz, Wenzel & Mandt, 2018), section 3.

    Args:
        seed: The run's seed.

    Example:
        >>> specs = {"posterior": NoiseSpec("uniform", num_samples=4, event_shape=(1,))}
        >>> u = SobolNoise(seed=0).training(specs, purpose="train", step=0, batch_size=1)["posterior"]
        >>> (4 * u).floor().flatten().sort().values.tolist()
        [0.0, 1.0, 2.0, 3.0]
    """

    independent_samples = False

    def training(
        self,
        specs: Mapping[str, NoiseSpec],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        **where: Any,
    ) -> dict[str, Tensor]:
        as_they_are = {name: spec for name, spec in specs.items() if not _is_spread(spec)}
        noise = super().training(as_they_are, **where, device=device, dtype=dtype)
        for name, spec in specs.items():
            if name not in as_they_are:
                uniform = self._spread(name, spec, where)
                drawn = uniform if spec.distribution == "uniform" else torch.special.ndtri(uniform)
                noise[name] = drawn.to(device=device, dtype=dtype)
        return {name: noise[name] for name in specs}

    def _spread(self, name: str, spec: NoiseSpec, where: Mapping[str, Any]) -> Tensor:
        """Uniform numbers of (0, 1), `(K, B, *event)` in float64."""
        size = torch.Size(spec.event_shape).numel()
        shift = NoiseSpec("uniform", 1, (size,))
        rest = NoiseSpec("uniform", spec.num_samples, (size,))
        drawn = super().training({f"{name} shift": shift, f"{name} rest": rest}, **where, dtype=torch.float64)
        digits = (drawn[f"{name} shift"] * 2**BITS).long()
        points = _points(self.seed, where["purpose"], name, where["step"], spec.num_samples, size)
        uniform = ((points.unsqueeze(1) ^ digits) + drawn[f"{name} rest"]) / 2**BITS
        return open_interval(uniform).unflatten(-1, spec.event_shape)


def _is_spread(spec: NoiseSpec) -> bool:
    return not spec.shared and torch.Size(spec.event_shape).numel() <= SobolEngine.MAXDIM


@lru_cache(maxsize=2)
def _points(seed: int, purpose: str, name: str, step: int, count: int, size: int) -> Tensor:
    """The first scrambled points of a step, as whole numbers below 2^30, `(K, size)`."""
    key = NoiseSource(seed).training(
        {name: NoiseSpec("uniform", 1, ())}, purpose=f"scramble {purpose}", step=step, batch_size=1,
        dtype=torch.float64,
    )  # fmt: skip
    engine = SobolEngine(size, scramble=True, seed=int(key[name] * 2**31))
    return (engine.draw(count, dtype=torch.float64) * 2**BITS).long()
