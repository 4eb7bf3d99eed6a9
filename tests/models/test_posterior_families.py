"""Every family of posteriors against the distributions of scipy, by quadrature, and as estimators use it."""

from functools import partial

import numpy as np
import pytest
import scipy.stats as stats
import torch
from scipy.integrate import quad

from vae_lab.estimators import Reparameterized, ScoreFunction, StickingTheLanding
from vae_lab.models import posteriors, priors
from vae_lab.models.likelihoods import Bernoulli
from vae_lab.models.networks import MLP
from vae_lab.models.posteriors.gaussian import DiagonalGaussian
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource, NoiseSpec

LATENT_DIM, BATCH = 2, 3

FAMILIES = {  # family, scipy's distribution from the parameters of a dimension, a prior with a closed KL
    "gaussian": (posteriors.Gaussian, lambda m, s: stats.norm(m, np.exp(s)), priors.StandardNormal),
    "laplace": (posteriors.Laplace, lambda m, s: stats.laplace(m, np.exp(s)), priors.StandardNormal),
    "logistic": (posteriors.Logistic, lambda m, s: stats.logistic(m, np.exp(s)), priors.StandardNormal),
    "cauchy": (posteriors.Cauchy, lambda m, s: stats.cauchy(m, np.exp(s)), priors.StandardCauchy),
    "student_t": (
        partial(posteriors.StudentT, df=4.0),
        lambda m, s: stats.t(4, m, np.exp(s)),
        priors.StandardNormal,
    ),
    "exponential": (
        posteriors.Exponential,
        lambda s: stats.expon(scale=np.exp(s)),
        priors.StandardExponential,
    ),
    "weibull": (
        posteriors.Weibull,
        lambda s, k: stats.weibull_min(np.exp(k), scale=np.exp(s)),
        priors.StandardExponential,
    ),
    "gamma": (
        posteriors.Gamma,
        lambda s, a: stats.gamma(np.exp(a), scale=np.exp(s)),
        priors.StandardExponential,
    ),
}
WITHOUT_SCIPY = {
    "full_gaussian": (posteriors.FullGaussian, None, priors.StandardNormal),
    "flow": (partial(posteriors.Flow, hidden=[8], context=4), None, priors.StandardNormal),
}
PRIORS = {
    priors.StandardNormal: stats.norm(),
    priors.StandardCauchy: stats.cauchy(),
    priors.StandardExponential: stats.expon(),
}


def outputs_for(family):
    generator = torch.Generator().manual_seed(0)
    size = BATCH, family(LATENT_DIM).num_outputs
    return 0.5 * torch.randn(size, generator=generator, dtype=torch.float64)


@pytest.fixture(params=FAMILIES)
def case(request):
    """A q, and scipy's distribution of each dimension, `(B, D)`."""
    family, distribution, prior = FAMILIES[request.param]
    q = family(LATENT_DIM)(outputs_for(family))
    parameters = [parameter.numpy() for parameter in q.parameters]
    return q, np.vectorize(lambda *own: distribution(*own), otypes=[object])(*parameters), prior


def of_each(distributions, function):
    return torch.from_numpy(np.vectorize(function, otypes=[float])(distributions))


def test_log_prob(case):
    q, reference, _ = case
    z = of_each(reference, lambda own: own.ppf(0.3)).unsqueeze(0)
    expected = of_each(reference, lambda own: own.logpdf(own.ppf(0.3)))
    assert torch.allclose(q.log_prob_per_dimension(z)[0], expected)
    assert torch.allclose(q.log_prob(z)[0], expected.sum(-1))


def test_transform_is_the_quantile_of_uniform_noise(case):
    q, reference, _ = case
    for level in (1e-6, 0.2, 0.5, 0.9, 1 - 1e-6):
        noise = torch.full((1, BATCH, LATENT_DIM), level, dtype=torch.float64)
        if isinstance(q, DiagonalGaussian):
            noise = torch.special.ndtri(noise)
        assert torch.allclose(
            q.transform(noise)[0], of_each(reference, lambda own, p=level: own.ppf(p)), rtol=1e-6
        )


def test_noise_at_its_ends_gives_numbers(case):
    q, _, _ = case
    if not isinstance(q, DiagonalGaussian):
        for dtype in (torch.float32, torch.float64):
            single = q.with_parameters(*(parameter.to(dtype) for parameter in q.parameters))
            for end in (0.0, 1.0):
                z = single.transform(torch.full((1, BATCH, LATENT_DIM), end, dtype=dtype))
                assert z.isfinite().all()
                assert single.log_prob(z).isfinite().all()


