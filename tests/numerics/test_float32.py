"""Every member of every family in single precision, against double precision on the same noise, at extremes.

Single precision may be off by what double precision makes of inputs that are moved by a few of its roundings,
and by the tolerance that each test states.
"""

import itertools
import math
from functools import partial

import pytest
import test_discrete
import test_estimators
import torch
from torch.func import functional_call

from vae_lab import estimators
from vae_lab.checks.cases import binary_vae, categorical_vae, nonlinear_vae
from vae_lab.estimators import baselines
from vae_lab.models import likelihoods, posteriors, priors
from vae_lab.models.networks import MLP
from vae_lab.models.vae import Batch
from vae_lab.noise import NoiseSource

ROUNDING = 2.0**-23
LATENT_DIM = 2
tanh = partial(MLP, hidden=[4], activation="tanh")
layers = {"latent_dim": LATENT_DIM, "layer_dims": [1, 1], "network": tanh}

POSTERIORS = {
    "gaussian": posteriors.Gaussian,
    "gaussian_log_std": partial(posteriors.Gaussian, scale="log_std"),
    "fixed_gaussian": partial(posteriors.FixedGaussian, std=0.01),
    "isotropic_gaussian": posteriors.IsotropicGaussian,
    "full_gaussian": posteriors.FullGaussian,
    "laplace": posteriors.Laplace,
    "logistic": posteriors.Logistic,
    "student_t": posteriors.StudentT,
    "student_t-heavy": partial(posteriors.StudentT, df=0.5),
    "student_t-light": partial(posteriors.StudentT, df=1e6),
    "cauchy": posteriors.Cauchy,
    "exponential": posteriors.Exponential,
    "weibull": posteriors.Weibull,
    "gamma": posteriors.Gamma,
    "bernoulli": posteriors.Bernoulli,
    "categorical": partial(posteriors.Categorical, num_categories=2),
    "flow": partial(posteriors.Flow, num_transforms=2, hidden=[8], context=4),
    "flow-spline": partial(posteriors.Flow, kind="spline", num_transforms=1, hidden=[8], context=4),
    "hierarchical": lambda latent_dim: posteriors.Hierarchical(**layers),
}
PRIORS = {
    "standard_normal": priors.StandardNormal,
    "standard_cauchy": priors.StandardCauchy,
    "standard_exponential": priors.StandardExponential,
    "bernoulli": partial(priors.Bernoulli, learned=True),
    "categorical": partial(priors.Categorical, num_categories=2, learned=True),
    "gaussian_mixture": partial(priors.GaussianMixture, num_components=3),
    "flow": partial(priors.Flow, num_transforms=1, hidden=[8]),
    "flow-splines": partial(priors.Flow, kind="nsf", num_transforms=1, hidden=[8]),
    "hierarchical": lambda latent_dim: priors.Hierarchical(**layers),
    "vamp": lambda latent_dim: vamp_prior(),
}
LIKELIHOODS = {
    "bernoulli": likelihoods.Bernoulli,
    "continuous_bernoulli": likelihoods.ContinuousBernoulli,
    "beta": likelihoods.Beta,
    "categorical": partial(likelihoods.Categorical, levels=3),
    "discretized_logistic": partial(likelihoods.DiscretizedLogistic, levels=256),
    "fixed_gaussian": partial(likelihoods.FixedGaussian, std=1e-3),
    "scalar_gaussian": partial(likelihoods.ScalarGaussian, initial_std=1e-3),
    "gaussian": likelihoods.Gaussian,
    "logistic_regression": partial(likelihoods.LogisticRegression, data_shape=(4, 3)),
    "cost": partial(likelihoods.Cost, latent_dim=2, function="quadratic", k=3.0),
    "cost-bell": partial(likelihoods.Cost, latent_dim=2, function="bell", k=3.0),
}
OUTPUTS = {  # of an encoder, at extremes
    "mean": [-1e3, -1.0, 0.0, 20.0],
    "location": [-1e3, -1.0, 0.0, 20.0],
    "log_variance": [-20.0, -2.0, 0.0, 10.0, 30.0],
    "log_std": [-10.0, 0.0, 10.0],
    "log_scale": [-10.0, 0.0, 10.0],
    "log_diagonal": [-10.0, 0.0, 5.0],
    "below": [-3.0, 0.0, 3.0],
    "log_concentration": [math.log(a) for a in (0.01, 0.02, 0.1, 1.0, 100.0, 1e4)],
    "logits": [-200.0, -30.0, -1.0, 0.0, 30.0, 200.0],
    "context": [-10.0, 0.0, 10.0],
}


