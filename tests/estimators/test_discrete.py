"""Discrete latent variables: their distributions, and their estimators against sums over all values."""

import itertools
import math
from functools import partial

import pytest
import torch
from scipy.stats import kstest
from test_estimator_variances import FLAT, Objective
from test_estimators import nvil, rloo, running_mean
from torch import nn

from vae_lab.checks.cases import (
    binary_vae,
    categorical_vae,
    copies_of,
    linear_gaussian_vae,
    one_datum,
    samples_and_probabilities,
    summed_bound,
)
from vae_lab.checks.mean_gradient import block_means, estimate, gradient, is_biased
from vae_lab.estimators import (
    ARM,
    OVIS,
    REBAR,
    RELAX,
    VIMCO,
    DeltaMethod,
    DisARM,
    Enumeration,
    GumbelSoftmax,
    Reparameterized,
    ReweightedWakeSleep,
    ScoreFunction,
    StraightThrough,
    WakeSleep,
)
from vae_lab.estimators.base import Needs
from vae_lab.estimators.baselines import RunningMean
from vae_lab.estimators.control_variate import scaled_score
from vae_lab.evaluation.exact import exact_log_likelihood, has_exact_log_likelihood
from vae_lab.models import posteriors, priors
from vae_lab.models.distributions.discrete import BernoulliDistribution, CategoricalDistribution
from vae_lab.models.networks import MLP
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import AntitheticNoise, NoiseSource
from vae_lab.probe import Probe
from vae_lab.probe.reference import reference
from vae_lab.training.compatibility import check_needs
from vae_lab.training.offer import Offer

KLS = ["analytic", "sampled", "entropy"]
MODELS = {"binary": binary_vae, "categorical": categorical_vae}
relax = partial(RELAX, partial(MLP, hidden=[4], activation="tanh"))
UNBIASED = {
    f"{name}-{kl}": partial(make, kl=kl)
    for kl in KLS
    for name, make in {
        "enumeration": Enumeration,
        "score_function": ScoreFunction,
        "rloo-beta": partial(rloo, beta=0.5),
        "arm": ARM,
        "disarm-k3-beta": partial(DisARM, num_samples=3, beta=2.5),
        "rebar-beta": partial(REBAR, beta=2.5),
        "relax": relax,
    }.items()
} | {
    "running_mean": running_mean,
    "nvil": nvil,
    "delta_method": DeltaMethod,
    "rebar-k2": partial(REBAR, num_samples=2, temperature=0.1, scale=0.3),
    "rao_blackwell": partial(ScoreFunction, rao_blackwell=True, kl="sampled"),
    "optimal_scaling": partial(ScoreFunction, num_samples=4, optimal_scaling=True),
}
BIASED = {
    "gumbel_softmax": GumbelSoftmax,
    "gumbel_softmax-sampled": partial(GumbelSoftmax, kl="sampled"),
    "gumbel_softmax-straight_through": partial(GumbelSoftmax, straight_through=True),
    "straight_through": StraightThrough,
    "wake_sleep": WakeSleep,
}
OF_BINARY = ("arm", "delta_method", "disarm", "rao_blackwell", "optimal_scaling")
CASES = [
    (model, name)
    for model in MODELS
    for name in UNBIASED
    if model == "binary" or not name.startswith(OF_BINARY)
]


def made(make, vae):
    torch.manual_seed(3)
    estimator = make()
    estimator.prepare(vae, (1, 2, 2), dataset_size=1)
    check_needs(estimator, Offer.of(vae))
    return estimator.double()


def noise_for(q, z):
    """Uniform noise that makes the values `z`, `(K, B, D)`."""
    if isinstance(q, BernoulliDistribution):
        return torch.where(z > 0.5, 1 - q.mean / 2, (1 - q.mean) / 2)
    return torch.where(
        z > 0.5, 1 - 1e-12, 1e-12
    )  # of a Gumbel distribution, all but the largest and the smallest


