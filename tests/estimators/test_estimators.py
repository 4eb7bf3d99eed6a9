import math
from functools import partial

import pytest
import torch

from vae_lab.checks.cases import (
    copies_of,
    exact_elbo,
    gaussian_batch,
    hierarchical_vae,
    linear_gaussian_vae,
    nonlinear_vae,
    one_datum,
)
from vae_lab.checks.mean_gradient import block_means, estimate, gradient, is_biased
from vae_lab.estimators import (
    CIWAE,
    IWAE,
    LAX,
    MIWAE,
    OVIS,
    PIWAE,
    STLIWAE,
    VIMCO,
    Autoencoder,
    DeltaMethod,
    DReG,
    MeasureValued,
    Reparameterized,
    ReweightedWakeSleep,
    ScoreFunction,
    StickingTheLanding,
    Taylor,
    WakeSleep,
)
from vae_lab.estimators.base import Needs
from vae_lab.estimators.baselines import BatchMean, LeaveOneOut, Network, RunningMean, VarianceNormalization
from vae_lab.models import posteriors
from vae_lab.models.distributions.prior import Prior
from vae_lab.models.networks import MLP
from vae_lab.models.posteriors import Gaussian
from vae_lab.models.vae import Batch
from vae_lab.noise import AntitheticNoise, NoiseSource
from vae_lab.noise.sobol import SobolNoise
from vae_lab.probe.reference import reference
from vae_lab.training.compatibility import check_needs
from vae_lab.training.offer import Offer


def rloo(**arguments):
    return ScoreFunction({"leave_one_out": LeaveOneOut()}, num_samples=4, **arguments)


def nvil(**arguments):
    parts = {"running_mean": RunningMean(), "network": Network(partial(MLP, hidden=[3]))}
    return ScoreFunction(parts, **arguments)


def lax(**arguments):
    return LAX(partial(MLP, hidden=[3], activation="tanh"), **arguments)


def running_mean(**arguments):
    estimator = ScoreFunction({"running_mean": RunningMean()}, **arguments)
    estimator.update({"running_mean.mean": torch.tensor(-3.0)})
    return estimator


def batch_mean(**arguments):
    return ScoreFunction({"batch_mean": BatchMean()}, **arguments)


