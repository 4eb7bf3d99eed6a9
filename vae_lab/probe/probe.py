"""Compares gradient estimators at one and the same parameters and data."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_lab.estimators.base import Estimator, Needs
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource, NoiseSpec
from vae_lab.probe.bias import BLOCKS, corrected, detectable, p_value, squared_length, z_score
from vae_lab.probe.cost import GradientCost, costs
from vae_lab.probe.jacobian import EncoderJacobian
from vae_lab.probe.minibatch import minibatch_traces
from vae_lab.probe.reference import reference
from vae_lab.probe.replicates import Objective, encodes_the_batch_alone, stacked
from vae_lab.probe.sample import Groups, NotFiniteGradientError, Sample

ROUNDING = 32  # units of the least digit, within which two gradients are the same
NAN = float("nan")
NOTHING = {"nothing": NoiseSpec("uniform", 2, (1,))}  # numbers replicates that need no noise


@dataclass(frozen=True)
class Measurement:
    """One estimator's gradient for one group of parameters; squares of nats per datum per unit.

    The gradient is that of the mean over a minibatch of `batch_size` data, except for the groups
    `outputs...`: there it is each datum's own, by what the encoder gives for it, averaged over the data.

    Args:
        estimator: The estimator's name.
        num_samples: `K`, its samples per datum.
        kl: The form of its KL term.
        target: The bound whose gradient it estimates.
        declared_bias: Why it is biased, or an empty string.
        group: Which parameters: `outputs`, `encoder`, `decoder`, or one layer of them.
        num_parameters: How many numbers.
        path: `per datum` if the structure of the encoder was used, `replicates` if whole minibatch gradients
            were compared.
        trace: Trace of the covariance over the noise, at fixed data; with a 95 % interval, which is nan for
            fewer than 8 replicates, or 100 replicates times data.
        variance: The same per coordinate.
        minibatch_trace: Trace of the covariance over minibatches of the mean gradient; with a 95 % interval,
            which is nan for fewer than 20 data.
        total_trace: The sum of both: the law of total variance.
        snr: Length of the mean gradient over the square root of `trace`; the mean is the reference's if the
            estimator is unbiased.
        cosine: Between the mean over the replicates and the reference.
        cosine_of_one: Between a single gradient and the reference, from the squares' expectations.
        bias: Length of the mean's difference from the reference, over the reference's; 0 if the unbiased
            estimate of its square is negative.
        bias_limit: The bias that is found with a probability of about 80 %, at 5 % for all rows together:
            what the replicates resolve.
        bias_z: How unlikely so long a difference is without bias, as a quantile of the standard normal
            distribution; nan for fewer than 16 replicates.
        bias_p: The same as a p-value, corrected for the number of rows that are measured together.
        seconds: Wall time of one gradient.
        decoder_evaluations: Passes through the decoder per datum.
        memory: Bytes kept for the backward pass.
        variance_times_evaluations: `variance` at the cost of one decoder evaluation per datum.
        variance_times_seconds: `variance` at the cost of one second.
        status: `ok`, or why there are no values: some were not finite, or the encoder's outputs for the batch
            have no part in the gradient.
    """

    estimator: str
    num_samples: int
    kl: str
    target: str
    declared_bias: str
    group: str
    num_parameters: int
    path: str
    num_replicates: int
    batch_size: int
    trace: float
    trace_low: float
    trace_high: float
    variance: float
    variance_low: float
    variance_high: float
    minibatch_trace: float
    minibatch_trace_low: float
    minibatch_trace_high: float
    total_trace: float
    snr: float
    cosine: float
    cosine_of_one: float
    bias: float
    bias_limit: float
    bias_z: float
    bias_p: float
    seconds: float
    decoder_evaluations: float
    memory: int
    variance_times_evaluations: float
    variance_times_seconds: float
    status: str


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
        self._references: dict[str, dict[str, Tensor]] = {}
        self._minibatch: dict[str, dict[str, tuple[float, float, float]]] = {}

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
            NotFiniteError: If a gradient is NaN or infinite.
        """
        blocks = torch.arange(self.num_replicates) * min(BLOCKS, self.num_replicates) // self.num_replicates
        objective = self._objective(estimator)
        groups = self.groups
        if not objective.by_outputs:
            groups = {name: of_group for name, of_group in groups.items() if not _is_of_outputs(name)}
        sample = Sample(
            objective,
            self.jacobian,
            self.batch,
            groups,
            self.vae.posterior.outputs,
            int(blocks[-1]) + 1,
            self.generative,
            variances,
        )
        replicates = torch.arange(self.num_replicates)
        for part in replicates.tensor_split(max(1, self.num_replicates // self.chunk)):
            draws = [self._draw(estimator, purpose, replicate) for replicate in part.tolist()]
            sample.add(draws, blocks[part])
        return sample

    def _measure(
        self, name: str, estimator: Estimator, cost: GradientCost, tests: int
    ) -> Iterator[Measurement]:
        try:
            sample = self.sample(estimator)
            reference = self._reference(estimator)
            blocks = sample.blocks()
            spread = self._over_minibatches(name, estimator, blocks if estimator.bias else reference)
        except NotFiniteGradientError as failure:
            status = str(failure)
            yield from (self._row(name, estimator, group, cost, status) for group in self.groups)
            return
        for group, names in self.groups.items():
            if group not in sample.groups:
                yield self._row(name, estimator, group, cost, "encodes other data than the batch")
                continue
            trace, (low, high) = sample.trace(group), sample.interval(group)
            values = _lengths(blocks, reference, names, tests, self.jacobian.outputs.dtype)
            mean_square = values["mean"] if estimator.bias else values["reference"]
            between = spread.get(group, (NAN, NAN, NAN))
            yield self._row(
                name,
                estimator,
                group,
                cost,
                "ok",
                path="per datum"
                if sample.by_datum and group.startswith(("encoder", "outputs"))
                else "replicates",
                trace=trace,
                trace_low=low,
                trace_high=high,
                minibatch_trace=between[0],
                minibatch_trace_low=between[1],
                minibatch_trace_high=between[2],
                total_trace=trace + between[0],
                snr=_root(mean_square) / trace**0.5 if trace > 0 else math.inf,
                cosine=values["cosine"],
                cosine_of_one=values["product"]
                / _root(values["reference"] * (max(mean_square, 0.0) + trace), NAN),
                bias=_root(values["difference"]) / _root(values["reference"], NAN),
                bias_limit=values["detectable"] / _root(values["reference"], NAN),
                bias_z=z_score(values["p"]),
                bias_p=corrected(values["p"], tests),
            )

    def _row(
        self,
        name: str,
        estimator: Estimator,
        group: str,
        cost: GradientCost,
        status: str,
        **values: float | str,
    ) -> Measurement:
        number = sum(self._sizes[parameter] for parameter in self.groups[group])
        found = dict.fromkeys(MEASURED, NAN) | {"path": ""} | values
        for end in ("", "_low", "_high"):
            found[f"variance{end}"] = float(found[f"trace{end}"]) / number
        return Measurement(
            estimator=name,
            num_samples=getattr(estimator, "num_samples", 1),
            kl=getattr(estimator, "kl", ""),
            target=estimator.target,
            declared_bias=estimator.bias or "",
            group=group,
            num_parameters=number,
            num_replicates=self.num_replicates,
            batch_size=len(self.batch.x),
            seconds=cost.seconds,
            decoder_evaluations=cost.decoder_evaluations,
            memory=cost.memory,
            variance_times_evaluations=found["variance"] * cost.decoder_evaluations,  # type: ignore[operator]
            variance_times_seconds=found["variance"] * cost.seconds,  # type: ignore[operator]
            status=status,
            **found,  # type: ignore[arg-type]
        )

    @property
    def _sizes(self) -> dict[str, int]:
        """How many numbers each parameter has, or each datum's share of an output."""
        sizes = {name: parameter.numel() for name, parameter in self.vae.named_parameters()}
        return sizes | {f"outputs.{name}": size for name, size in self.vae.posterior.outputs.items()}

    def _reference(self, estimator: Estimator) -> dict[str, Tensor]:
        if estimator.target not in self._references:
            sample = self.sample(reference(estimator, self.vae), "reference", variances=False)
            self._references[estimator.target] = sample.blocks()
        return self._references[estimator.target]

    def _over_minibatches(
        self, name: str, estimator: Estimator, means: Mapping[str, Tensor]
    ) -> dict[str, tuple[float, float, float]]:
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
            groups = {group: part for group, part in self.groups.items() if not _is_of_outputs(group)}
            centre = {key: blocks.mean(0) for key, blocks in means.items() if key in self._names}
            self._minibatch[key] = minibatch_traces(
                self._objective(of), self.vae.encoder, self.batch, (halves[0], halves[1]), centre, groups
            )
        return self._minibatch[key]

    @property
    def _names(self) -> set[str]:
        return {name for name, _ in self.vae.named_parameters()}

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


MEASURED = [
    name
    for name, kind in Measurement.__annotations__.items()
    if kind is float and not name.endswith(("seconds", "evaluations"))
]


def parameter_groups(vae: VAE, generative: bool = True) -> Groups:
    """The outputs of the encoder, each part of the model that has parameters, and each of its layers.

    Example:
        >>> from vae_lab.models.likelihoods import Bernoulli
        >>> from vae_lab.models.networks import Linear
        >>> from vae_lab.models.posteriors import Gaussian
        >>> from vae_lab.models.priors import StandardNormal
        >>> q = Gaussian(2)
        >>> vae = VAE(Linear((4,), (4,)), Linear((2,), (4,)), q, Bernoulli(), StandardNormal(2), 2)
        >>> list(parameter_groups(vae))[:4]
        ['outputs', 'outputs.mean', 'outputs.log_variance', 'encoder']
    """
    outputs = [f"outputs.{name}" for name in vae.posterior.outputs]
    groups: Groups = {"outputs": outputs} | {name: [name] for name in outputs}
    for name, _ in vae.named_parameters():
        part, layer = name.split(".")[0], name.rpartition(".")[0]
        if part == "encoder" or generative:
            for group in dict.fromkeys((part, layer)):
                groups.setdefault(group, []).append(name)
    return groups


def _is_of_outputs(group: str) -> bool:
    return group.split(".")[0] == "outputs"


def _lengths(
    blocks: Mapping[str, Tensor],
    reference: Mapping[str, Tensor],
    names: list[str],
    tests: int,
    dtype: torch.dtype,
) -> dict[str, float]:
    """Squared lengths, inner products and bias of a group's mean gradient against the reference."""
    size = len(next(iter(blocks.values())))
    gram, of_reference, of_difference = torch.zeros(3, size, size, dtype=torch.float64)
    product = square = reference_square = 0.0
    for name in names:
        mine, theirs = blocks[name], reference[name]
        difference = mine - theirs
        gram += (mine @ mine.T).cpu()
        of_reference += (theirs @ theirs.T).cpu()
        of_difference += (difference @ difference.T).cpu()
        product += float(mine.mean(0) @ theirs.mean(0))
        square += float(mine.mean(0).square().sum())
        reference_square += float(theirs.mean(0).square().sum())
    several = size > 1
    precision = ROUNDING * torch.finfo(dtype).eps
    is_same = float(of_difference.diagonal().max()) <= precision**2 * reference_square
    return {
        "mean": squared_length(gram) if several else square,
        "reference": squared_length(of_reference) if several else reference_square,
        "difference": squared_length(of_difference) if several else NAN,
        "product": product,
        "cosine": product / _root(square * reference_square, NAN),
        "p": 0.5 if is_same and size == BLOCKS else p_value(of_difference),  # of rounding errors nothing
        "detectable": detectable(of_difference, tests) if size == BLOCKS else NAN,
    }


def _root(square: float, otherwise: float = 0.0) -> float:
    return square**0.5 if square > 0 else otherwise
