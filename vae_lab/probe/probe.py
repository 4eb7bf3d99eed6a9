"""Compares gradient estimators at one and the same parameters and data."""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from vae_lab.estimators.base import Estimator, Needs
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource, NoiseSpec
from vae_lab.probe.bias import BLOCKS
from vae_lab.probe.cost import GradientCost, costs
from vae_lab.probe.groups import parameter_groups, sizes_of, without_outputs
from vae_lab.probe.jacobian import EncoderJacobian
from vae_lab.probe.measurement import Measurement, measurement
from vae_lab.probe.minibatch import minibatch_traces
from vae_lab.probe.reference import reference
from vae_lab.probe.replicates import Objective, encodes_the_batch_alone, stacked
from vae_lab.probe.sample import NotFiniteGradientError, Sample
from vae_lab.probe.statistics import compare_with_reference

NOTHING = {"nothing": NoiseSpec("uniform", 2, (1,))}  # numbers replicates that need no noise
Trace = tuple[float, float, float]  # with the ends of its interval
UNKNOWN: Trace = (math.nan, math.nan, math.nan)


class Gradients(NamedTuple):
    """Statistics of one estimator's gradients.

    Args:
        sample: Their running statistics.
        blocks: Their means over blocks of replicates, by parameter.
        reference: The same of the reference.
        over_minibatches: The trace of the covariance over minibatches, by group.
    """

    sample: Sample
    blocks: Mapping[str, Tensor]
    reference: Mapping[str, Tensor]
    over_minibatches: Mapping[str, Trace]