KLS = ["analytic", "sampled", "entropy"]
SINGLE_SAMPLE = {
    f"{name}-{kl}": partial(make, kl=kl)
    for kl in KLS
    for name, make in {
        "reparameterized": Reparameterized,
        "reparameterized-k3-beta": partial(Reparameterized, num_samples=3, beta=2.5),
        "score_function": ScoreFunction,
        "running_mean": running_mean,
        "rloo": rloo,
        "rloo-beta": partial(rloo, beta=0.5),
        "nvil": nvil,
        "optimal_scaling": partial(ScoreFunction, num_samples=4, optimal_scaling=True),
        "measure_valued": MeasureValued,
        "delta_method": DeltaMethod,
        "taylor": Taylor,
        "lax": lax,
    }.items()
} | {
    "sticking_the_landing": StickingTheLanding,
    "sticking_the_landing-k3-beta": partial(StickingTheLanding, num_samples=3, beta=2.5),
    "rao_blackwell-sampled": partial(ScoreFunction, rao_blackwell=True, kl="sampled"),
    "rao_blackwell-entropy": partial(ScoreFunction, rao_blackwell=True, kl="entropy"),
    "rao_blackwell-rloo": partial(rloo, rao_blackwell=True, kl="sampled", beta=2.0),
    "rao_blackwell-nvil-optimal": partial(
        nvil, rao_blackwell=True, optimal_scaling=True, num_samples=4, kl="entropy"
    ),
    "batch_mean": partial(batch_mean, kl="sampled"),
    "measure_valued-k3-beta": partial(MeasureValued, num_samples=3, kl="sampled", beta=2.5),
    "delta_method-k3-beta": partial(DeltaMethod, num_samples=3, kl="sampled", beta=2.5),
    "delta_method-scaled": partial(DeltaMethod, num_samples=4, kl="sampled", optimal_scaling=True),
    "taylor-k3-beta": partial(Taylor, num_samples=3, kl="sampled", beta=2.5),
    "lax-k3-beta": partial(lax, num_samples=3, kl="sampled", beta=2.5),
}
MULTI_SAMPLE = {
    f"{name}-k{samples}": partial(make, num_samples=samples)
    for samples in (2, 5)
    for name, make in {
        "iwae": IWAE,
        "miwae": MIWAE,
        "dreg": DReG,
        "vimco": VIMCO,
        "vimco-arithmetic": partial(VIMCO, mean="arithmetic"),
        "ovis": OVIS,
        "ovis-auxiliary": partial(OVIS, num_auxiliary=2),
    }.items()
} | {
    "ovis-gamma": partial(OVIS, num_samples=5, gamma=0.3),
    "ovis-k1-auxiliary": partial(OVIS, num_samples=1, num_auxiliary=3),
    "iwae-groups": partial(IWAE, num_samples=6, num_groups=3),
    "stl_iwae-k1": partial(STLIWAE, num_samples=1),
    "ciwae": partial(CIWAE, num_samples=5, beta=0.3),
    "ciwae-beta0": partial(CIWAE, num_samples=5, beta=0.0),
    "ciwae-beta1": partial(CIWAE, num_samples=3, beta=1.0),
    "piwae-one-group": partial(PIWAE, num_samples=5, num_groups=1),
}
UNBIASED = SINGLE_SAMPLE | MULTI_SAMPLE
BIASED = {
    "stl_iwae-k5": STLIWAE,
    "wake_sleep": WakeSleep,
    "reweighted_wake_sleep": ReweightedWakeSleep,
    "piwae": partial(PIWAE, num_samples=6, num_groups=3),
    "variance_normalization": lambda: normalised_variance(),
}
MODELS = {"linear": linear_gaussian_vae, "nonlinear": nonlinear_vae, "hierarchical": hierarchical_vae}
OF_A_HIERARCHY = [
    "reparameterized-sampled",
    "sticking_the_landing",
    "rloo-sampled",
    "nvil-sampled",
    "iwae-k5",
    "dreg-k5",
    "vimco-k5",
    "ovis-k5",
]


def normalised_variance():
    estimator = ScoreFunction({"variance_normalization": VarianceNormalization()}, kl="sampled")
    estimator.update(
        {
            "variance_normalization.mean": torch.tensor(0.0),
            "variance_normalization.mean_square": torch.tensor(4.0),
        }
    )
    return estimator


def made(make, vae):
    torch.manual_seed(3)
    estimator = make()
    estimator.prepare(vae, tuple(one_datum(vae).x.shape[1:]), dataset_size=1)
    check_needs(estimator, Offer.of(vae))
    return estimator.double()


@pytest.fixture(scope="module")
def large_samples():
    """Mean gradients of the targets over twenty times as many estimates, by model and target."""
    found = {}

    def sampled(model, estimator):
        key = (model, estimator.target)
        if key not in found:
            vae = MODELS[model]()
            found[key] = block_means(reference(estimator, vae), vae, NoiseSource(99), copies=40_000)
        return found[key]

    return sampled


@pytest.mark.parametrize("name", SINGLE_SAMPLE)
def test_the_mean_gradient_is_that_of_the_exact_bound(name):
    vae = linear_gaussian_vae()
    estimator = made(SINGLE_SAMPLE[name], vae)
    exact = gradient(vae, exact_elbo(vae, one_datum(vae), estimator.beta))
    means = block_means(estimator, vae, NoiseSource(0))
    assert not is_biased(means, exact.expand(2, -1))


@pytest.mark.parametrize("model", ["linear", "nonlinear"])
@pytest.mark.parametrize("name", UNBIASED)
def test_the_mean_gradient_is_that_of_a_large_sample_of_its_target(name, model, large_samples):
    vae = MODELS[model]()
    estimator = made(UNBIASED[name], vae)
    assert estimator.bias is None
    assert not is_biased(block_means(estimator, vae, NoiseSource(0)), large_samples(model, estimator))


