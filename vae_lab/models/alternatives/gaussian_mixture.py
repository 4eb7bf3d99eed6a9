"""A mixture of Gaussians."""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from vae_lab.models.alternatives.base import DirectlyFitted
from vae_lab.models.alternatives.mixture import check_alive, check_counts, check_enough
from vae_lab.noise import NoiseSource, NoiseSpec, component


class GaussianMixture(DirectlyFitted):
    r"""$p(x) = \sum_k \pi_k N(x; \mu_k, \Sigma_k)$, by scikit-learn's expectation-maximisation.

    References:
        Pattern Recognition and Machine Learning (Bishop, 2006), section 9.2.

    Args:
        data_shape: Shape of one datum, `D` numbers.
        num_components: `K`, at least 1.
        covariance: `diagonal` or `full`.
        regularization: Added to each variance, at least 0.
        max_iterations: Steps at most.

    Raises:
        ValueError: If a number is out of its range, or, in `fit`, if a component dies.
    """

    support = "real"
    levels = None
    weights: Tensor
    means: Tensor
    scales: Tensor

    def __init__(
        self,
        data_shape: Sequence[int],
        num_components: int = 10,
        covariance: Literal["diagonal", "full"] = "diagonal",
        regularization: float = 1e-6,
        max_iterations: int = 100,
    ) -> None:
        super().__init__(data_shape)
        check_counts(num_components=num_components, max_iterations=max_iterations)
        if not regularization >= 0:
            raise ValueError(f"regularization must be at least 0, got {regularization}.")
        self.num_components = num_components
        self.covariance = covariance
        self.regularization = regularization
        self.max_iterations = max_iterations
        size = math.prod(data_shape)
        scales = (size, size) if covariance == "full" else (size,)
        self.register_buffer("weights", torch.ones(num_components, dtype=torch.float64) / num_components)
        self.register_buffer("means", torch.zeros(num_components, size, dtype=torch.float64))
        self.register_buffer("scales", torch.ones(num_components, *scales, dtype=torch.float64))

    @property
    def num_parameters(self) -> int:
        size = self.means.shape[1]
        of_covariance = size * (size + 1) // 2 if self.covariance == "full" else size
        return self.num_components * (size + of_covariance) + self.num_components - 1

    def fit(self, x: Tensor, noise: NoiseSource) -> Iterator[dict[str, float]]:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture as Fit

        check_enough(self.num_components, x)
        fit = Fit(
            self.num_components,
            covariance_type="full" if self.covariance == "full" else "diag",
            reg_covar=self.regularization,
            max_iter=self.max_iterations,
            random_state=noise.seed,
        )
        data = x.flatten(1).double().numpy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # max_iterations may come first
            try:
                fit.fit(data)
            except ValueError as error:
                if "ill-defined" in str(error):
                    raise ValueError(
                        f"regularization={self.regularization:g} lets a covariance collapse; use a larger "
                        "one or fewer components."
                    ) from error
                raise
        self.weights = torch.from_numpy(fit.weights_)
        check_alive(self.weights * len(x), fewest=1.01)  # a single one has no variance
        self.means = torch.from_numpy(fit.means_)
        covariances = torch.from_numpy(fit.covariances_)
        full = self.covariance == "full"
        self.scales = torch.linalg.cholesky(covariances) if full else covariances.sqrt()
        yield {"log_likelihood": float(fit.score(data))}

    def _components(self) -> torch.distributions.Distribution:
        if self.covariance == "full":
            return torch.distributions.MultivariateNormal(self.means, scale_tril=self.scales)
        return torch.distributions.Independent(torch.distributions.Normal(self.means, self.scales), 1)

    def log_prob(self, x: Tensor) -> Tensor:
        log_p = self._components().log_prob(x.flatten(1).double().unsqueeze(1))
        return (log_p + self.weights.log()).logsumexp(1)

    def sample_spec(self, data_shape: Sequence[int]) -> dict[str, NoiseSpec]:
        return {
            "component": NoiseSpec("uniform", 1, ()),
            "pixels": NoiseSpec("normal", 1, (self.means.shape[1],)),
        }

    def sample(self, noise: Mapping[str, Tensor]) -> Tensor:
        chosen = component(noise["component"][0], self.weights)
        eps, scales = noise["pixels"][0].double(), self.scales[chosen]
        deviation = (scales @ eps.unsqueeze(-1)).squeeze(-1) if self.covariance == "full" else scales * eps
        return (self.means[chosen] + deviation).unflatten(1, self.data_shape)