class Probe:
    r"""Measures gradient estimators of a VAE at fixed parameters and data; it changes neither.

    All estimators meet the same noise where they ask for the same. Each one's mean is judged against the
    gradient of its own target, from its `reference()` with noise of its own.

    Args:
        vae: The model.
        batch: The minibatch; of at least 2 data, if the variance over minibatches is estimated.
        noise: Source of the noise.
        num_replicates: Draws of the noise, at least 2; 8 for an interval, 16 for a bias to be judged.
        chunk: At least so many replicates at a time, and fewer than twice as many; gradients are not kept, so
            that memory does not grow with their number.
        generative: Whether parameters other than the encoder's are looked at.
        minibatch: Whether the variance over minibatches is estimated.

    Raises:
        ValueError: If there are fewer than 2 replicates, or data.
    """

    def __init__(
        self,
        vae: VAE,
        batch: Batch,
        noise: NoiseSource,
        num_replicates: int = 100,
        chunk: int = 20,
        generative: bool = True,
        minibatch: bool = True,
    ) -> None:
        if num_replicates < 2:
            raise ValueError(f"num_replicates must be at least 2 to show a variance, got {num_replicates}.")
        if chunk < 2:
            raise ValueError(f"chunk must be at least 2, got {chunk}.")
        if minibatch and len(batch.x) < 2:
            raise ValueError(f"batch_size must be at least 2, got {len(batch.x)}; or set minibatch=false.")
        self.vae = vae
        self.batch = batch
        self.noise = noise
        self.num_replicates = num_replicates
        self.chunk = chunk
        self.generative = generative
        self.minibatch = minibatch
        self.jacobian = EncoderJacobian(vae.encoder, batch.x)
        self.groups = parameter_groups(vae, generative)
        self.sizes = sizes_of(self.groups, vae)
        self._references: dict[str, dict[str, Tensor]] = {}
        self._minibatch: dict[str, dict[str, Trace]] = {}

    def measure(self, estimators: Mapping[str, Estimator]) -> list[Measurement]:
        """Measures each estimator for each group of parameters."""
        noises = {name: self._draw(estimator, "cost", 0) for name, estimator in estimators.items()}
        costs_of = costs(
            self.vae, self.batch, {name: (estimators[name], noise) for name, noise in noises.items()}
        )
        return [
            row
            for name, estimator in estimators.items()
            for row in self._measure(name, estimator, costs_of[name], len(estimators) * len(self.groups))
        ]

    def sample(self, estimator: Estimator, purpose: str = "probe", variances: bool = True) -> Sample:
        """The running statistics of one estimator over all replicates.

        Raises:
            NotFiniteGradientError: If a gradient is NaN or infinite.
        """
        replicates = torch.arange(self.num_replicates)
        blocks = replicates * min(BLOCKS, self.num_replicates) // self.num_replicates
        objective = self._objective(estimator)
        sample = Sample(
            objective,
            self.jacobian,
            self.batch,
            self.groups if objective.by_outputs else without_outputs(self.groups),
            self.vae.posterior.outputs,
            int(blocks[-1]) + 1,
            self.generative,
            variances,
        )
        for part in replicates.tensor_split(max(1, self.num_replicates // self.chunk)):
            draws = [self._draw(estimator, purpose, replicate) for replicate in part.tolist()]
            sample.add(draws, blocks[part])
        return sample

    def _measure(
        self, name: str, estimator: Estimator, cost: GradientCost, tests: int
    ) -> Iterator[Measurement]:
        try:
            gradients, status = self._gradients(name, estimator), "encodes other data than the batch"
        except NotFiniteGradientError as failure:
            gradients, status = None, str(failure)
        for group in self.groups:
            subject = self._subject(name, estimator, group)
            if gradients is None or group not in gradients.sample.groups:
                yield measurement(subject, cost, status, {})
            else:
                yield measurement(subject, cost, "ok", self._values(group, estimator, gradients, tests))

    def _gradients(self, name: str, estimator: Estimator) -> Gradients:
        """Raises `NotFiniteGradientError` if a gradient is NaN or infinite."""
        sample = self.sample(estimator)
        theirs, mine = self._reference(estimator), sample.blocks()
        between = self._over_minibatches(name, estimator, mine if estimator.bias else theirs)
        return Gradients(sample, mine, theirs, between)

    def _values(
        self, group: str, estimator: Estimator, gradients: Gradients, tests: int
    ) -> dict[str, float | str]:
        sample, dtype = gradients.sample, self.jacobian.outputs.dtype
        trace, (low, high) = sample.trace(group), sample.interval(group)
        between, between_low, between_high = gradients.over_minibatches.get(group, UNKNOWN)
        comparison = compare_with_reference(
            gradients.blocks, gradients.reference, self.groups[group], tests, dtype
        )
        return {
            "path": "per datum" if sample.is_per_datum(group) else "replicates",
            "trace": trace,
            "trace_low": low,
            "trace_high": high,
            "minibatch_trace": between,
            "minibatch_trace_low": between_low,
            "minibatch_trace_high": between_high,
            "total_trace": trace + between,
            **comparison.columns(trace, is_biased=bool(estimator.bias)),
        }

    def _subject(self, name: str, estimator: Estimator, group: str) -> dict[str, str | int]:
        return {
            "estimator": name,
            "num_samples": getattr(estimator, "num_samples", 1),
            "kl": getattr(estimator, "kl", ""),
            "target": estimator.target,
            "declared_bias": estimator.bias or "",
            "group": group,
            "num_parameters": self.sizes[group],
            "num_replicates": self.num_replicates,
            "batch_size": len(self.batch.x),
        }

    def _reference(self, estimator: Estimator) -> dict[str, Tensor]:
        if estimator.target not in self._references:
            sample = self.sample(reference(estimator, self.vae), "reference", variances=False)
            self._references[estimator.target] = sample.blocks()
        return self._references[estimator.target]

    def _over_minibatches(
        self, name: str, estimator: Estimator, means: Mapping[str, Tensor]
    ) -> dict[str, Trace]:
        """Traces over minibatches; the mean gradient of unbiased estimators is that of their reference."""
        of = estimator if estimator.bias else reference(estimator, self.vae)
        if not self.minibatch or Needs.WHOLE_BATCH in of.requires:  # a datum has no gradient of its own
            return {}
        key = f"biased {name}" if estimator.bias else estimator.target
        if key not in self._minibatch:
            count = max(1, min(self.chunk, self.num_replicates) // 2)
            halves = [
                stacked([self._draw(of, f"minibatch {half}", index) for index in range(count)])
                for half in (0, 1)
            ]
            parameters = dict(self.vae.named_parameters())
            self._minibatch[key] = minibatch_traces(
                self._objective(of),
                self.vae.encoder,
                self.batch,
                (halves[0], halves[1]),
                {parameter: blocks.mean(0) for parameter, blocks in means.items() if parameter in parameters},
                without_outputs(self.groups),
            )
        return self._minibatch[key]

    def _objective(self, estimator: Estimator) -> Objective:
        noise = self._draw(estimator, "cost", 0)
        by_outputs = encodes_the_batch_alone(self.vae, estimator, self.batch, noise)
        return Objective(self.vae, estimator, by_outputs)

    def _draw(self, estimator: Estimator, purpose: str, step: int) -> dict[str, Tensor]:
        compares = Needs.INDEPENDENT_SAMPLES in estimator.requires  # as a reference may
        independent = self.noise.independent_samples or not compares
        source = self.noise if independent else NoiseSource(self.noise.seed)
        specs = estimator.noise_spec(self.vae, self.batch) or NOTHING
        return self.batch.draw_for_step(source, specs, purpose, step)