@pytest.mark.parametrize("name", OF_A_HIERARCHY)
def test_the_mean_gradient_with_two_layers_of_latent_variables(name, large_samples):
    """Those of the bound of both layers together, q(z_2|z_1) having parameters of its own."""
    vae = hierarchical_vae()
    estimator = made(UNBIASED[name], vae)
    assert not is_biased(
        block_means(estimator, vae, NoiseSource(0)), large_samples("hierarchical", estimator)
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Reparameterized, "there is none from Hierarchical to Hierarchical; use estimator.kl=sampled"),
        (
            partial(ScoreFunction, kl="entropy"),
            "for kl=entropy, and Hierarchical has none; use estimator.kl=sampled",
        ),
        (partial(ScoreFunction, kl="sampled", rao_blackwell=True), "needs a posterior that is a product"),
        (
            partial(ScoreFunction, num_samples=4, kl="sampled", optimal_scaling=True),
            "needs a posterior that is a product",
        ),
    ],
)
def test_what_cannot_serve_a_hierarchy(make, message):
    with pytest.raises(ValueError, match=message):
        made(make, hierarchical_vae())


@pytest.mark.parametrize("model", ["linear", "nonlinear"])
@pytest.mark.parametrize("name", BIASED)
def test_biased_estimators_say_so_and_fail_the_test_of_bias(name, model, large_samples):
    vae = MODELS[model]()
    estimator = made(BIASED[name], vae)
    assert estimator.bias
    assert is_biased(block_means(estimator, vae, NoiseSource(0)), large_samples(model, estimator))


@pytest.mark.parametrize("model", ["linear", "nonlinear"])
@pytest.mark.parametrize("estimator", [IWAE(2), rloo(kl="sampled")], ids=["iwae", "rloo"])
def test_antithetic_pairs_bias_what_compares_samples(estimator, model, large_samples):
    assert Needs.INDEPENDENT_SAMPLES in estimator.requires
    means = block_means(estimator, MODELS[model](), AntitheticNoise(0))
    assert is_biased(means, large_samples(model, estimator))


def by_part(vae, means):
    """The columns of mean gradients that are the encoder's, and those that are the model's."""
    encoders = sum(parameter.numel() for parameter in vae.encoder.parameters())
    return means[:, :encoders], means[:, encoders:]


@pytest.mark.parametrize("model", ["linear", "nonlinear"])
def test_piwae_ascends_each_of_its_two_bounds(model, large_samples):
    vae = MODELS[model]()
    means = by_part(vae, block_means(PIWAE(6, num_groups=3), vae, NoiseSource(0)))
    encoder, _ = by_part(vae, large_samples(model, IWAE(2)))
    other, generative = by_part(vae, large_samples(model, IWAE(6)))
    assert not is_biased(means[0], encoder)
    assert not is_biased(means[1], generative)
    assert is_biased(means[0], other)


def test_reweighted_wake_sleep_learns_the_model_by_the_bound(large_samples):
    vae = MODELS["nonlinear"]()
    _, means = by_part(vae, block_means(ReweightedWakeSleep(5), vae, NoiseSource(0)))
    _, generative = by_part(vae, large_samples("nonlinear", IWAE(5)))
    assert not is_biased(means, generative)


def test_ciwae_ascends_the_combination_of_two_bounds(large_samples):
    vae = MODELS["nonlinear"]()
    means = block_means(CIWAE(5, beta=0.3), vae, NoiseSource(0))
    parts = [large_samples("nonlinear", estimator) for estimator in (Reparameterized(kl="sampled"), IWAE(5))]
    assert not is_biased(means, 0.3 * parts[0] + 0.7 * parts[1])
    assert is_biased(means, parts[1])


def test_reweighted_wake_sleep_of_one_sample_has_the_mean_of_a_score():
    vae = linear_gaussian_vae()
    means, _ = by_part(vae, block_means(ReweightedWakeSleep(1), vae, NoiseSource(0)))
    assert not is_biased(means, torch.zeros_like(means))