def vamp_prior():
    prior = priors.VampPrior(LATENT_DIM, (1, 2, 2), num_components=3)
    prior.encoder = tanh(in_shape=(1, 2, 2), out_shape=(4,))
    prior.connect(prior.encoder, posteriors.Gaussian(LATENT_DIM))
    return prior


def evaluated(function, inputs):
    """A function's value and the gradient of its sum by each input."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    value = function(*leaves)
    found = torch.autograd.grad(value.sum(), leaves, allow_unused=True) if value.requires_grad else [None]
    return [value.detach().double(), *(part.double() for part in found if part is not None)]


def check(function, inputs, rtol=1e-4, atol=1e-4, roundings=8, of_tensor=0.0):
    """Single precision is within the tolerance of double precision, values and gradients."""
    single = evaluated(function, inputs)
    double = evaluated(function, [x.double() for x in inputs])
    generator = torch.Generator().manual_seed(0)
    moved = [[x * (1 + ROUNDING * torch.randn(x.shape, generator=generator).sign()) for x in inputs]]
    moved += [[x.double() * (1 + sign * ROUNDING) for x in inputs] for sign in (-1, 1)]
    moved = [evaluated(function, [x.double() for x in each]) for each in moved]
    for place, (own, exact) in enumerate(zip(single, double, strict=True)):
        allowed = roundings * torch.stack([(each[place] - exact).abs() for each in moved]).amax(0)
        allowed = allowed + rtol * exact.abs() + atol + of_tensor * exact.abs().max()
        assert own.isfinite().all(), (place, own)
        worst = ((own - exact).abs() / allowed).argmax()
        assert ((own - exact).abs() <= allowed).all(), (
            place, own.flatten()[worst].item(), exact.flatten()[worst].item(), allowed.flatten()[worst].item()
        )  # fmt: skip


def outputs_of(family):
    """Encoder outputs `(B, P)` with every combination of extremes."""
    rows = torch.tensor(list(itertools.product(*(OUTPUTS[name] for name in family.outputs))))
    parts = [
        column.unsqueeze(-1) * (1 - 0.3 * torch.arange(size))
        for column, size in zip(rows.unbind(-1), family.outputs.values(), strict=True)
    ]
    outputs = torch.cat(parts, dim=-1)
    if isinstance(family, posteriors.Hierarchical):  # whose gradients are summed over data
        outputs = outputs[((outputs <= 5) & (outputs >= -2)).all(-1)]
    return outputs


def noise_of(family, batch):
    if family.base_distribution == "normal":
        levels = torch.tensor([-4.0, -0.5, 0.0, 2.0])
    else:
        levels = torch.tensor([1e-12, 1e-4, 0.3, 0.5, 0.99, 1 - 2.0**-24])
    pairs = torch.stack([levels, levels.flip(0)], dim=-1)
    return pairs.unsqueeze(1).expand(-1, batch, -1)


def with_parameters(module, function, inputs):
    """A function of a module and inputs as one of the module's parameters too."""
    names = list(dict(module.named_parameters()))
    values = [value.detach() for value in module.parameters()]

    def of_state(*own):
        state = dict(zip(names, own[: len(names)], strict=True))
        return functional_call(
            _Called(module, function),
            {f"module.{key}": value for key, value in state.items()},
            own[len(names) :],
        )

    return of_state, [*values, *inputs]


class _Called(torch.nn.Module):
    def __init__(self, module, function):
        super().__init__()
        self.module, self.function = module, function

    def forward(self, *inputs):
        return self.function(self.module, *inputs)


@pytest.mark.parametrize("name", POSTERIORS)
def test_posteriors(name):
    torch.manual_seed(0)
    family = POSTERIORS[name](LATENT_DIM)
    outputs = outputs_of(family)
    eps = noise_of(family, len(outputs))
    function, inputs = with_parameters(family, lambda q, own: q(own).transform(eps.to(own)), [outputs])
    if family.is_reparameterized:
        check(function, inputs)
    z = family(outputs).transform(eps).detach()
    function, inputs = with_parameters(family, lambda q, own, z: q(own).log_prob(z), [outputs, z])
    if family.support == "positive":  # gradients of densities by z are as large as 1 / z
        function, inputs = (lambda own, log_z: family(own).log_prob(log_z.exp())), [outputs, z.log()]
    check(function, inputs)