def test_entropy_and_mean(case):
    q, reference, _ = case
    assert torch.allclose(q.entropy(), of_each(reference, lambda own: own.entropy()).sum(-1))
    middle = of_each(reference, lambda own: own.mean() if np.isfinite(own.mean()) else own.median())
    assert torch.allclose(q.mean, middle)
    spread = of_each(reference, lambda own: own.std())
    assert torch.allclose(q.std, spread) if spread.isfinite().all() else q.std is None


def test_kl_is_that_of_quadrature(case):
    q, reference, prior = case

    def kl(own):
        def integrand(z):
            density = own.pdf(z)
            return density * (own.logpdf(z) - PRIORS[prior].logpdf(z)) if density > 0 else 0.0

        low, high = own.support()
        return sum(
            quad(integrand, *ends, limit=500)[0] for ends in ((low, own.median()), (own.median(), high))
        )

    assert torch.allclose(q.kl(prior(LATENT_DIM)), of_each(reference, kl), rtol=1e-4, atol=1e-5)


def test_gradients_of_samples_are_those_of_the_quantile(case):
    """By finite differences of the whole transform."""
    q, _, _ = case
    noise = NoiseSource(0).training(
        {"z": noise_of(q)}, purpose="test", step=0, batch_size=BATCH, dtype=torch.float64
    )["z"]
    parameters = [parameter.clone().requires_grad_() for parameter in q.parameters]
    assert torch.autograd.gradcheck(
        lambda *own: q.with_parameters(*own).transform(noise), parameters, eps=1e-6, atol=1e-5
    )


def noise_of(q):
    distribution = "normal" if isinstance(q, DiagonalGaussian) else "uniform"
    return NoiseSpec(distribution, 4, (LATENT_DIM,))


@pytest.mark.parametrize("name", [*FAMILIES, "full_gaussian", "flow"])
def test_pathwise_and_score_function_gradients_agree(name):
    """Both are unbiased for the same bound; with the KL in closed form too."""
    family, _, prior = (FAMILIES | WITHOUT_SCIPY)[name]
    torch.manual_seed(1)
    q, shape = family(LATENT_DIM), (1, 2, 2)
    encoder, decoder = MLP(shape, (q.num_outputs,), [4], "tanh"), MLP((LATENT_DIM,), shape, [4], "tanh")
    vae = VAE(encoder, decoder, q, Bernoulli(), prior(LATENT_DIM), LATENT_DIM).double()
    batch = Batch(
        torch.tensor([[1.0, 0.0, 1.0, 1.0]], dtype=torch.float64).reshape(1, *shape),
        torch.zeros(1, dtype=int),
    )
    found = {}
    for key, estimator in {
        "closed": Reparameterized(20, kl="analytic" if q.has_analytic_kl(vae.prior) else "sampled"),
        "stl": StickingTheLanding(20),
        "sampled": Reparameterized(20, kl="sampled"),
        "score": ScoreFunction(num_samples=20, kl="sampled"),
    }.items():
        gradients = []
        for step in range(120):
            noise = NoiseSource(3).training(
                estimator.noise_spec(vae, batch), purpose=key, step=step, batch_size=1, dtype=torch.float64
            )
            vae.zero_grad()
            estimator(vae, batch, noise).surrogate.sum().backward()
            gradients.append(encoder.layers[-1].bias.grad.clone())
        stacked = torch.stack(gradients)
        found[key] = stacked.mean(0), stacked.std(0) / len(stacked) ** 0.5
    for other in ("sampled", "stl", "score"):
        difference = (found["closed"][0] - found[other][0]).abs()
        error = (found["closed"][1].square() + found[other][1].square()).sqrt()
        assert (difference < 4.5 * error + 1e-12).all(), (name, other, difference / error)