@pytest.mark.parametrize("source", [AntitheticNoise, SobolNoise])
@pytest.mark.parametrize(
    "make", [Reparameterized, StickingTheLanding, ScoreFunction, MeasureValued, DeltaMethod, Taylor, lax]
)
def test_dependent_samples_keep_the_others_unbiased(make, source, large_samples):
    vae = nonlinear_vae()
    estimator = made(partial(make, num_samples=2, kl="sampled"), vae)
    assert Needs.INDEPENDENT_SAMPLES not in estimator.requires
    assert not is_biased(block_means(estimator, vae, source(0)), large_samples("nonlinear", estimator))


@pytest.mark.parametrize("name", SINGLE_SAMPLE)
def test_the_mean_bound_is_the_exact_bound(name):
    vae = linear_gaussian_vae()
    estimator = made(SINGLE_SAMPLE[name], vae)
    bound = estimate(estimator, vae, copies_of(one_datum(vae), 100_000)).bound
    standard_error = bound.std() / math.sqrt(len(bound))
    assert abs(bound.mean() - exact_elbo(vae, one_datum(vae), estimator.beta).item()) < 4 * standard_error


@pytest.mark.parametrize("name", UNBIASED)
def test_terms_are_consistent(name):
    vae, batch = linear_gaussian_vae(), gaussian_batch()
    estimator = made(UNBIASED[name], vae)
    result = estimate(estimator, vae, batch)
    terms = result.terms
    assert torch.allclose(terms["elbo"], terms["reconstruction"] - terms["kl"])
    if estimator.selection == "elbo":
        assert torch.allclose(result.bound, terms["reconstruction"] - estimator.beta * terms["kl"])
    else:
        assert torch.equal(result.bound, terms["importance_weighted_bound"])
        assert (result.bound >= terms["elbo"] - 1e-12).all()
    assert result.surrogate.shape == result.bound.shape == (len(batch.x),)
    assert not any(term.requires_grad for term in [result.bound, *terms.values()])


@pytest.mark.parametrize("name", UNBIASED)
def test_the_objective_per_datum_does_not_depend_on_the_batch(name):
    vae, batch = linear_gaussian_vae(), gaussian_batch(size=6)
    estimator = made(UNBIASED[name], vae)
    noise = NoiseSource(0).training(
        estimator.noise_spec(vae, batch), purpose="train", step=0, batch_size=6, dtype=torch.float64
    )
    together = estimator(vae, batch, noise)
    part = Batch(batch.x[:2], batch.indices[:2])
    apart = estimator(vae, part, {key: value[:, :2] for key, value in noise.items()})
    assert torch.allclose(together.bound[:2], apart.bound)
    assert torch.allclose(together.surrogate[:2], apart.surrogate) != (
        Needs.WHOLE_BATCH in estimator.requires
    )


@pytest.mark.parametrize("latent_dim", [2, 200])
def test_beta_weighs_the_kl_summed_over_latent_dimensions(latent_dim):
    vae, batch = linear_gaussian_vae(latent_dim=latent_dim), gaussian_batch()
    bounds = [estimate(Reparameterized(beta=beta), vae, batch).bound for beta in (0.0, 1.0, 3.0)]
    kl = vae.encode(batch).kl(vae.prior).sum(-1)
    assert torch.allclose(bounds[0] - bounds[1], kl)
    assert torch.allclose(bounds[1] - bounds[2], 2 * kl)


def test_all_multi_sample_estimators_stand_for_one_bound():
    vae, batch = nonlinear_vae(), copies_of(one_datum(nonlinear_vae()), 4)
    bounds = [estimate(make(), vae, batch).bound for make in (IWAE, DReG, VIMCO, OVIS, STLIWAE)]
    assert all(torch.allclose(bound, bounds[0]) for bound in bounds)


def test_as_many_groups_as_samples_are_the_evidence_lower_bound():
    vae, batch = nonlinear_vae(), copies_of(one_datum(nonlinear_vae()), 4)
    grouped, single = IWAE(6, num_groups=6), Reparameterized(6, kl="sampled")
    assert grouped.target == "L_1"
    gradients = [gradient(vae, estimate(one, vae, batch).surrogate) for one in (grouped, single)]
    assert torch.allclose(*gradients)