def prior_of(family):
    """A prior with a closed KL where there is one."""
    for make in (priors.StandardNormal, priors.StandardCauchy, priors.StandardExponential):
        prior = make(LATENT_DIM)
        if prior.support == family.support and not (
            getattr(family, "second_moment", 0.0) == math.inf and make is priors.StandardNormal
        ):
            return prior
    if family.support == "binary":
        return priors.Bernoulli(LATENT_DIM)
    return priors.Categorical(LATENT_DIM, num_categories=2)


def is_near(q):
    """Whether the location is at most 1e4 scales from the origin, for each datum."""
    q = getattr(q, "first", q)
    log_scale = getattr(q, "log_scale", getattr(q, "log_diagonal", None))
    return slice(None) if log_scale is None else (q.mean.abs() <= 1e4 * log_scale.exp()).all(-1)


@pytest.mark.parametrize("name", POSTERIORS)
def test_kl_terms(name):
    """The sampled one where the location is at most 1e4 scales: farther off, samples are rounded too much."""
    torch.manual_seed(0)
    family = POSTERIORS[name](LATENT_DIM)
    outputs, prior = outputs_of(family), prior_of(family)
    if family.has_analytic_kl(prior):
        check(lambda own: family(own).kl(prior), [outputs])
    if family.has_entropy:
        check(lambda own: family(own).entropy(), [outputs])
    eps = noise_of(family, len(outputs))

    def sampled(q, own):
        own_q = q(own)
        z = own_q.transform(eps.to(own))
        return own_q.log_prob(z) - prior.log_prob(z)

    near = is_near(family(outputs)) if "context" not in family.outputs else slice(None)
    eps = eps[:, near]
    function, inputs = with_parameters(family, sampled, [outputs[near]])
    check(function, inputs, rtol=1e-3, atol=5e-3)


POINTS = {
    "real": [-1e4, -30.0, -1e-20, 0.0, 1e-3, 2.0, 1e4],
    "positive": [1e-300, 1e-20, 0.5, 30.0, 1e4],
    "binary": [0.0, 1.0],
}


@pytest.mark.parametrize("name", PRIORS)
def test_priors(name):
    torch.manual_seed(0)
    prior = PRIORS[name](LATENT_DIM)
    if prior.support == "one-hot":
        z = torch.eye(2).unsqueeze(0)
    else:
        double = torch.float64 if prior.support == "positive" else torch.float32
        z = torch.cartesian_prod(*[torch.tensor(POINTS[prior.support], dtype=double)] * 2).unsqueeze(0)
    if isinstance(prior, priors.Flow):  # three of them in a row cube such numbers
        z = z[(z.abs() <= 30).all(-1)].unsqueeze(0)
    spec = prior.noise_spec(1)
    levels = [-4.0, 0.0, 2.0] if spec.distribution == "normal" else [1e-12, 0.3, 1 - 2.0**-24]
    eps = torch.cartesian_prod(*[torch.tensor(levels)] * spec.event_shape[0])
    for extreme in (1.0, 3.0):
        with torch.no_grad():
            for parameter in prior.parameters():
                parameter.mul_(extreme)
        function, inputs = with_parameters(prior, lambda p, z: p.log_prob(z), [z])
        check(function, inputs, rtol=1e-3, of_tensor=1e-5)
        function, inputs = with_parameters(prior, lambda p, eps: p.sample(eps.unsqueeze(0)), [eps])
        check(function, inputs, of_tensor=1e-5)


