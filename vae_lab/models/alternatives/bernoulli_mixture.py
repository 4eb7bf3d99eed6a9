"""A mixture of products of Bernoullis."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from vae_lab.models.alternatives.base import DirectlyFitted
from vae_lab.models.alternatives.mixture import check_alive, check_counts, check_enough
from vae_lab.models.alternatives.pixels import fitted_outputs
from vae_lab.models.likelihoods import Bernoulli
from vae_lab.noise import NoiseSource, NoiseSpec, component, permutation


class BernoulliMixture(DirectlyFitted):
    r"""$p(x) = \sum_k \pi_k \prod_i \mathrm{Bernoulli}(x_i; \mu_{ki})$, by expectation-maximisation.

    $$r_{nk} \propto \pi_k p(x_n|\mu_k), \quad \pi_k = \frac1N \sum_n r_{nk}, \quad
    \mu_k = \frac{\sum_n r_{nk} x_n + a}{\sum_n r_{nk} + 2a}$$

    The components begin half way between 1/2 and data chosen at random.

    References:
        Pattern Recognition and Machine Learning (Bishop, 2006), equations 9.56, 9.59 and 9.60.

    Args:
        data_shape: Shape of one datum.
        num_components: `K`, at least 1 and at most the number of data.
        smoothing: `a`, above 0.
        max_iterations: Steps at most.
        tolerance: A step that gains less, in nats per datum, is the last.

    Raises:
        ValueError: If a number is out of its range, or, in `fit`, if a component dies.
    """

    likelihood: Bernoulli
    log_weights: Tensor
    logits: Tensor

    def __init__(
        self,
        data_shape: Sequence[int],
        num_components: int = 50,
        smoothing: float = 0.1,
        max_iterations: int = 100,
        tolerance: float = 0.01,
    ) -> None:
        super().__init__(data_shape)
        check_counts(num_components=num_components, max_iterations=max_iterations)
        if not smoothing > 0:
            raise ValueError(f"smoothing must be above 0, got {smoothing}.")
        self.describe_by(Bernoulli())
        self.num_components = num_components
        self.smoothing = smoothing
        self.max_iterations = max_iterations
        self.tolerance = tolerance
        self.register_buffer("log_weights", torch.zeros(num_components))
        self.register_buffer("logits", torch.zeros(num_components, 1, *data_shape))

    @property
    def num_parameters(self) -> int:
        return self.logits.numel() + self.num_components - 1

    def fit(self, x: Tensor, noise: NoiseSource) -> Iterator[dict[str, float]]:
        check_enough(self.num_components, x)
        dtype, x = x.dtype, x.double()
        order = permutation(len(x), seed=noise.seed, purpose="first components", epoch=0)
        self.logits = torch.logit(0.25 + 0.5 * x[order[: self.num_components]]).unsqueeze(1)
        self.log_weights = torch.full_like(self.log_weights, 1 / self.num_components).double().log()
        before = -torch.inf
        for _ in range(self.max_iterations):
            joint = self._log_joint(x)
            total = joint.logsumexp(0)
            responsibilities = (joint - total).exp()
            held = responsibilities.sum(1)
            check_alive(held, fewest=0.5)
            self.log_weights = (held / len(x)).log()
            self.logits = fitted_outputs(self.likelihood, x, responsibilities, self.smoothing)
            bound = total.mean().item()  # of the parameters before this step
            yield {"log_likelihood": bound}
            if bound - before < self.tolerance:
                break
            before = bound
        self.to(dtype)

    def _log_joint(self, x: Tensor) -> Tensor:
        """log p(x, k), `(K, B)`."""
        return self.likelihood(self.logits).log_prob(x) + self.log_weights.unsqueeze(1)

    def log_prob(self, x: Tensor) -> Tensor:
        return self._log_joint(x).logsumexp(0)

    def sample_spec(self, data_shape: Sequence[int]) -> dict[str, NoiseSpec]:
        return {
            "component": NoiseSpec("uniform", 1, ()),
            "pixels": NoiseSpec("uniform", 1, self.data_shape),
        }

    def sample(self, noise: Mapping[str, Tensor]) -> Tensor:
        chosen = component(noise["component"][0], self.log_weights.exp())
        return self.likelihood(self.logits[chosen].transpose(0, 1)).sample(noise["pixels"])[0]