def test_dreg_is_sticking_the_landing_for_one_sample():
    vae, batch = nonlinear_vae(), copies_of(one_datum(nonlinear_vae()), 4)
    gradients = [
        gradient(vae, estimate(estimator, vae, batch).surrogate)
        for estimator in (DReG(1), STLIWAE(1), StickingTheLanding())
    ]
    assert torch.allclose(gradients[0], gradients[1])
    assert torch.allclose(gradients[0], gradients[2])


def test_the_decoder_gradients_of_dreg_and_iwae_are_equal():
    vae, batch = nonlinear_vae(), copies_of(one_datum(nonlinear_vae()), 4)
    found = []
    for estimator in (DReG(), IWAE(), STLIWAE()):
        surrogate = estimate(estimator, vae, batch).surrogate.sum()
        found.append(torch.autograd.grad(surrogate, vae.decoder.layers[0].weight)[0])
    assert torch.allclose(found[0], found[1])
    assert torch.allclose(found[1], found[2])


def test_optimal_scaling_of_two_samples_is_leave_one_out():
    vae, batch = nonlinear_vae(), copies_of(one_datum(nonlinear_vae()), 4)
    scaled = ScoreFunction(num_samples=2, optimal_scaling=True)
    left_out = ScoreFunction({"leave_one_out": LeaveOneOut()}, num_samples=2)
    gradients = [gradient(vae, estimate(one, vae, batch).surrogate) for one in (scaled, left_out)]
    assert torch.allclose(*gradients)


def test_vimco_baselines_against_their_definition():
    log_w = torch.randn(4, 3, dtype=torch.float64)
    for mean in ("geometric", "arithmetic"):
        without = VIMCO(4, mean)._without_each(log_w)
        for k in range(4):
            w = log_w.exp()
            others = torch.cat([w[:k], w[k + 1 :]])
            w[k] = others.log().mean(0).exp() if mean == "geometric" else others.mean(0)
            assert torch.allclose(without[k], w.mean(0).log())


def test_ovis_control_variates_against_their_definition():
    """The mean of d_k over auxiliary samples in the place of z_k; and the limit, from the other weights."""
    log_w, auxiliary = torch.randn(4, 3, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)
    estimated = OVIS(4, num_auxiliary=2)._control_variate(log_w, auxiliary)
    limit = OVIS(4, gamma=0.3)._control_variate(log_w, None)
    for k in range(4):
        signals = []
        for other in auxiliary:
            w = log_w.exp()
            w[k] = other.exp()
            signals.append(w.mean(0).log() - w[k] / w.sum(0))
        assert torch.allclose(estimated[k], torch.stack(signals).mean(0))
        others = torch.cat([log_w[:k], log_w[k + 1 :]]).exp().mean(0).log()
        assert torch.allclose(limit[k], others - 0.3 / 4 + 0.7 * math.log(3 / 4))


def test_the_network_of_lax_learns_to_make_its_gradient_short_and_moves_nothing_else():
    vae, batch = nonlinear_vae(), copies_of(one_datum(nonlinear_vae()), 4)
    estimator = made(partial(lax, kl="sampled", num_samples=2), vae)
    network = list(estimator.parameters())
    estimator.update({"level": torch.tensor(-5.0)})
    surrogate = estimate(estimator, vae, batch).surrogate.mean()
    found = torch.autograd.grad(surrogate, network, retain_graph=True)
    outputs = vae.encoder(batch.x).detach().requires_grad_()
    eps = NoiseSource(0).training(
        estimator.noise_spec(vae, batch), purpose="train", step=0, batch_size=4, dtype=torch.float64
    )["posterior"]

    def control(z):
        x = batch.x.flatten(1).expand(2, -1, -1)
        return -5 + estimator.control_variate.network(torch.cat([x, z], -1).flatten(0, 1)).view(2, 4)

    q = vae.posterior(outputs)
    parameters = (q.mean, q.log_scale)
    z = q.transform(eps)
    fixed = z.detach()
    signal = vae.log_weight(batch.x, fixed, q).detach() - control(fixed)
    whole = (signal * q.log_prob(fixed) + control(z)).mean(0).sum()
    gradients = torch.autograd.grad(whole, parameters, create_graph=True)
    squares = torch.stack([part.square().sum(-1) for part in gradients]).sum(0)
    expected = torch.autograd.grad(-squares.mean(), network)
    assert all(torch.allclose(a, b) for a, b in zip(found, expected, strict=True))
    own = torch.autograd.grad(surrogate, [*vae.parameters()])
    with torch.no_grad():
        network[-1].add_(3.0)
    other = torch.autograd.grad(estimate(estimator, vae, batch).surrogate.mean(), [*vae.parameters()])
    decoders = len(list(vae.decoder.parameters()))
    assert all(torch.allclose(a, b) for a, b in zip(own[-decoders:], other[-decoders:], strict=True))
    assert not torch.allclose(own[0], other[0])


