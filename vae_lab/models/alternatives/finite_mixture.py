"""A mixture of two components with a prior on their proportion, by variational inference."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.distributions import Beta, kl_divergence

from vae_lab.models.alternatives.base import DirectlyFitted
from vae_lab.models.alternatives.mixture import check_alive, check_counts
from vae_lab.models.alternatives.pixels import check_pixels, fitted_outputs
from vae_lab.models.likelihoods.base import Likelihood
from vae_lab.noise import NoiseSource, NoiseSpec, component


class FiniteMixture(DirectlyFitted):
    r"""$\pi \sim \mathrm{Beta}(a, b), c_n \sim \mathrm{Bernoulli}(\pi), x_n \sim p(x|\theta_{c_n})$.

    Coordinate ascent on the evidence lower bound of $q(\pi) \prod_n q(c_n)$, each update in closed form and
    none of them random:

    $$q_n = \mathrm{sigmoid}(\log p(x_n|\theta_1) - \log p(x_n|\theta_0) + \psi(\gamma_1) - \psi(\gamma_0)),
    \quad \gamma_1 = a + \sum_n q_n, \quad \gamma_0 = b + \sum_n (1 - q_n)$$

    and $\theta_c$ by the moments of the data weighted with q. It begins with the data split by the sign of
    their first principal component. `log_prob` is the predictive density, which for two components is the
    mixture with the mean of q's proportion.

    References:
        Pattern Recognition and Machine Learning (Bishop, 2006), section 10.2.

    Args:
        data_shape: Shape of one datum.
        likelihood: `Bernoulli` or `Gaussian` pixels, independent within a component.
        concentration: `b` and `a` of the prior, each above 0.
        smoothing: Of Bernoulli pixels, as for `IndependentPixels`, above 0.
        max_iterations: Steps at most.
        tolerance: A step that gains less, in nats per datum, is the last.

    Raises:
        ValueError: If an argument is out of its range, or, in `fit`, if a component dies.
    """

    log_likelihood = "predictive"
    likelihood: Likelihood
    prior: Tensor
    gamma: Tensor
    outputs: Tensor

    def __init__(
        self,
        data_shape: Sequence[int],
        likelihood: Likelihood,
        concentration: tuple[float, float] = (1.0, 1.0),
        smoothing: float = 0.1,
        max_iterations: int = 200,
        tolerance: float = 1e-4,
    ) -> None:
        super().__init__(data_shape)
        check_pixels(likelihood)
        if not min(concentration) > 0:
            raise ValueError(f"concentration must be above 0, got {list(concentration)}.")
        if not smoothing > 0:
            raise ValueError(f"smoothing must be above 0, got {smoothing}.")
        check_counts(max_iterations=max_iterations)
        self.describe_by(likelihood)
        self.smoothing = smoothing
        self.max_iterations = max_iterations
        self.tolerance = tolerance
        channels = likelihood.num_outputs * data_shape[0]
        self.register_buffer("prior", torch.tensor(list(concentration), dtype=torch.float64))
        self.register_buffer("gamma", self.prior.clone())
        outputs = torch.zeros(2, 1, channels, *data_shape[1:], dtype=torch.float64)
        self.register_buffer("outputs", outputs)

    @property
    def num_parameters(self) -> int:
        return self.outputs.numel() + 1

    def fit(self, x: Tensor, noise: NoiseSource) -> Iterator[dict[str, float]]:
        x = x.double()
        q = _halves(x)
        before = -torch.inf
        for _ in range(self.max_iterations):
            check_alive(q.sum(1), fewest=0.5)
            self.outputs = fitted_outputs(self.likelihood, x, q, self.smoothing)
            log_p = self._log_components(x)
            q = self.ascend(log_p, q)
            bound = self.bound(log_p, q).item() / len(x)
            yield {"elbo": bound}
            if bound - before < self.tolerance:
                return
            before = bound

    def ascend(self, log_p: Tensor, q: Tensor) -> Tensor:
        """One update of q(pi), and of q(c) given it.

        Args:
            log_p: log p(x|c), `(2, N)`.
            q: Probabilities of the components for each datum, `(2, N)`.

        Returns:
            The new probabilities, `(2, N)`.
        """
        self.gamma = self.prior + q.sum(1)
        return (log_p + self.gamma.digamma().unsqueeze(1)).softmax(0)

    def bound(self, log_p: Tensor, q: Tensor) -> Tensor:
        r"""The evidence lower bound of all data, and the log-prior of smoothed pixels; in nats.

        $$\sum_n \sum_c q_{nc} [\log p(x_n|\theta_c) + E_q \log \pi_c - \log q_{nc}] - KL(q(\pi) || p(\pi))$$
        """
        log_proportions = self.gamma.digamma() - self.gamma.sum().digamma()
        data = (q * (log_p + log_proportions.unsqueeze(1)) + torch.special.entr(q)).sum()
        kl = kl_divergence(Beta(self.gamma[1], self.gamma[0]), Beta(self.prior[1], self.prior[0]))
        return data - kl + self._log_prior_of_pixels()

    def _log_prior_of_pixels(self) -> Tensor:
        """That of Beta(a + 1, a + 1) up to a constant, under which smoothing is the mode."""
        if self.levels is None:
            return torch.zeros((), dtype=torch.float64)
        log_sigmoid = torch.nn.functional.logsigmoid
        return self.smoothing * (log_sigmoid(self.outputs) + log_sigmoid(-self.outputs)).sum()

    def _log_components(self, x: Tensor) -> Tensor:
        return self.likelihood(self.outputs).log_prob(x.double())

    def log_prob(self, x: Tensor) -> Tensor:
        log_proportions = (self.gamma / self.gamma.sum()).log().unsqueeze(1)
        return (self._log_components(x) + log_proportions).logsumexp(0)

    def sample_spec(self, data_shape: Sequence[int]) -> dict[str, NoiseSpec]:
        return {
            "component": NoiseSpec("uniform", 1, ()),
            "pixels": self.likelihood.sample_spec(data_shape),
        }

    def sample(self, noise: Mapping[str, Tensor]) -> Tensor:
        chosen = component(noise["component"][0], self.gamma)
        return self.likelihood(self.outputs[chosen].transpose(0, 1)).sample(noise["pixels"])[0]


def _halves(x: Tensor) -> Tensor:
    """Probabilities `(2, N)` by the sign of the first principal component, not quite 0 and 1."""
    centred = x.flatten(1) - x.flatten(1).mean(0)
    direction = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -1]
    direction = direction * direction[direction.abs().argmax()].sign()  # which it has not of itself
    second = 0.1 + 0.8 * (centred @ direction > 0).double()
    return torch.stack([1 - second, second])
