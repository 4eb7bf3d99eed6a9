"""Noise as an explicit input: what a computation needs, and counter-based sources that draw it."""

import copy
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

BaseDistribution = Literal["normal", "uniform"]
EVALUATION_BLOCK = 50  # samples per counter in evaluation; fixed, so that no result depends on a chunk size


TEST = "test"  # the part whose noise a source draws unless told otherwise
PARTS = (TEST, "train", "validation", "left_out")  # of a dataset


class NoiseSpec(NamedTuple):
    """The noise that one computation needs: `K` draws per datum of an event from a base distribution.

    Args:
        distribution: `normal` is N(0, 1), `uniform` is U[0, 1), each component independent.
        num_samples: `K`, the number of draws per datum.
        event_shape: Shape of one draw, such as `(D,)` for a latent vector or `(C, H, W)` for an image.
        shared: Whether all data have the same draws, as the weights of a network: `(K, 1, *event)`.
    """

    distribution: BaseDistribution
    num_samples: int
    event_shape: tuple[int, ...]
    shared: bool = False


class NoiseSource:
    r"""Draws noise as a pure function of a key, so that no draw depends on what was drawn before it.

    Training noise is keyed by (seed, purpose, step) and drawn for the global batch, of which each process
    takes its slice. Evaluation noise is keyed by (seed, purpose, part of the data, datum, block of samples):
    it depends on neither batch, chunk nor number of processes. On the CPU the generator is Philox 4x64 with
    its 128-bit key, on CUDA torch's own Philox 4x32; numbers are drawn in float64 on the CPU and rounded to
    `dtype`.

    References:
        Parallel random numbers: as easy as 1, 2, 3 (Salmon et al., 2011), section 3.

    Attributes:
        independent_samples: Whether the `K` draws of a datum are independent of each other.
        mirrors: Whether they come in pairs of opposites.

    Args:
        seed: The run's seed; every integer, 0 too, is a seed of its own.

    Example:
        >>> source = NoiseSource(seed=0)
        >>> specs = {"posterior": NoiseSpec("normal", num_samples=1, event_shape=(2,))}
        >>> once = source.training(specs, purpose="train", step=7, batch_size=3)
        >>> again = source.training(specs, purpose="train", step=7, batch_size=3)
        >>> once["posterior"].shape, bool((once["posterior"] == again["posterior"]).all())
        (torch.Size([1, 3, 2]), True)
    """

    independent_samples: ClassVar[bool] = True
    mirrors: ClassVar[bool] = False

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.part = TEST

    def of_part(self, part: str) -> Self:
        """The source for another part: its evaluation noise is not that of the test part."""
        source = copy.copy(self)
        source.part = part
        return source

    def training(
        self,
        specs: Mapping[str, NoiseSpec],
        *,
        purpose: str,
        step: int,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> dict[str, Tensor]:
        """Draws noise of shape `(K, B, *event)` for this process's `batch_size` data of the global batch."""
        noise = {}
        for name, (distribution, num_samples, event_shape, shared) in specs.items():
            shape = (num_samples, 1 if shared else batch_size * world_size, *event_shape)
            key = _hash(self.seed, purpose, name)
            draw = _draw_on_gpu if torch.device(device).type == "cuda" else _draw_on_cpu
            whole = draw(distribution, shape, key, step, device)
            mine = whole if shared else whole[:, rank * batch_size : (rank + 1) * batch_size]
            noise[name] = mine.to(device=device, dtype=dtype)
        return noise

    def evaluation(
        self,
        specs: Mapping[str, NoiseSpec],
        *,
        purpose: str,
        indices: Tensor,
        block: int = 0,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> dict[str, Tensor]:
        """Draws noise of shape `(K, B, *event)`, datum by datum, for the data numbered `indices` `(B,)`.

        The first `K` draws of a block are the same whatever `K` is.
        """
        noise = {}
        for name, (distribution, num_samples, event_shape, shared) in specs.items():
            of_part = () if self.part == TEST else (self.part,)
            key = _hash(self.seed, purpose, name, block, *of_part)
            shape = (num_samples, *event_shape)
            draws = [
                _draw_on_cpu(distribution, shape, key, datum)
                for datum in ([0] if shared else indices.tolist())
            ]
            noise[name] = torch.stack(draws, dim=1).to(device=device, dtype=dtype)
        return noise


class AntitheticNoise(NoiseSource):
    r"""Training noise in pairs that mirror each other: (eps, -eps) for `normal`, (u, 1 - u) for `uniform`.

    The pair's mean gradient stays unbiased, and what is linear in the noise cancels in it. Evaluation noise
    and noise that all data share stay independent. The first `K/2` samples are half a batch of their own, the
    others mirror them.

    References:
        A new Monte Carlo technique: antithetic variates (Hammersley & Morton, 1956).

    Args:
        seed: The run's seed.

    Raises:
        ValueError: On drawing, if a number of samples is odd.

    Example:
        >>> specs = {"posterior": NoiseSpec("normal", num_samples=2, event_shape=(1,))}
        >>> eps = AntitheticNoise(seed=0).training(specs, purpose="train", step=0, batch_size=3)["posterior"]
        >>> eps.shape, eps.sum().item()
        (torch.Size([2, 3, 1]), 0.0)
    """

    independent_samples = False
    mirrors = True

    def training(self, specs: Mapping[str, NoiseSpec], **arguments: Any) -> dict[str, Tensor]:
        for _, num_samples, _, shared in specs.values():
            if num_samples % 2 and not shared:
                raise ValueError(f"num_samples must be even for antithetic pairs, got {num_samples}.")
        halves = {
            name: spec if spec.shared else spec._replace(num_samples=spec.num_samples // 2)
            for name, spec in specs.items()
        }
        noise = super().training(halves, **arguments)
        for name, spec in specs.items():
            if not spec.shared:
                mirror = -noise[name] if spec.distribution == "normal" else 1 - noise[name]
                noise[name] = torch.cat([noise[name], mirror])
        return noise


def permutation(size: int, *, seed: int, purpose: str, epoch: int) -> Tensor:
    """A permutation of `0 ... size - 1` as a function of (seed, purpose, epoch)."""
    return torch.from_numpy(_generator(_hash(seed, purpose), epoch).permutation(size))


def random_subset(size: int, count: int, *, seed: int, purpose: str) -> Tensor:
    """So many of `0 ... size - 1` at most, at random, ascending, as a function of (seed, purpose)."""
    return permutation(size, seed=seed, purpose=purpose, epoch=0)[:count].sort().values


def open_interval(uniform: Tensor) -> Tensor:
    """Uniform numbers of [0, 1), or rounded to 1, moved into (0, 1), where quantiles are finite."""
    limits = torch.finfo(uniform.dtype)
    return uniform.clamp(limits.tiny, 1 - limits.eps / 2)


def component(uniform: Tensor, weights: Tensor) -> Tensor:
    """The component of a mixture that each uniform number chooses, given its `K` weights.

    Example:
        >>> component(torch.tensor([0.1, 0.9]), torch.tensor([0.5, 0.5])).tolist()
        [0, 1]
    """
    ends = weights.double().cumsum(0)
    return torch.searchsorted(ends, uniform.double() * ends[-1], right=True).clamp(max=len(weights) - 1)


@lru_cache(maxsize=256)
def _hash(*words: object) -> int:
    """Sixty-four bits that name a stream: half of Philox's key, the counter being the other half."""
    return int.from_bytes(hashlib.blake2b(repr(words).encode(), digest_size=8).digest(), "little")


def _generator(key: int, counter: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array([key, counter], dtype=np.uint64)))


def _draw_on_cpu(
    distribution: BaseDistribution,
    shape: tuple[int, ...],
    key: int,
    counter: int,
    device: torch.device | str = "cpu",
) -> Tensor:
    generator = _generator(key, counter)
    return torch.from_numpy(
        generator.standard_normal(shape) if distribution == "normal" else generator.random(shape)
    )


def _draw_on_gpu(
    distribution: BaseDistribution, shape: tuple[int, ...], key: int, counter: int, device: torch.device | str
) -> Tensor:
    generator = torch.Generator(device).manual_seed(_hash(key, counter))
    draw = torch.randn if distribution == "normal" else torch.rand
    return draw(shape, generator=generator, device=device)