@pytest.mark.parametrize(("model", "name"), CASES)
def test_the_mean_gradient_is_that_of_the_sum_over_all_values(model, name):
    vae = MODELS[model]()
    estimator = made(UNBIASED[name], vae)
    assert estimator.bias is None
    exact = gradient(vae, summed_bound(vae, one_datum(vae), beta=estimator.beta))
    means = block_means(estimator, vae, NoiseSource(1), blocks=40, copies=1000)
    assert not is_biased(means, exact.expand(2, -1))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", BIASED)
def test_biased_estimators_say_so_and_fail_the_test_of_bias(model, name):
    vae = MODELS[model]()
    estimator = made(BIASED[name], vae)
    assert estimator.bias
    exact = gradient(vae, summed_bound(vae, one_datum(vae)))
    assert is_biased(block_means(estimator, vae, NoiseSource(0), blocks=40, copies=1000), exact.expand(2, -1))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kl", KLS)
def test_enumeration_is_the_sum_over_all_values(model, kl):
    vae = MODELS[model]()
    batch = one_datum(vae)
    found = Enumeration(kl=kl, beta=2.5)(vae, batch, {})
    assert torch.allclose(found.bound, summed_bound(vae, batch, beta=2.5))
    assert torch.allclose(found.terms["elbo"], summed_bound(vae, batch))
    exact = gradient(vae, summed_bound(vae, batch, beta=2.5))
    assert torch.allclose(gradient(vae, found.surrogate), exact)


