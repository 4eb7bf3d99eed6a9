"""The score-function gradient (REINFORCE)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from vae_lab.estimators.base import Estimate, Needs
from vae_lab.estimators.baselines.base import Baseline
from vae_lab.estimators.control_variate import scaled_score
from vae_lab.estimators.single_sample import KL, SingleSampleEstimator
from vae_lab.models.distributions.posterior import PosteriorDistribution
from vae_lab.models.vae import VAE, Batch

RAO_BLACKWELL_NEEDS = {Needs.FACTORISED_POSTERIOR, Needs.FACTORISED_PRIOR}
OPTIMAL_SCALING_NEEDS = {Needs.FACTORISED_POSTERIOR, Needs.INDEPENDENT_SAMPLES}


class ScoreFunction(SingleSampleEstimator):
    r"""The score-function gradient of the evidence lower bound: no derivative passes through the sample.

    $$\frac1K \sum_k (f(z_k) - b_k) \nabla_\phi \log q(z_k|x), \quad z_k \sim q(z|x)$$

    The learning signal f is log p(x|z) for `kl=analytic` (the KL term is then differentiated in closed
    form), the full log-weight for `kl=sampled`, and log p(x, z) for `kl=entropy`. The term of the gradient
    whose expectation is zero, that of log q inside f, is dropped. Parameters of p get their ordinary
    gradient.

    References:
        Simple statistical gradient-following algorithms for connectionist reinforcement learning
        (Williams, 1992), theorem 1; Black Box Variational Inference (Ranganath, Gerrish & Blei, 2014),
        section 3.1 for `rao_blackwell` and 3.2 for `optimal_scaling`.

    Args:
        baseline: Parts of the baseline by name, each of which centres what the one before it left; none
            leaves the signal as it is.
        num_samples: `K`, at least 1; at least 2 where a datum's other samples are used.
        kl: Form of the KL term: `analytic`, `sampled` or `entropy`.
        beta: Weight of the KL term, not negative.
        warm_up: Training samples over which that weight rises from 0; 0 for none.
        cycles: How often it rises so.
        free_bits: Nats of each latent dimension that cost nothing; needs `kl=analytic`.
        rao_blackwell: The signal of latent dimension d leaves out the KL terms of the other dimensions, on
            which z_d has no influence. With `kl=analytic` there is nothing to leave out.
        optimal_scaling: Takes the score as a control variate, with the coefficient of least variance for
            each coordinate, estimated from the datum's other samples.

    Raises:
        ValueError: If `num_samples` is too small, `beta` below 0, `rao_blackwell` meets `kl=analytic`, a
            part that rescales the signal meets another `kl` than `sampled`, or two parts compare a datum's
            samples.
    """

    def __init__(
        self,
        baseline: Mapping[str, Baseline] | None = None,
        num_samples: int = 1,
        kl: KL = "analytic",
        beta: float = 1.0,
        rao_blackwell: bool = False,
        optimal_scaling: bool = False,
        warm_up: int | float = 0,
        cycles: int = 1,
        free_bits: float = 0.0,
    ) -> None:
        super().__init__(num_samples, kl, beta, warm_up, cycles, free_bits)
        self.baseline = nn.ModuleDict(baseline or {})
        self.rao_blackwell = rao_blackwell
        self.optimal_scaling = optimal_scaling
        comparing = [name for name, part in self.parts.items() if Needs.INDEPENDENT_SAMPLES in part.requires]
        comparing += ["optimal_scaling"] if optimal_scaling else []
        self.requires |= RAO_BLACKWELL_NEEDS if rao_blackwell else set()
        self.requires |= OPTIMAL_SCALING_NEEDS if optimal_scaling else set()
        self.requires = self.requires.union(*(part.requires for part in self.parts.values()))
        self.bias = next((part.bias for part in self.parts.values() if part.bias), None)
        if rao_blackwell and kl == "analytic":
            raise ValueError(
                "rao_blackwell needs kl=sampled or kl=entropy: an analytic KL term leaves nothing to drop."
            )
        if optimal_scaling and num_samples < 2:
            raise ValueError(f"num_samples must be at least 2 for optimal_scaling, got {num_samples}.")
        for name, part in self.parts.items():
            if part.rescales and kl != "sampled":
                raise ValueError(
                    f"kl must be sampled for baseline={name}, got {kl}: what is in closed form would not be "
                    "rescaled with the signal."
                )
        if len(comparing) > 1:
            raise ValueError(
                f"{' and '.join(comparing)} both compare a datum's samples: what the first leaves of the "
                "other samples depends on the sample itself, and the gradient would be biased; use one."
            )
        for name, part in self.parts.items():
            if num_samples < part.least_samples:
                raise ValueError(
                    f"num_samples must be at least {part.least_samples} for baseline={name}, "
                    f"got {num_samples}."
                )

    @property
    def parts(self) -> dict[str, Baseline]:
        """The parts of the baseline by name."""
        return dict(self.baseline.items())  # type: ignore[arg-type]

    def prepare(self, vae: VAE, data_shape: Sequence[int], dataset_size: int) -> None:
        for part in self.parts.values():
            part.prepare(data_shape)

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        q = vae.encode(batch)
        z = q.transform(noise["posterior"]).detach()
        terms = self.bound_terms(vae, batch.x, z, q, density=q.detach())
        beta = self.weight
        objective = terms.objective(beta)
        if self.rao_blackwell:
            signal = (terms.log_likelihood.unsqueeze(-1) - beta * self._kl_terms(vae, z, q)).detach()
            log_q = q.log_prob_per_dimension(z)
        else:
            signal, log_q = objective.detach().unsqueeze(-1), q.log_prob(z).unsqueeze(-1)
        advantage, loss, statistics = self._centre(signal, batch.x)
        surrogate = (advantage * log_q).sum(-1) + objective
        if self.optimal_scaling:
            surrogate = surrogate - scaled_score(advantage, q, z)
        surrogate = surrogate.mean(0) - beta * terms.penalty - loss
        return Estimate(surrogate, terms.bound(beta).detach(), terms.report(beta), statistics)

    def update(self, means: Mapping[str, Tensor]) -> None:
        for name, part in self.parts.items():
            part.update({key.removeprefix(f"{name}."): value for key, value in means.items()})

    def _kl_terms(self, vae: VAE, z: Tensor, q: PosteriorDistribution) -> Tensor:
        """The sampled part of the KL term per latent dimension, `(K, B, D)`."""
        log_q = q.detach().log_prob_per_dimension(z) if self.kl == "sampled" else 0.0
        return log_q - vae.prior.log_prob_per_dimension(z)

    def _centre(self, signal: Tensor, x: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The centred signal, the squared error of the trained parts, and what updates the others."""
        loss = torch.zeros_like(signal[0, :, 0])
        statistics: dict[str, Tensor] = {}
        for name, part in self.parts.items():
            part_statistics = part.statistics(signal)
            statistics |= {f"{name}.{key}": value for key, value in part_statistics.items()}
            centred = part(signal, x)
            if centred.requires_grad:
                loss = loss + centred.square().mean((0, 2))
            signal = centred.detach()
        return signal, loss, statistics