PIXEL = {  # outputs of a decoder and values of a pixel
    "bernoulli": ([-1e4, -200.0, -20.0, -1e-3, 0.0, 3.0, 17.0, 100.0], [0.0, 1.0, 0.4]),
    "continuous_bernoulli": (
        [-1e4, -100.0, -1.0, -0.02, -0.0101, -0.0099, -1e-6, 0.0, 1e-3, 0.05, 0.3, 2.0, 17.0, 300.0],
        [0.0, 1.0, 0.4, 0.999],
    ),
    "beta": ([-30.0, -5.0, 0.0, 10.0, 1e3, 1e4], [2.0**-24, 1e-3, 0.5, 1 - 2.0**-10, 1 - 2.0**-24]),
    "categorical": ([-1e4, -30.0, 0.0, 200.0], [0.0, 0.5, 1.0]),
    "discretized_logistic": ([-5.0, 0.0, 3.0, 20.0, 85.0], [0.0, 1.0, 100 / 255]),
    "fixed_gaussian": ([-1e3, 0.0, 0.5, 1.0], [0.0, 1.0, 0.4]),
    "scalar_gaussian": ([-1e3, 0.0, 0.5, 1.0], [0.0, 1.0, 0.4]),
    "gaussian": ([-20.0, -10.0, 0.0, 1.0, 10.0], [0.0, 1.0, 0.4]),
}


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihoods(name):
    likelihood = LIKELIHOODS[name]()
    if name in PIXEL:
        levels, values = PIXEL[name]
        rows = torch.cartesian_prod(*[torch.tensor(levels)] * likelihood.num_outputs)
        outputs = rows.reshape(len(rows), 1, likelihood.num_outputs, 1, 1)
        x = torch.tensor(values).reshape(-1, 1, 1, 1)
        outputs = outputs.expand(-1, len(x), -1, -1, -1)
    elif name.startswith("cost"):
        outputs = torch.cartesian_prod(*[torch.tensor([-30.0, -1.0, 0.0, 3.0, 300.0])] * 2).unsqueeze(0)
        x = torch.zeros(outputs.shape[1], 1)
    else:
        outputs = torch.cartesian_prod(*[torch.tensor([-1e3, -1.0, 0.0, 20.0])] * 2).unsqueeze(1)
        x = torch.tensor([[[1.0, 1.0, 1.0], [1.0, -1.0, 0.0], [0.0, 30.0, 1.0], [-2.0, 0.1, 0.0]]])
    function, inputs = with_parameters(likelihood, lambda p, own: p(own).log_prob(x.to(own)), [outputs])
    check(function, inputs)


def gumbel_softmax_near_zero():
    return estimators.GumbelSoftmax(temperature=1e-3)


CONTINUOUS = (
    test_estimators.UNBIASED
    | test_estimators.BIASED
    | {
        "optimal_scaling-k2": partial(estimators.ScoreFunction, num_samples=2, optimal_scaling=True),
        "piwae-k4": partial(estimators.PIWAE, num_samples=4, num_groups=2),
        "free_bits": partial(estimators.Reparameterized, free_bits=2.0),
        "autoencoder": estimators.Autoencoder,
        "full_variational_bayes": estimators.FullVariationalBayes,
    }
)
DISCRETE = (
    test_discrete.UNBIASED
    | test_discrete.BIASED
    | {
        "optimal_scaling-k2": partial(estimators.ScoreFunction, num_samples=2, optimal_scaling=True),
        "vimco": estimators.VIMCO,
        "ovis": estimators.OVIS,
        "reweighted_wake_sleep": estimators.ReweightedWakeSleep,
        "gumbel_softmax-cold": gumbel_softmax_near_zero,
        "rebar-cold": partial(estimators.REBAR, temperature=1e-3),
    }
)
ELSEWHERE = {"MaximumLikelihood", "MonteCarloEM"}  # without samples of q


def moved(vae, extreme):
    """The model at an extreme."""
    bias = vae.encoder.layers[-1].bias
    with torch.no_grad():
        if extreme == "dominating":
            for parameter in vae.decoder.parameters():
                parameter.mul_(100)  # hundreds of nats between the samples of a datum
        if extreme == "narrow":
            bias[LATENT_DIM:] -= 12
        if extreme == "wide":
            bias[LATENT_DIM:] += 5
        if extreme == "far":
            bias[:LATENT_DIM] += 30
        if extreme == "saturated":
            bias += 40 * (torch.arange(len(bias)) % 2) - 20
    return vae