SCORES = {
    "score_function": (partial(ScoreFunction, kl="sampled"), 1),
    "rloo": (partial(rloo, kl="sampled"), 4),
    "vimco": (partial(VIMCO, 3), 3),
    "vimco-arithmetic": (partial(VIMCO, 3, mean="arithmetic"), 3),
    "ovis": (partial(OVIS, 3), 3),
    "ovis-gamma0": (partial(OVIS, 3, gamma=0.0), 3),
    "reweighted_wake_sleep": (partial(ReweightedWakeSleep, 3), 3),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", SCORES)
def test_the_expectation_over_all_samples_without_sampling(model, name):
    """A function of the noise by the samples alone has an expectation that is a finite sum."""
    make, samples = SCORES[name]
    vae = MODELS[model](2 if model == "binary" else 3)
    estimator = made(make, vae)
    batch = one_datum(vae)
    values, probabilities = samples_and_probabilities(vae, batch, samples)
    z = values.transpose(0, 1)
    copies = copies_of(batch, len(values))
    noise = noise_for(vae.encode(copies), z)
    assert torch.equal(vae.encode(copies).transform(noise), z)
    surrogate = estimator(vae, copies, {"posterior": noise}).surrogate
    found = gradient(vae, (len(values) * probabilities.detach() * surrogate))
    exact = gradient(vae, summed_bound(vae, batch, 1 if estimator.target == "elbo" else samples))
    assert torch.allclose(found, exact) == (estimator.bias is None)


def logits_gradients(estimator, f, logits, noise, repeats):
    """Estimates of dE[f]/dlogits, `(N, D)`; the entropy that is added there moves their mean alone."""
    outputs = logits.expand(repeats, -1).clone().requires_grad_()
    vae = VAE(
        nn.Identity(), nn.Identity(), posteriors.Bernoulli(len(logits)), Objective(f), FLAT, len(logits)
    )
    surrogate = estimator(vae, Batch(outputs, torch.arange(repeats)), noise).surrogate
    return torch.autograd.grad(surrogate.sum(), outputs)[0]


def exact_variance(make, f, logits, samples):
    """Of the sum of a score-function estimator's coordinates, by a sum over all samples."""
    q = BernoulliDistribution(logits)
    states = torch.tensor(list(itertools.product([0.0, 1.0], repeat=len(logits))), dtype=torch.float64)
    ways = torch.cartesian_prod(*[torch.arange(len(states))] * samples).reshape(-1, samples)
    probabilities = q.log_prob(states)[ways].sum(1).exp()
    noise = {"posterior": noise_for(q, states[ways].transpose(0, 1))}
    found = logits_gradients(make(), f, logits, noise, len(ways)).sum(1)
    return float(probabilities @ found.square() - (probabilities @ found).square())


def of_samples(samples):
    return partial(rloo_of, samples)


def rloo_of(samples):
    estimator = rloo(kl="entropy")
    estimator.num_samples = samples
    return estimator


def centred(mean):
    estimator = ScoreFunction({"running_mean": RunningMean()}, kl="entropy").double()
    estimator.update({"running_mean.mean": mean})
    return estimator


def distance(z, target):
    return (z - target).square().sum(-1)


@pytest.mark.parametrize(
    ("target", "plain", "two", "four"),
    [(0.45, 0.015939, 6.25e-4, 1.04e-4), (0.499, 0.015625, 2.5e-7, 4.2e-8)],
)
def test_variances_on_the_toy_of_rebar(target, plain, two, four):
    """One variable, f = (z - t)^2, at the probability one half (Tucker et al., 2017, section 5.1)."""
    f, logits = partial(distance, target=torch.tensor([target]).double()), torch.zeros(1).double()
    mean = 0.5 * (target**2 + (1 - target) ** 2)
    assert exact_variance(partial(ScoreFunction, kl="entropy"), f, logits, 1) == pytest.approx(
        plain, rel=1e-3
    )
    assert exact_variance(partial(centred, torch.tensor(mean)), f, logits, 1) == pytest.approx(0, abs=1e-9)
    assert exact_variance(of_samples(2), f, logits, 2) == pytest.approx(two, rel=1e-2)
    assert exact_variance(of_samples(4), f, logits, 4) == pytest.approx(four, rel=1e-2)


@pytest.mark.parametrize(
    ("logit", "plain", "baseline", "two", "four"),
    [(0.0, 0.43842, 4.65e-3, 7.3e-3, 2.0e-3), (-4.0, 0.033557, 7.1e-4, 3.8e-4, 1.8e-4)],
)
def test_variances_on_the_toy_of_three_variables(logit, plain, baseline, two, four):
    """f = sum (z_d - p_d)^2 with one logit for all (Kool, van Hoof & Welling, 2020)."""
    f = partial(distance, target=torch.tensor([0.6, 0.51, 0.48]).double())
    logits = torch.full((3,), logit).double()
    z = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3))).double()
    mean = BernoulliDistribution(logits).log_prob(z).exp() @ f(z)
    found = [
        exact_variance(partial(ScoreFunction, kl="entropy"), f, logits, 1),
        exact_variance(partial(centred, mean), f, logits, 1),
        exact_variance(of_samples(2), f, logits, 2),
        exact_variance(of_samples(4), f, logits, 4),
    ]
    assert found == pytest.approx([plain, baseline, two, four], rel=3e-2)


@pytest.mark.parametrize("p", [0.1, 0.4, 0.5, 0.8])
def test_variances_of_antithetic_pairs(p):
    r"""With one variable and $\Delta = f(1) - f(0)$, at the smaller probability p,

    DisARM: $\Delta^2 (1-p)^2 p (1/2 - p)$; ARM: $\Delta^2 (2/3) (1/8 - (1/2 - p)^3) - (\Delta p (1-p))^2$.
    """
    delta, u = 0.7, (torch.arange(200_000).double() + 0.5).reshape(1, -1, 1) / 200_000
    logits, small = torch.tensor([p]).double().logit(), min(p, 1 - p)

    def variance(estimator):
        found = logits_gradients(estimator, lambda z: delta * z.sum(-1), logits, {"posterior": u}, u.shape[1])
        return found.var().item()

    of_disarm = delta**2 * (1 - small) ** 2 * small * (0.5 - small)
    of_arm = delta**2 * 2 / 3 * (0.125 - (0.5 - small) ** 3) - (delta * p * (1 - p)) ** 2
    assert variance(DisARM(kl="entropy")) == pytest.approx(of_disarm, rel=1e-3, abs=1e-9)
    assert variance(ARM(kl="entropy")) == pytest.approx(of_arm, rel=1e-3)