def test_full_gaussian_is_that_of_torch():
    q = posteriors.FullGaussian(3)(outputs_for_full())
    reference = torch.distributions.MultivariateNormal(q.mean, scale_tril=q.factor)
    z = q.transform(torch.randn(6, BATCH, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    assert torch.allclose(q.log_prob(z), reference.log_prob(z))
    assert torch.allclose(q.entropy(), reference.entropy())
    standard = torch.distributions.MultivariateNormal(
        torch.zeros(3, dtype=torch.float64), torch.eye(3).double()
    )
    assert torch.allclose(
        q.kl(priors.StandardNormal(3)).sum(-1), torch.distributions.kl_divergence(reference, standard)
    )
    eps = torch.eye(3, dtype=torch.float64).reshape(3, 1, 3).expand(3, BATCH, 3)
    columns = (q.transform(eps) - q.mean).permute(1, 2, 0)
    assert torch.allclose(columns, q.factor)
    rows, below = torch.tril_indices(3, 3, offset=-1)
    diagonal = q.factor.diagonal(dim1=-2, dim2=-1)
    assert torch.allclose(q.factor[:, rows, below] / diagonal[:, rows], outputs_for_full()[:, 6:])


@pytest.mark.parametrize("kind", ["affine", "spline"])
def test_density_of_a_flow_is_that_of_its_noise(kind):
    torch.manual_seed(0)
    family = posteriors.Flow(3, kind, hidden=[8], context=4).double()
    generator = torch.Generator().manual_seed(1)
    q = family(torch.randn(1, 4, dtype=torch.float64, generator=generator))
    eps = torch.randn(1, 1, 3, dtype=torch.float64, generator=generator)
    jacobian = torch.autograd.functional.jacobian(lambda own: q.transform(own).flatten(), eps).reshape(3, 3)
    base = torch.distributions.Normal(0.0, 1.0).log_prob(eps).sum()
    z = q.transform(eps)
    assert torch.allclose(q.log_prob(z), base - torch.linalg.slogdet(jacobian).logabsdet)
    detached = q.detach().log_prob(z.detach())
    assert torch.equal(detached, q.log_prob(z.detach()))
    assert not detached.requires_grad
    with pytest.raises(ValueError, match="latent_dim must be at least 2, got 1"):
        posteriors.Flow(1)


def outputs_for_full():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(BATCH, 9, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("prior", [priors.StandardCauchy, priors.StandardExponential])
def test_priors(prior):
    p = prior(LATENT_DIM)
    uniform = torch.tensor([[[0.25, 0.8]]], dtype=torch.float64)
    z = p.sample(uniform)
    assert z.flatten().tolist() == pytest.approx(PRIORS[prior].ppf([0.25, 0.8]))
    assert p.log_prob(z).item() == pytest.approx(PRIORS[prior].logpdf(z.numpy()).sum())
    assert p.sample(torch.tensor([[[0.0, 1.0]]])).isfinite().all()


def test_families_that_a_prior_cannot_meet():
    with pytest.raises(ValueError, match="Gamma has positive latent variables and StandardNormal real ones"):
        posteriors.Gamma(2).check(priors.StandardNormal(2))
    with pytest.raises(
        ValueError, match="Gaussian has real latent variables and StandardExponential positive"
    ):
        posteriors.Gaussian(2).check(priors.StandardExponential(2))
    for family in (posteriors.Cauchy(2), posteriors.StudentT(2, df=2.0)):
        with pytest.raises(
            ValueError, match="no second moment, so that its KL to StandardNormal is infinite"
        ):
            family.check(priors.StandardNormal(2))
        family.check(priors.StandardCauchy(2))
    with pytest.raises(ValueError, match="kl=analytic has no closed form from Laplace to StandardCauchy"):
        posteriors.Laplace(1)(torch.zeros(1, 2)).kl(priors.StandardCauchy(1))
    with pytest.raises(ValueError, match="df must be above 0, got 0"):
        posteriors.StudentT(2, df=0)


QUICK = ["logger=none", "trainer.max_samples=2000", "trainer.progress=false"]


@pytest.mark.parametrize(
    "words",
    [
        ["model/posterior=cauchy", "model/prior=cauchy"],
        ["model/posterior=student_t", "estimator=rloo"],
        ["model/posterior=gamma", "model/prior=exponential", "estimator=iwae"],
        ["model/posterior=flow", "estimator=iwae"],
    ],
)
def test_training_and_evaluation(vae_lab, tmp_path, words):
    process = vae_lab("train", *QUICK, *words)
    assert process.returncode == 0, process.stderr
    (run,) = (tmp_path / "outputs" / "runs").iterdir()
    process = vae_lab(
        "evaluate", f"run={run.name}", "logger=none", "measures.importance_samples=[50]", "measures.gap=5"
    )
    assert process.returncode == 0, process.stderr


def test_mistakes(here):
    for words, message in [
        (
            ["model/posterior=gamma"],
            "model.posterior: Gamma has positive latent variables and StandardNormal real",
        ),
        (
            ["model/posterior=flow"],
            "for kl=analytic, and there is none from Flow to StandardNormal; use estimator.kl=sampled",
        ),
        (["model/posterior=cauchy"], "model.posterior: Cauchy has no second moment"),
        (["model/posterior=laplace", "model/prior=cauchy"], "there is none from Laplace to StandardCauchy"),
        (
            ["model/posterior=gamma", "model/prior=exponential", "evaluation=marginal_likelihood"],
            "evaluation.marginal_likelihood moves through the real numbers, and StandardExponential has",
        ),
    ]:
        process = here("train", *QUICK, *words)
        assert process.returncode == 1
        assert message in process.stderr, process.stderr