def of_estimator(make, vae, equal):
    """The compared values and their parameters: the surrogate and its gradient for one batch and noise."""
    estimator = test_estimators.made(make, vae)
    module = torch.nn.ModuleDict({"vae": vae, "estimator": estimator})
    x = torch.tensor([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.3, 1.0]]).reshape(2, 1, 2, 2)
    batch = Batch(x.double(), torch.arange(2))
    noise = NoiseSource(7).training(estimator.noise_spec(vae, batch), purpose="test", step=0, batch_size=2)
    if equal:
        noise = {name: eps[:1].expand_as(eps).clone() for name, eps in noise.items()}

    def surrogate(module, *own):
        like = next(module.parameters())
        same = Batch(batch.x.to(like), batch.indices)
        eps = {name: part.to(like) for name, part in noise.items()}
        return module["estimator"](module["vae"], same, eps).surrogate

    return with_parameters(module.float(), surrogate, [])


def check_estimator(make, vae, equal=False):
    function, inputs = of_estimator(make, vae, equal)
    check(function, inputs, rtol=1e-3, atol=1e-3, of_tensor=1e-3)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_estimators_of_continuous_latent_variables(name):
    for extreme in ("equal", "dominating", "narrow", "wide", "far"):
        try:
            check_estimator(CONTINUOUS[name], moved(nonlinear_vae(), extreme), extreme == "equal")
        except AssertionError as error:
            raise AssertionError(f"{extreme}: {error}") from error


@pytest.mark.parametrize("name", DISCRETE)
def test_estimators_of_discrete_latent_variables(name):
    for model in (binary_vae, categorical_vae):
        if model is categorical_vae and name.startswith(test_discrete.OF_BINARY):
            continue
        for extreme in ("equal", "dominating", "saturated"):
            try:
                check_estimator(DISCRETE[name], moved(model(), extreme), extreme == "equal")
            except AssertionError as error:
                raise AssertionError(f"{model.__name__}, {extreme}: {error}") from error


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_encoder_of_piwae_ascends_its_groups_however_far_apart_they_are(dtype):
    found = []
    for make, own in (
        (partial(estimators.PIWAE, num_samples=4, num_groups=2), dtype),
        (partial(estimators.IWAE, num_samples=4, num_groups=2), torch.float64),
    ):
        vae = moved(nonlinear_vae(), "dominating")
        function, inputs = of_estimator(make, vae, equal=False)
        of_parameters = evaluated(function, [x.to(own) for x in inputs])[1:]
        names = [name for name, _ in vae.named_parameters()]
        found.append(
            [part for name, part in zip(names, of_parameters, strict=True) if name.startswith("encoder")]
        )
    for own, exact in zip(*found, strict=True):
        assert torch.allclose(own, exact, rtol=1e-4, atol=1e-4 * exact.abs().max().item())


@pytest.mark.parametrize(
    ("listed", "package", "elsewhere"),
    [
        (POSTERIORS, posteriors, set()),
        (PRIORS, priors, set()),
        (LIKELIHOODS, likelihoods, set()),
        (CONTINUOUS | DISCRETE, estimators, ELSEWHERE),
    ],
    ids=["posteriors", "priors", "likelihoods", "estimators"],
)
def test_no_member_is_missing_from_the_lists(listed, package, elsewhere):
    made = {type(each).__name__ for each in map(one_of, listed.values())}
    assert made | elsewhere == set(package.__all__)


def test_no_baseline_is_missing_from_the_lists():
    scores = [one_of(make) for make in (CONTINUOUS | DISCRETE).values()]
    parts = [part for each in scores for part in getattr(each, "parts", {}).values()]
    assert {type(part).__name__ for part in parts} == set(baselines.__all__)


def one_of(make):
    for arguments in ({}, {"latent_dim": LATENT_DIM}):
        try:
            return make(**arguments)
        except TypeError:
            continue
    raise AssertionError(make)


def test_the_tails_of_the_cauchy_distribution_whose_squares_are_too_large():
    z = torch.tensor([-1e30, 1e25], requires_grad=True)
    for log_density in (
        priors.StandardCauchy(2).log_prob_per_dimension(z),
        posteriors.Cauchy(2).log_density(z),
    ):
        gradient = torch.autograd.grad(log_density.sum(), z)[0]
        assert log_density.tolist() == pytest.approx([-139.2998, -116.2740], rel=1e-6)
        assert gradient.tolist() == pytest.approx([2e-30, -2e-25], rel=1e-6)