def test_rebar_without_its_control_variate_is_the_score_function():
    vae = binary_vae()
    batch = copies_of(one_datum(vae), 5)
    rebar, plain = made(partial(REBAR, scale=0.0), vae), made(ScoreFunction, vae)
    gradients = [gradient(vae, estimate(one, vae, batch).surrogate) for one in (rebar, plain)]
    assert torch.allclose(*gradients)


@pytest.mark.parametrize("make", [REBAR, relax])
@pytest.mark.parametrize("model", MODELS)
def test_control_variates_descend_the_variance_and_leave_the_model_alone(make, model):
    """By finite differences in the scale; with beta = 0 nothing but the estimate is in the gradient."""
    vae = MODELS[model]()
    estimator, plain = made(partial(make, beta=0.0), vae), made(partial(ScoreFunction, beta=0.0), vae)
    batch = copies_of(one_datum(vae), 20)
    outputs = vae.encoder(batch.x).detach().requires_grad_()
    given = vae.with_encoder(Given(outputs))

    def surrogate(scale):
        with torch.no_grad():
            estimator.scale.fill_(scale)
        return estimate(estimator, given, batch).surrogate

    def mean_square(scale):
        return torch.autograd.grad(surrogate(scale).sum(), outputs)[0].square().sum(-1).mean().item()

    step, found = 1e-5, surrogate(0.7).mean()
    by_scale = torch.autograd.grad(found, estimator.scale, retain_graph=True)[0].item()
    slope = (mean_square(0.7 + step) - mean_square(0.7 - step)) / (2 * step)
    assert by_scale == pytest.approx(-slope, rel=1e-5)
    parameters = list(vae.decoder.parameters())
    expected = torch.autograd.grad(estimate(plain, given, batch).surrogate.mean(), parameters)
    of_decoder = torch.autograd.grad(found, parameters)
    assert all(torch.allclose(one, two) for one, two in zip(of_decoder, expected, strict=True))


