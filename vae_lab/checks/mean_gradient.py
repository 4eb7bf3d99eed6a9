"""The mean of an estimator's gradient against that of its target."""

from typing import NamedTuple

import torch
from scipy import stats
from torch import Tensor

from vae_lab.checks.cases import copies_of, one_datum
from vae_lab.estimators.base import Estimate, Estimator
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource

BLOCKS = 50  # independent means of estimates
COPIES = 2000  # estimates in one block
FALSE_ALARMS = 0.001  # of all tests together
TESTS = 1000  # estimators and models among which these are shared
POWER = 0.8
ROUNDING = 1e-12


def estimate(
    estimator: Estimator, vae: VAE, batch: Batch, step: int = 0, noise: NoiseSource | None = None
) -> Estimate:
    """One call of an estimator with the noise of a training step."""
    source = noise or NoiseSource(0)
    drawn = batch.draw_for_step(source, estimator.noise_spec(vae, batch), "train", step)
    value: Estimate = estimator(vae, batch, drawn)
    return value


def gradient(vae: VAE, values: Tensor) -> Tensor:
    """The gradient of the mean of some values by all parameters of the model, flat."""
    parameters = list(vae.parameters())
    gradients = torch.autograd.grad(values.mean(), parameters, allow_unused=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in gradients])


def block_means(
    estimator: Estimator, vae: VAE, noise: NoiseSource, blocks: int = BLOCKS, copies: int = COPIES
) -> Tensor:
    """Mean gradients over blocks of independent estimates at one datum, `(blocks, parameters)`."""
    batch = copies_of(one_datum(vae), copies)
    return torch.stack(
        [gradient(vae, estimate(estimator, vae, batch, step, noise).surrogate) for step in range(blocks)]
    )


def is_biased(means: Tensor, reference: Tensor, tests: int = TESTS) -> bool:
    """Whether a coordinate's mean differs from the reference's, all tests together erring once in 1,000.

    Bonferroni: the quantile of Student's t for a thousandth, shared among all coordinates and `tests`
    estimators.

    Args:
        means: Of blocks, `(blocks, parameters)`.
        reference: Likewise, or the exact gradient twice.
        tests: How many estimators are tested.
    """
    return bool((_z(means, reference).abs() > _quantile(means.shape[1], len(means), tests)).any())


def _z(means: Tensor, reference: Tensor) -> Tensor:
    """The difference of each coordinate in standard errors; one of rounding counts as none."""
    error = (means.var(0) / len(means) + reference.var(0) / len(reference)).sqrt()
    difference = means.mean(0) - reference.mean(0)
    return torch.where(difference.abs() <= ROUNDING, 0.0, difference / error)


def _quantile(coordinates: int, blocks: int, tests: int) -> float:
    return float(stats.t.isf(FALSE_ALARMS / (2 * coordinates * tests), blocks - 1))


class GradientComparison(NamedTuple):
    """A mean gradient against the one that it should be.

    Args:
        is_biased: Whether they differ.
        z: The largest difference of a coordinate, in standard errors.
        limit: From where on a coordinate counts as different.
        ratios: Of each part of the model, the mean gradient along the true one, in units of its length.
        errors: The standard errors of these.
    """

    is_biased: bool
    z: float
    limit: float
    ratios: dict[str, float]
    errors: dict[str, float]

    @property
    def detectable(self) -> float:
        """The least bias along the gradient, in its length, that is found in four of five cases."""
        return max(self.errors.values()) * (self.limit + float(stats.norm.isf(1 - POWER)))


def compare(means: Tensor, reference: Tensor, parts: dict[str, slice]) -> GradientComparison:
    """Compares mean gradients by coordinate, and along the true gradient of each part of the model.

    The second finds a common factor that is too small to be seen in one coordinate. The direction is that of
    the first half of the reference's blocks, and the comparison is with the second half.

    Args:
        means: Of blocks, `(blocks, parameters)`.
        reference: Likewise; or the exact gradient, `(1, parameters)`.
        parts: The coordinates of each part of the model.
    """
    halves = reference.chunk(2) if len(reference) > 1 else (reference, reference)
    whole = reference if len(reference) > 1 else reference.expand(2, -1)
    limit = _quantile(means.shape[1] + len(parts), len(means), TESTS)
    z = float(_z(means, whole).abs().max())
    ratios, errors = {}, {}
    for name, place in parts.items():
        direction = halves[0].mean(0)[place]
        if not float(length := direction.norm()) > ROUNDING:
            continue
        along = [blocks[:, place] @ direction / length**2 for blocks in (means, halves[1])]
        true = along[1].mean()
        variance = along[0].var() / len(means)
        variance += along[1].var() / len(along[1]) if len(along[1]) > 1 else 0.0
        ratios[name] = float(along[0].mean() / true)
        errors[name] = max(float(variance.sqrt() / true.abs()), ROUNDING)
    differs = any(abs(ratios[name] - 1) > max(limit * errors[name], 1e-9) for name in ratios)
    return GradientComparison(z > limit or differs, z, limit, ratios, errors)


def parts_of(vae: VAE) -> dict[str, slice]:
    """The coordinates of a flat gradient that are the encoder's, and those that are the model's."""
    encoder = sum(parameter.numel() for parameter in vae.encoder.parameters())
    return {"encoder": slice(0, encoder), "model": slice(encoder, None)}