def test_the_running_mean_takes_a_signal_in_after_the_step_only():
    vae, batch = linear_gaussian_vae(), gaussian_batch()
    estimator = ScoreFunction({"running_mean": RunningMean(decay=0.5)}).double()
    part = estimator.parts["running_mean"]
    first = estimate(estimator, vae, batch)
    assert part.mean.value == 0
    means = {name: values.mean() for name, values in first.statistics.items()}
    estimator.update(means)
    assert torch.allclose(part.mean.value, first.terms["reconstruction"].mean())
    estimator.update({"running_mean.mean": torch.tensor(0.0)})
    assert torch.allclose(part.mean.value, first.terms["reconstruction"].mean() / 3)  # weights 1/4 and 1/2


def test_the_network_is_trained_towards_the_signal_and_moves_nothing_else():
    vae, batch = nonlinear_vae(), copies_of(one_datum(nonlinear_vae()), 4)
    estimator = made(nvil, vae)
    network = estimator.parts["network"].network
    surrogate = estimate(estimator, vae, batch).surrogate.mean()
    found = torch.autograd.grad(surrogate, list(network.parameters()), retain_graph=True)
    noise = NoiseSource(0).training(
        estimator.noise_spec(vae, batch), purpose="train", step=0, batch_size=4, dtype=torch.float64
    )
    z = vae.encode(batch).transform(noise["posterior"])
    signal = vae.decode(z).log_prob(batch.x).detach()[0]
    error = -(signal - network(batch.x)[:, 0]).square().mean()
    expected = torch.autograd.grad(error, list(network.parameters()))
    assert all(torch.allclose(a, b) for a, b in zip(found, expected, strict=True))


def test_autoencoder_reconstructs_from_the_mean_without_a_kl_term():
    vae, batch = linear_gaussian_vae(), gaussian_batch()
    result = estimate(Autoencoder(), vae, batch)
    expected = vae.decode(vae.encode(batch).mean.unsqueeze(0)).log_prob(batch.x)[0]
    assert torch.allclose(result.surrogate, expected)
    assert set(result.terms) == {"reconstruction"}
    gradients = torch.autograd.grad(result.surrogate.mean(), vae.encoder.layers[0].weight)[0]
    assert (gradients[vae.latent_dim :] == 0).all()  # the log-variances play no part


@pytest.mark.parametrize("name", UNBIASED | BIASED)
def test_estimators_work_in_single_precision_and_without_gradients(name):
    vae = nonlinear_vae().float()
    batch = Batch(torch.rand(5, 1, 2, 2).round(), torch.arange(5))
    estimator = made((UNBIASED | BIASED)[name], vae).float()
    gradients = gradient(vae, estimate(estimator, vae, batch).surrogate)
    assert gradients.isfinite().all()
    assert gradients.abs().sum() > 0
    with torch.no_grad():
        assert estimate(estimator, vae, batch).bound.isfinite().all()


class Other(Prior):
    pass


