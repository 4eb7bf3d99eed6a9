"""Replicates of one estimator's gradient: their mean and variance."""

from collections.abc import Mapping

import torch
from torch import Tensor

from vae_lab.estimators.base import Needs
from vae_lab.models.vae import Batch
from vae_lab.probe.groups import Groups
from vae_lab.probe.intervals import MIN_DRAWS, MIN_REPLICATES, UNKNOWN, of_variance
from vae_lab.probe.jacobian import EncoderJacobian
from vae_lab.probe.moments import Moments
from vae_lab.probe.replicates import Objective, stacked


class NotFiniteGradientError(ValueError):
    """A gradient was NaN or infinite."""


class Sample:
    r"""Running statistics of a minibatch gradient over the replicates of its noise.

    With independent data the noise reaches the encoder through each datum's own outputs, so that

    $$\mathrm{Cov}(g) = \frac{1}{B^2} \sum_b J_b^\top C_b J_b$$

    with C_b the covariance of the gradient at the outputs of datum b: the cross terms between data, whose
    expectation is zero, are left out exactly. Where the data of a batch are coupled, and for the parameters
    of the decoder, the gradients of whole replicates are compared, vectorised by `torch.func`; so they are
    for the encoder if it sees other data than the batch.

    Args:
        objective: The surrogate of one estimator.
        jacobian: The encoder at the data.
        batch: The data.
        groups: Which parameters each group has; `outputs...` groups are left to the sample.
        output_sizes: How many outputs of the encoder stand for which parameter of the posterior.
        num_blocks: Independent parts of the replicates whose means are kept.
        generative: Whether parameters other than the encoder's are looked at.
        variances: Whether variances are wanted, or the mean alone.
    """

    def __init__(
        self,
        objective: Objective,
        jacobian: EncoderJacobian,
        batch: Batch,
        groups: Groups,
        output_sizes: Mapping[str, int],
        num_blocks: int,
        generative: bool = True,
        variances: bool = True,
    ) -> None:
        self.objective = objective
        self.jacobian = jacobian
        self.batch = batch
        self.output_sizes = dict(output_sizes)
        self.groups = groups
        self.generative = generative
        self.wants_variances = variances
        self.by_datum = objective.by_outputs and Needs.WHOLE_BATCH not in objective.estimator.requires
        self.outputs = Moments()
        self.deviations: dict[str, Tensor] = {}
        self.parameters: dict[str, Moments] = {}
        self.shares: dict[str, list[Tensor]] = {group: [] for group in groups}
        self.block_sizes = torch.zeros(num_blocks, dtype=torch.float64)
        self.block_sums: dict[str, Tensor] = {}

    def add(self, draws: list[dict[str, Tensor]], blocks: Tensor) -> None:
        """Takes in a chunk of at least 2 replicates.

        Args:
            draws: The noise of each replicate.
            blocks: The block that each replicate belongs to, `(R,)`.

        Raises:
            NotFiniteGradientError: If a gradient is NaN or infinite.
        """
        at_outputs, of_parameters = self._replicates(draws)
        if self.wants_variances:
            self._add(at_outputs, of_parameters)
        self.block_sizes += torch.bincount(blocks, minlength=len(self.block_sizes))
        for name, part in (of_parameters | {"": at_outputs}).items():
            if name not in self.block_sums:
                self.block_sums[name] = part.new_zeros(len(self.block_sizes), *part.shape[1:])
            self.block_sums[name].index_add_(0, blocks.to(part.device), part)

    def blocks(self) -> dict[str, Tensor]:
        """The mean gradient of each block, by parameter and flattened, `(blocks, elements)`."""
        sizes = self.block_sizes.view(-1, 1)
        means = {
            name: total.reshape(len(sizes), -1).double() / sizes.to(total.device)
            for name, total in self.block_sums.items()
        }
        outputs = means.pop("").view_as(self.block_sums[""]).to(self.jacobian.outputs.dtype)
        if not self.objective.by_outputs:
            return means
        gradients = self.jacobian.gradients(outputs)
        scaled = outputs * len(self.batch.x) ** 0.5  # squares then average over the data
        at_encoder = {f"encoder.{name}": part for name, part in gradients.items()}
        at_encoder |= {f"outputs.{name}": part for name, part in self._by_output(scaled).items()}
        return means | {name: part.reshape(len(sizes), -1).double() for name, part in at_encoder.items()}

    def variance(self, name: str) -> Tensor:
        """The variance of each element of a parameter's minibatch gradient."""
        if name in self.deviations:
            return self.deviations[name] / (self.outputs.count - 1)
        return self.parameters[name].variance

    def trace(self, group: str) -> float:
        """The trace of the covariance of a group's gradient."""
        return sum(float(self.variance(name).sum()) for name in self.groups[group])

    def interval(self, group: str) -> tuple[float, float]:
        """A 95 % interval of the trace; nan where there are too few replicates and data for one."""
        shares = torch.cat(self.shares[group]).numpy()
        few = len(shares) < MIN_REPLICATES or len(shares) * len(self.batch.x) < MIN_DRAWS
        return UNKNOWN if few else of_variance(self.trace(group), shares)

    def is_per_datum(self, group: str) -> bool:
        """Whether the structure of the encoder gave a group's variance."""
        return self.by_datum and group.startswith(("encoder", "outputs"))

    def _replicates(self, draws: list[dict[str, Tensor]]) -> tuple[Tensor, dict[str, Tensor]]:
        """Gradients at the outputs, of the minibatch mean, `(R, B, P)`, and by the other parameters."""
        at_outputs, of_parameters = self.objective.replicates(
            self.jacobian.outputs.detach(), self.batch, stacked(draws), self.generative
        )
        finite = at_outputs.isfinite().flatten(1).all(1)
        for part in of_parameters.values():
            finite &= part.isfinite().reshape(len(part), -1).all(1)
        if not bool(finite.all()):
            raise NotFiniteGradientError(f"not finite in {int((~finite).sum())} of {len(draws)} replicates")
        return at_outputs / len(self.batch.x), of_parameters

    def _add(self, at_outputs: Tensor, of_parameters: dict[str, Tensor]) -> None:
        count = len(at_outputs)
        mean = at_outputs.mean(0)
        centred = at_outputs - mean
        squares: dict[
            str, Tensor
        ] = {}  # of each replicate's deviation: `(R, B)`, or `(R,)` for whole batches
        scaled = centred.square() * len(self.batch.x)
        for name, part in self._by_output(scaled).items():
            squares[f"outputs.{name}"] = part.sum(-1)
        if self.by_datum:
            squares |= self._add_by_datum(centred, mean)
        elif self.objective.by_outputs:
            gradients = self.jacobian.gradients(at_outputs)
            of_parameters = of_parameters | {f"encoder.{name}": part for name, part in gradients.items()}
        for name, part in of_parameters.items():
            self.parameters.setdefault(name, Moments()).add(part)
            squares[name] = (part - part.mean(0)).square().reshape(count, -1).sum(-1)
        self.outputs.add(at_outputs)
        for name, variance in self._by_output(self.outputs.deviations * len(self.batch.x)).items():
            self.deviations[f"outputs.{name}"] = variance
        for group, names in self.groups.items():
            total = torch.stack([squares[name].reshape(count, -1).sum(1) for name in names]).sum(0)
            share = total.double() * count / (count - 1)  # what the sum loses without the replicate
            self.shares[group].append(share.cpu())

    def _add_by_datum(self, centred: Tensor, mean: Tensor) -> dict[str, Tensor]:
        """Adds the chunk's deviations from its mean and the step of the running mean towards it."""
        count, before = len(centred), self.outputs.count
        vectors = centred
        if before:
            weight = (before * count / (before + count)) ** 0.5
            step = (mean.double() - self.outputs.mean).to(mean.dtype) * weight
            vectors = torch.cat([centred, step.unsqueeze(0)])
        by_element, by_datum = self.jacobian.squares(vectors)
        for name, element in by_element.items():
            key = f"encoder.{name}"
            self.deviations[key] = self.deviations.get(key, 0.0) + element.double()
        return {f"encoder.{name}": datum[:count] for name, datum in by_datum.items()}

    def _by_output(self, at_outputs: Tensor) -> dict[str, Tensor]:
        parts = at_outputs.split(list(self.output_sizes.values()), dim=-1)
        return dict(zip(self.output_sizes, parts, strict=True))