class Given(nn.Module):
    """Stands for an encoder whose outputs are known."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, x):
        return self.outputs


@pytest.mark.parametrize("make", [REBAR, relax])
def test_training_the_control_variate_lowers_the_variance(make):
    vae = binary_vae()
    estimator, batch = made(partial(make, scale=-1.0), vae), copies_of(one_datum(vae), 200)
    inference = sum(parameter.numel() for parameter in vae.encoder.parameters())

    def variance():
        means = block_means(estimator, vae, NoiseSource(7), blocks=100, copies=20)
        return means[:, :inference].var(0).sum().item()

    before = variance()
    optimizer = torch.optim.Adam(estimator.parameters(), 0.02)
    for step in range(150):
        optimizer.zero_grad()
        (-estimate(estimator, vae, batch, step).surrogate.mean()).backward()
        optimizer.step()
    assert variance() < 0.5 * before


FAMILIES = {
    "binary": lambda logits: (BernoulliDistribution(logits), torch.distributions.Bernoulli(logits=logits)),
    "categorical": lambda logits: (
        CategoricalDistribution(logits, 3),
        torch.distributions.OneHotCategorical(logits=logits.unflatten(-1, (-1, 3))),
    ),
}


@pytest.fixture(params=FAMILIES)
def distribution(request):
    """A distribution over six numbers for two data, and that of torch."""
    generator = torch.Generator().manual_seed(0)
    return FAMILIES[request.param](2 * torch.randn(2, 6, generator=generator, dtype=torch.float64))


def test_distributions_are_those_of_torch(distribution):
    q, reference = distribution
    other = FAMILIES["binary" if isinstance(q, BernoulliDistribution) else "categorical"](q.logits.flip(0))
    z = q.transform(torch.rand(7, 2, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    in_their_shape = z.unflatten(-1, (-1, 3)) if isinstance(q, CategoricalDistribution) else z
    assert torch.allclose(q.log_prob(z), reference.log_prob(in_their_shape).sum(-1))
    assert torch.allclose(q.log_prob_per_dimension(z).sum(-1), q.log_prob(z))
    assert torch.allclose(q.mean, reference.mean.flatten(1))
    assert torch.allclose(q.std, reference.stddev.flatten(1))
    assert torch.allclose(q.entropy(), reference.entropy().sum(-1))
    prior = type("Prior", (), {"distribution": other[0]})
    expected = torch.distributions.kl_divergence(reference, other[1]).sum(-1)
    assert torch.allclose(q.kl(prior).sum(-1), expected)
    assert (q.kl(prior) >= 0).all()


def test_samples_have_the_probabilities(distribution):
    q, _ = distribution
    u = torch.rand(100_000, 2, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    z = q.transform(u)
    error = q.std / math.sqrt(len(z))
    assert ((z.mean(0) - q.mean).abs() < 4.5 * error).all()
    for ends in (0.0, 1.0):
        for dtype in (torch.float32, torch.float64):
            single = q.with_parameters(q.logits.to(dtype))
            value = single.transform(torch.full((1, 2, 6), ends, dtype=dtype))
            assert single.log_prob(value).isfinite().all()
            given = single.perturbed_given(value, torch.full((1, 2, 6), ends, dtype=dtype))
            assert given.isfinite().all()


def test_perturbed_logits_given_a_value_are_the_perturbed_logits_that_make_it(distribution):
    """The value is kept, and over all values both have one distribution."""
    q, _ = distribution
    u, v = torch.rand(2, 20_000, 2, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    perturbed = q.perturbed(u)
    z = q.harden(perturbed)
    given = q.perturbed_given(z, v)
    assert torch.equal(q.harden(given), z)
    again = q.perturbed(torch.rand(u.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64))
    for one, other in zip(given.flatten(1).T, again.flatten(1).T, strict=True):
        assert kstest(one.numpy(), other.numpy()).pvalue > 1e-4
    assert torch.allclose(q.relax(perturbed, 1e-3).round(), z)


@pytest.mark.parametrize("family", [posteriors.Bernoulli(3), posteriors.Categorical(6, 3)])
def test_the_probabilities_of_all_values_add_up(family):
    q = family(torch.randn(2, family.num_outputs, generator=torch.Generator().manual_seed(0)))
    states = family.states()
    assert len(states) == family.num_states == len(states.unique(dim=0))
    assert torch.allclose(q.log_prob(states.unsqueeze(1)).logsumexp(0), torch.zeros(2), atol=1e-6)


@pytest.mark.parametrize("prior", [priors.Bernoulli, partial(priors.Categorical, num_categories=3)])
def test_priors(prior):
    uniform, learned = prior(6), prior(6, learned=True)
    assert not list(uniform.parameters())
    assert [parameter.shape for parameter in learned.parameters()] == [(6,)]
    z = uniform.sample(torch.rand(5000, 1, 6, generator=torch.Generator().manual_seed(0)))
    each = 0.5 if isinstance(uniform, priors.Bernoulli) else 1 / 3
    assert torch.allclose(z.mean(0), torch.tensor(each), atol=4.5 * math.sqrt(each * (1 - each) / 5000))
    assert torch.allclose(uniform.log_prob(z), learned.log_prob(z))


def test_what_meets_no_discrete_latent_variables():
    gaussian, binary, categorical = linear_gaussian_vae(), binary_vae(), categorical_vae()
    for estimator, vae, message in [
        (ARM(), gaussian, "needs binary latent variables, and Gaussian has real ones; use model/posterior"),
        (
            DisARM(),
            categorical,
            "needs binary latent variables, and Categorical has one-hot ones; use",
        ),
        (REBAR(), gaussian, "needs discrete latent variables, and Gaussian has real ones; use model/"),
        (GumbelSoftmax(), gaussian, "needs discrete latent variables"),
        (StraightThrough(), gaussian, "needs discrete latent variables"),
        (Enumeration(), gaussian, "needs discrete latent variables"),
        (
            Enumeration(),
            binary_vae(11),
            "needs at most 1,024 values of z, and model.latent_dim=11 has more; use estimator=rloo",
        ),
        (Reparameterized(), binary, "needs a gradient through .* Bernoulli has none; use estimator=rloo"),
        (ScoreFunction(rao_blackwell=True, kl="sampled"), categorical, "needs a posterior that is a product"),
        (
            ScoreFunction(optimal_scaling=True, num_samples=4),
            categorical,
            "needs a posterior that is a product",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            check_needs(estimator, Offer.of(vae))
    for family, prior, message in [
        (
            posteriors.Bernoulli(2),
            priors.StandardNormal(2),
            "Bernoulli has binary latent variables and Standard",
        ),
        (
            posteriors.Gaussian(2),
            priors.Bernoulli(2),
            "Gaussian has real latent variables and Bernoulli binary ones",
        ),
        (
            posteriors.Categorical(6, 3),
            priors.Categorical(6, 2),
            "num_categories must be the same in model.post",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            family.check(prior)
    for make, message in [
        (partial(posteriors.Categorical, 7, 3), "latent_dim must be a multiple of num_categories=3, got 7"),
        (partial(posteriors.Categorical, 7, 1), "num_categories must be at least 2, got 1"),
        (partial(priors.Categorical, 7, 3), "latent_dim must be a multiple of num_categories=3, got 7"),
        (partial(posteriors.Bernoulli, 0), "latent_dim must be at least 1, got 0"),
        (partial(GumbelSoftmax, temperature=0), "temperature must be above 0, got 0"),
        (partial(REBAR, temperature=0, scale=1), "temperature must be above 0, got 0"),
        (partial(GumbelSoftmax, temperature=-1), "temperature must be above 0, got -1"),
        (partial(GumbelSoftmax, final_temperature=0), "final_temperature must be above 0, got 0"),
        (partial(GumbelSoftmax, annealing=-1), "annealing must not be negative, got -1"),
    ]:
        with pytest.raises(ValueError, match=message):
            make()


def test_the_temperature_falls_in_training_and_is_final_outside():
    annealed, vae = GumbelSoftmax(temperature=2.0, final_temperature=0.5, annealing=100), binary_vae()
    batch = copies_of(one_datum(vae), 3)
    for samples, temperature in ((0, 2.0), (50, 1.0), (100, 0.5), (10_000, 0.5), (None, 0.5)):
        annealed.samples = samples
        assert annealed.temperature_now == pytest.approx(temperature)
        constant = estimate(GumbelSoftmax(temperature=temperature), vae, batch)
        assert torch.allclose(estimate(annealed, vae, batch).bound, constant.bound)
    assert "temperature 2 falling to 0.5 over 100 samples" in str(annealed.objective)


def test_the_exact_log_likelihood_is_the_limit_of_the_importance_weighted_bound():
    vae = binary_vae()
    x = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(0)).round().double()
    assert has_exact_log_likelihood(vae)
    exact = exact_log_likelihood(vae, x)
    z = vae.posterior.states().double().unsqueeze(1).expand(-1, 3, -1)
    assert torch.allclose(exact, vae.log_joint(x, z).exp().sum(0).log())
    everything = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4))).double().reshape(-1, 1, 2, 2)
    assert exact_log_likelihood(vae, everything).exp().sum().item() == pytest.approx(1)
    assert not has_exact_log_likelihood(binary_vae(11))
    q = vae.encode(Batch(x, torch.arange(3)))
    noise = NoiseSource(0).training(
        VIMCO(2000).noise_spec(vae, Batch(x, torch.arange(3))),
        purpose="train",
        step=0,
        batch_size=3,
        dtype=torch.float64,
    )
    w = vae.log_weight(x, q.transform(noise["posterior"]), q).exp()
    error = w.std(0) / math.sqrt(len(w))
    assert ((w.mean(0) - exact.exp()).abs() < 4.5 * error).all()


def test_the_command_line(vae_lab, tmp_path):
    """Trained, exactly evaluated, and probed over the set of its estimators."""
    words = ["model/posterior=bernoulli", "model/prior=bernoulli", "model.latent_dim=4", "logger=none"]
    process = vae_lab("train", "estimator=relax", *words, "trainer.max_samples=2000")
    assert process.returncode == 0, process.stderr
    (run,) = (path.name for path in (tmp_path / "outputs" / "runs").iterdir())
    process = vae_lab("evaluate", f"run={run}", "logger=none", "measures.importance_samples=[5]")
    assert process.returncode == 0, process.stderr
    assert "exact_log_likelihood" in process.stdout
    probe = ["probe.num_replicates=16", "probe.warm_up=2", "probe.batch_size=20"]
    process = vae_lab("gradients", *words, "estimator=disarm", "estimators=discrete", *probe)
    assert process.returncode == 0, process.stderr
    assert "straight_through" in process.stdout


def test_mistakes_on_the_command_line(vae_lab):
    process = vae_lab("train", "model/posterior=bernoulli", "logger=none")
    assert process.returncode == 1
    assert "model.posterior: Bernoulli has binary latent variables and StandardNormal" in process.stderr


def test_references_are_unbiased_whatever_the_noise():
    """Beyond 1,024 values that is leave-one-out, which mirrored samples would bias."""
    vae, few = binary_vae(11), binary_vae()
    batch = copies_of(one_datum(vae), 4)
    leave_one_out = reference(DisARM(), vae)
    assert Needs.INDEPENDENT_SAMPLES in leave_one_out.requires
    probe = Probe(vae, batch, AntitheticNoise(0), num_replicates=4, minibatch=False)
    drawn = probe._draw(leave_one_out, "reference", 0)["posterior"]
    half = len(drawn) // 2
    assert not torch.allclose(drawn[half:], 1 - drawn[:half])
    mirrored = probe._draw(DisARM(num_samples=2), "probe", 0)["posterior"]
    assert torch.allclose(mirrored[1], 1 - mirrored[0])
    for estimator in (OVIS(1, num_auxiliary=2), ReweightedWakeSleep(1)):
        assert isinstance(reference(estimator, few), Enumeration)
    rows = Probe(few, copies_of(one_datum(few), 4), AntitheticNoise(0), num_replicates=16).measure(
        {"score": ScoreFunction(num_samples=2)}
    )
    assert all(row.status == "ok" for row in rows)


def test_nothing_is_computed_for_a_gradient_that_nobody_asks_for():
    vae = binary_vae()
    estimator, batch = made(relax, vae), copies_of(one_datum(vae), 3)
    with torch.no_grad():
        found = estimate(estimator, vae, batch)
    assert torch.equal(found.surrogate, found.bound)
    assert torch.equal(found.bound, estimate(estimator, vae, batch).bound)


def test_the_optimal_coefficient_where_the_scores_of_the_others_vanish_is_what_it_tends_to():
    """A sample against a saturated logit, in single precision: the others' mean signal, as just before."""
    signal = torch.tensor([5.0, 1.0, 3.0]).view(3, 1, 1)
    z = torch.tensor([0.0, 1.0, 1.0]).view(3, 1, 1)
    gradients = []
    for logit in (12.0, 200.0):
        logits = torch.full((1, 1), logit, requires_grad=True)
        control = scaled_score(signal, posteriors.Bernoulli(1)(logits), z)
        gradients.append(torch.autograd.grad(control[0].sum(), logits)[0].item())
    assert gradients == pytest.approx([-2.0, -2.0], rel=1e-4)


def test_a_category_of_probability_zero_adds_nothing():
    distribution, uniform = (
        CategoricalDistribution(torch.tensor([logits]), 3) for logits in ([-torch.inf, 0, 0], [0.0, 0, 0])
    )
    assert distribution.entropy().item() == pytest.approx(math.log(2))
    assert (distribution.mean * (distribution.log_probs - uniform.log_probs)).sum().item() == pytest.approx(
        math.log(1.5)
    )