class Opaque(Gaussian):
    """A family of which nothing is known."""

    is_reparameterized = False
    factorises = False


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (Reparameterized(), "for kl=analytic, and there is none from Opaque to Other"),
        (ScoreFunction(), "for kl=analytic, and there is none from Opaque to Other"),
        (Reparameterized(kl="sampled"), "needs a gradient through samples of q.z.x., and Opaque has none"),
        (StickingTheLanding(), "needs a gradient through samples of q.z.x., and Opaque has none"),
        (IWAE(), "needs a gradient through samples of q.z.x., and Opaque has none"),
        (DReG(), "needs a gradient through samples of q.z.x., and Opaque has none"),
        (STLIWAE(), "needs a gradient through samples of q.z.x., and Opaque has none"),
        (
            ScoreFunction(rao_blackwell=True, kl="sampled"),
            "needs a posterior that is a product over the latent dimensions, and Opaque is none",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_model_cannot_offer_is_refused(estimator, message):
    vae = linear_gaussian_vae()
    vae.prior, vae.posterior = Other(), Opaque(2)
    with pytest.raises(ValueError, match="|".join([message, "needs a gradient"])):
        check_needs(estimator, Offer.of(vae))
    for able in (ScoreFunction(kl="sampled"), VIMCO(), OVIS()):
        check_needs(able, Offer.of(vae))
    assert reference(OVIS(), vae).target == "L_5"
    assert not isinstance(reference(OVIS(), vae), DReG)


@pytest.mark.parametrize(
    ("make", "family", "message"),
    [
        (
            MeasureValued,
            "FullGaussian",
            "needs a Gaussian posterior with a diagonal covariance, and FullGaussian is none",
        ),
        (MeasureValued, "Laplace", "Laplace is none; use model/posterior=gaussian or estimator=reparam"),
        (DeltaMethod, "FullGaussian", "needs a posterior that is a product over the latent dimensions, and"),
        (
            Taylor,
            "Cauchy",
            "in closed form, and Cauchy does not have both; use model/posterior=gauss",
        ),
        (lax, "FullGaussian", "needs a posterior that is a product over the latent dimensions, and Full"),
    ],
)
def test_posteriors_that_cannot_serve(make, family, message):
    vae = linear_gaussian_vae()
    vae.posterior = getattr(posteriors, family)(2)
    with pytest.raises(ValueError, match=message):
        check_needs(make(kl="sampled"), Offer.of(vae))


@pytest.mark.parametrize("make", [Taylor, DeltaMethod, lax])
@pytest.mark.parametrize("family", ["Logistic", "Laplace"])
def test_other_posteriors_than_gaussian_keep_the_mean(make, family):
    vae = nonlinear_vae()
    vae.posterior = getattr(posteriors, family)(2)
    estimator = made(partial(make, kl="sampled"), vae)
    reference = block_means(Reparameterized(kl="sampled"), vae, NoiseSource(99), copies=20_000)
    assert not is_biased(block_means(estimator, vae, NoiseSource(0)), reference)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Reparameterized(num_samples=0), "num_samples must be at least 1, got 0"),
        (lambda: Reparameterized(beta=-1), "beta must not be negative, got -1"),
        (
            lambda: ScoreFunction({"leave_one_out": LeaveOneOut()}),
            "num_samples must be at least 2 for baseline=leave_one_out, got 1",
        ),
        (lambda: ScoreFunction(optimal_scaling=True), "num_samples must be at least 2 for optimal_scaling"),
        (lambda: ScoreFunction(rao_blackwell=True), "rao_blackwell needs kl=sampled or kl=entropy"),
        (
            lambda: rloo(optimal_scaling=True),
            "leave_one_out and optimal_scaling both compare a datum's samples",
        ),
        (lambda: RunningMean(decay=1.0), "decay must be at least 0 and below 1, got 1.0"),
        (lambda: IWAE(0), "num_samples must be at least 1, got 0"),
        (lambda: VIMCO(1), "num_samples must be at least 2 for VIMCO, got 1"),
        (lambda: IWAE(5, num_groups=2), "num_groups must divide num_samples=5, got 2"),
        (lambda: lax(decay=-0.1), "decay must be at least 0 and below 1, got -0.1"),
        (lambda: OVIS(1), "num_samples must be at least 2 without num_auxiliary, got 1"),
        (lambda: OVIS(num_auxiliary=-1), "num_auxiliary must not be negative, got -1"),
        (lambda: OVIS(gamma=1.5), "gamma must be from 0 to 1, got 1.5"),
        (lambda: OVIS(num_auxiliary=2, gamma=0.5), "gamma must be 1 with num_auxiliary=2, got 0.5"),
        (
            lambda: DeltaMethod(3, optimal_scaling=True),
            "num_samples must be at least 4 for optimal_scaling, got 3: a coefficient",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def exact_dreamed_log_q(vae):
    """E[log q(z|x)] over pairs dreamed by a linear-Gaussian VAE, with z and x jointly Gaussian.

    With r = z - mean(x) and l = log-variance(x),
    E[exp(-l) r^2] = exp(-E l + Var l / 2) ((E r - Cov(r, l))^2 + Var r).
    """
    weight, bias = (one.detach() for one in vae.decoder.layers[0].parameters())
    variance = (2 * vae.likelihood.log_scale).exp().double()
    covariance = weight @ weight.T + variance * torch.eye(len(bias), dtype=torch.float64)
    encode = vae.encoder.layers[0]
    (to_mean, to_log), (mean_at_0, log_at_0) = encode.weight.chunk(2), encode.bias.chunk(2)
    mean_r, mean_l = -(to_mean @ bias + mean_at_0), to_log @ bias + log_at_0
    cross = to_mean @ weight  # covariance of mean(x) and z
    var_r = 1 + (to_mean @ covariance * to_mean).sum(-1) - 2 * cross.diagonal()
    var_l = (to_log @ covariance * to_log).sum(-1)
    cov = (to_log @ weight).diagonal() - (to_log @ covariance * to_mean).sum(-1)
    squares = (-mean_l + var_l / 2).exp() * ((mean_r - cov).square() + var_r)
    return (-0.5 * squares - 0.5 * mean_l - 0.5 * math.log(2 * math.pi)).sum()


def test_wake_sleep_teaches_the_encoder_by_dreams():
    vae = linear_gaussian_vae()
    encoder = list(vae.encoder.parameters())
    exact = torch.autograd.grad(exact_dreamed_log_q(vae), encoder)
    batch, estimator = copies_of(one_datum(vae), 2000), made(WakeSleep, vae)
    blocks = []
    for step in range(100):
        found = estimate(estimator, vae, batch, step)
        parts = torch.autograd.grad(found.surrogate.mean(), encoder)
        blocks.append(torch.cat([part.flatten() for part in parts]))
    means = torch.stack(blocks)
    error = means.std(0) / math.sqrt(len(means))
    z = (means.mean(0) - torch.cat([part.flatten() for part in exact])) / error
    assert z.abs().max() < 4


def test_wake_sleep_teaches_the_model_by_the_data():
    vae = nonlinear_vae()
    batch, estimator = copies_of(one_datum(vae), 50), made(WakeSleep, vae)
    found = estimate(estimator, vae, batch)
    eps = NoiseSource(0).training(
        estimator.noise_spec(vae, batch), purpose="train", step=0, batch_size=50, dtype=batch.x.dtype
    )
    z = vae.encode(batch).transform(eps["posterior"]).detach()
    expected = torch.autograd.grad(vae.log_joint(batch.x, z).mean(), vae.generative_parameters())
    model = torch.autograd.grad(found.surrogate.mean(), vae.generative_parameters())
    assert all(torch.equal(one, other) for one, other in zip(model, expected, strict=True))
    elbo = estimate(Reparameterized(), vae, batch).bound
    assert torch.equal(found.bound, elbo)
    asleep = estimator.eval()
    assert list(asleep.noise_spec(vae, batch)) == ["posterior"]
    assert torch.equal(estimate(asleep, vae, batch).bound, elbo)


def test_wake_sleep_needs_data_that_can_be_dreamed():
    vae = nonlinear_vae()
    vae.likelihood.base_distribution = None
    with pytest.raises(ValueError, match="needs a likelihood that can be sampled, and Bernoulli cannot"):
        check_needs(WakeSleep(), Offer.of(vae))
