"""The probe against explicit Jacobians, brute force and closed forms, in float64."""

import math
from dataclasses import asdict
from functools import partial

import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev

from vae_lab import estimators
from vae_lab.checks.cases import binary_vae, exact_elbo, gaussian_batch, linear_gaussian_vae, nonlinear_vae
from vae_lab.cli.output import _margin as margin
from vae_lab.estimators import (
    ARM,
    CIWAE,
    IWAE,
    LAX,
    MIWAE,
    OVIS,
    PIWAE,
    REBAR,
    RELAX,
    STLIWAE,
    VIMCO,
    Autoencoder,
    DeltaMethod,
    DisARM,
    DReG,
    Enumeration,
    FullVariationalBayes,
    GumbelSoftmax,
    MaximumLikelihood,
    MeasureValued,
    MonteCarloEM,
    Reparameterized,
    ReweightedWakeSleep,
    ScoreFunction,
    StickingTheLanding,
    StraightThrough,
    Taylor,
    WakeSleep,
)
from vae_lab.estimators.baselines import BatchMean, LeaveOneOut, Network, RunningMean, VarianceNormalization
from vae_lab.models.likelihoods import Bernoulli, ScalarGaussian
from vae_lab.models.networks import MLP, ConvolutionalDecoder, ConvolutionalEncoder
from vae_lab.models.posteriors import Gaussian
from vae_lab.models.priors import StandardNormal
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import AntitheticNoise, NoiseSource
from vae_lab.probe import Probe
from vae_lab.probe.bias import BLOCKS, corrected, detectable, p_value, z_score
from vae_lab.probe.jacobian import EncoderJacobian
from vae_lab.probe.moments import Moments
from vae_lab.probe.warm_up import warm_up

ESTIMATORS = {
    "reparameterized": Reparameterized,
    "sticking_the_landing": StickingTheLanding,
    "score_function": ScoreFunction,
    "rao_blackwell": partial(ScoreFunction, rao_blackwell=True, kl="sampled"),
    "optimal_scaling": partial(ScoreFunction, num_samples=3, optimal_scaling=True),
    "rloo": lambda: ScoreFunction({"leave_one_out": LeaveOneOut()}, num_samples=3),
    "batch_mean": lambda: ScoreFunction({"batch_mean": BatchMean()}),
    "nvil": lambda: ScoreFunction({"mean": RunningMean(), "network": Network(partial(MLP, hidden=[3]))}),
    "iwae": partial(IWAE, 3),
    "dreg": partial(DReG, 3),
    "stl_iwae": partial(STLIWAE, 3),
    "vimco": partial(VIMCO, 3),
    "measure_valued": partial(MeasureValued, 2),
    "delta_method": partial(DeltaMethod, num_samples=4, optimal_scaling=True),
    "taylor": Taylor,
    "lax": partial(LAX, partial(MLP, hidden=[3], activation="tanh")),
    "ovis": partial(OVIS, 3, num_auxiliary=2),
    "iwae_groups": partial(IWAE, 4, num_groups=2),
    "ciwae": partial(CIWAE, 3),
    "piwae": partial(PIWAE, 4, num_groups=2),
    "miwae": partial(MIWAE, 3),
    "reweighted_wake_sleep": partial(ReweightedWakeSleep, 3),
    "wake_sleep": partial(WakeSleep, 2),
    "free_bits": partial(Reparameterized, free_bits=0.5),
}
OF_DISCRETE = {
    "arm": ARM,
    "disarm": DisARM,
    "rebar": REBAR,
    "relax": partial(RELAX, partial(MLP, hidden=[3], activation="tanh")),
    "gumbel_softmax": GumbelSoftmax,
    "straight_through": StraightThrough,
    "enumeration": Enumeration,
    "rws_of_discrete": partial(ReweightedWakeSleep, 3),
    "wake_sleep_of_discrete": WakeSleep,
}
REFUSED = {Autoencoder, FullVariationalBayes, MonteCarloEM, MaximumLikelihood}  # by `prepare_probe`
ENCODE_OTHERS = {"wake_sleep", "wake_sleep_of_discrete"}


class Normalised(nn.Module):
    """An encoder with a layer of which no rule is known."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 3)
        self.norm = nn.LayerNorm(3)
        self.last = nn.Linear(3, 4)

    def forward(self, x):
        return self.last(self.norm(self.first(x.flatten(1)).tanh()))


class Twice(nn.Module):
    """An encoder that uses one layer twice."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 4)

    def forward(self, x):
        return self.body(self.body(x.flatten(1)).tanh())


ENCODERS = {
    "mlp": lambda: MLP((1, 2, 2), (4,), [5, 3], "tanh"),
    "convolutional": lambda: ConvolutionalEncoder((1, 2, 2), (4,), [3, 2], "tanh"),
    "unknown": Normalised,
    "twice": Twice,
}


def model(encoder="mlp", decoder=None, likelihood=None):
    torch.manual_seed(4)
    body = decoder or MLP((2,), (1, 2, 2), [5], "tanh")
    vae = VAE(
        ENCODERS[encoder](), body, Gaussian(2), likelihood or Bernoulli(), StandardNormal(2), latent_dim=2
    )
    return vae.double()


def images(size=6):
    generator = torch.Generator().manual_seed(5)
    x = torch.rand(size, 1, 2, 2, generator=generator, dtype=torch.float64).round()
    return Batch(x, torch.arange(size))


def prepared(name):
    torch.manual_seed(6)
    estimator = (ESTIMATORS | OF_DISCRETE)[name]()
    vae = binary_vae() if name in OF_DISCRETE else nonlinear_vae()
    estimator.prepare(vae, (1, 2, 2), dataset_size=6)
    return estimator.double()


def by_backward(probe, estimator, replicates):
    """Minibatch gradients of every parameter by one `backward()` per replicate."""
    rows = []
    for replicate in range(replicates):
        noise = probe._draw(estimator, "probe", replicate)
        surrogate = estimator(probe.vae, probe.batch, noise).surrogate.mean()
        rows.append(torch.autograd.grad(surrogate, list(probe.vae.parameters()), allow_unused=True))
    return {
        name: torch.stack([row[index] for row in rows])
        for index, (name, _) in enumerate(probe.vae.named_parameters())
    }


def test_moments_do_not_depend_on_the_chunks():
    values = 1e6 + torch.randn(100, 3, dtype=torch.float64)
    for sizes in ([100], [1] * 100, [1, 50, 49]):
        moments = Moments()
        for chunk in values.split(sizes):
            moments.add(chunk)
        assert torch.allclose(moments.mean, values.mean(0), rtol=1e-14)
        assert torch.allclose(moments.variance, values.var(0), rtol=1e-8)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_squares_and_gradients_against_explicit_jacobians(encoder):
    vae, batch = model(encoder), images()
    jacobian = EncoderJacobian(vae.encoder, batch.x)
    assert jacobian.is_by_layer == (encoder in ("mlp", "convolutional"))
    cotangents = torch.randn(5, 6, 4, dtype=torch.float64)
    parameters = {name: value.detach() for name, value in vae.encoder.named_parameters()}
    explicit = jacrev(lambda own: functional_call(vae.encoder, own, (batch.x,)))(parameters)
    squares, by_datum = jacobian.squares(cotangents)
    gradients = jacobian.gradients(cotangents)
    assert squares.keys() == by_datum.keys() == gradients.keys() == parameters.keys()
    for name, jac in explicit.items():
        pulled = torch.einsum("rbp,bp...->rb...", cotangents, jac)
        assert torch.allclose(squares[name], pulled.square().sum((0, 1)))
        assert torch.allclose(by_datum[name], pulled.square().flatten(2).sum(-1))
        assert torch.allclose(gradients[name], pulled.sum(1))


@pytest.mark.parametrize("chunk", [2, 7, 100])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_encoder_variance_is_the_sum_of_j_c_j(encoder, chunk):
    vae, batch, replicates = model(encoder), images(), 43
    estimator = Reparameterized(kl="sampled")
    probe = Probe(vae, batch, NoiseSource(0), replicates, chunk=chunk)
    sample = probe.sample(estimator)
    noise = torch.stack([probe._draw(estimator, "probe", i)["posterior"] for i in range(replicates)])
    outputs = vae.encoder(batch.x).detach().requires_grad_()
    rows = []
    for eps in noise:
        q = vae.posterior(outputs)
        surrogate = vae.log_weight(batch.x, q.transform(eps), q).sum()
        rows.append(torch.autograd.grad(surrogate, outputs)[0])
    at_outputs = torch.stack(rows)
    centred = at_outputs - at_outputs.mean(0)
    covariance = torch.einsum("rbp,rbq->bpq", centred, centred) / (replicates - 1)
    parameters = {name: value.detach() for name, value in vae.encoder.named_parameters()}
    explicit = jacrev(lambda own: functional_call(vae.encoder, own, (batch.x,)))(parameters)
    for name, jac in explicit.items():
        expected = torch.einsum("bp...,bpq,bq...->...", jac, covariance, jac) / len(batch.x) ** 2
        assert torch.allclose(sample.variance(f"encoder.{name}"), expected, rtol=1e-9)
    total = sum(float(sample.variance(f"encoder.{name}").sum()) for name in parameters)
    assert sample.trace("encoder") == pytest.approx(total)
    assert sample.trace("outputs") == pytest.approx(covariance.diagonal(dim1=1, dim2=2).sum(1).mean().item())


def test_every_estimator_is_measured_or_refused():
    made = {type(prepared(name)) for name in ESTIMATORS | OF_DISCRETE}
    assert made | REFUSED == {getattr(estimators, name) for name in estimators.__all__}


@pytest.mark.parametrize("name", ESTIMATORS | OF_DISCRETE)
def test_replicates_are_those_of_backward(name):
    """The same mean for all; the same variance wherever whole replicates are compared."""
    estimator, vae = prepared(name), binary_vae() if name in OF_DISCRETE else model()
    probe = Probe(vae, images(), NoiseSource(0), num_replicates=32, chunk=8)
    sample, expected = probe.sample(estimator), by_backward(probe, estimator, 32)
    blocks = sample.blocks()
    assert expected.keys() <= blocks.keys()
    for parameter, gradients in expected.items():
        assert torch.allclose(blocks[parameter].mean(0), gradients.mean(0).flatten(), atol=1e-12)
        if not (sample.by_datum and parameter.startswith("encoder")):
            assert torch.allclose(sample.variance(parameter), gradients.var(0))
    assert sample.by_datum == (name not in {"batch_mean", "free_bits"} | ENCODE_OTHERS)
    assert ("outputs" in sample.groups) == (name not in ENCODE_OTHERS)


def test_wake_sleep_is_measured_at_the_data_that_it_dreams():
    """Its encoder descends another objective, while its model ascends the bound."""
    vae, batch = model(), images()
    rows = Probe(vae, batch, NoiseSource(0), 200, chunk=50).measure({"it": WakeSleep()})
    by_group = {row.group: row for row in rows}
    assert by_group["outputs"].status == "encodes other data than the batch"
    assert math.isnan(by_group["outputs"].trace)
    encoder, decoder = by_group["encoder"], by_group["decoder"]
    assert (encoder.status, encoder.path) == ("ok", "replicates")
    assert encoder.bias_p < 1e-6
    assert decoder.bias_p > 0.01
    assert encoder.minibatch_trace < 0.1 * encoder.trace  # dreams do not depend on the data


@pytest.mark.parametrize("name", ["reparameterized", "score_function", "rloo", "dreg"])
def test_the_structure_gives_the_plain_sample_variance_in_expectation(name):
    estimator, replicates = prepared(name), 1500
    probe = Probe(model(), images(), NoiseSource(1), replicates, chunk=300, generative=False)
    sample = probe.sample(estimator)
    plain = by_backward(probe, estimator, replicates)
    for parameter in plain:
        if parameter.startswith("encoder"):
            squares = (plain[parameter] - plain[parameter].mean(0)).square()
            error = squares.std(0) / math.sqrt(replicates)
            assert ((sample.variance(parameter) - squares.mean(0)).abs() <= 5 * error + 1e-12).all()


def test_other_parts_of_the_model_have_groups_of_their_own():
    decoder = ConvolutionalDecoder((2,), (1, 2, 2), [3], "tanh")
    vae = model("convolutional", decoder, ScalarGaussian())
    estimator = Reparameterized()
    probe = Probe(vae, images(), NoiseSource(0), num_replicates=12)
    rows = {row.group: row for row in probe.measure({"pathwise": estimator})}
    assert {"outputs.mean", "encoder.convolutions.0", "decoder.head", "likelihood"} <= rows.keys()
    expected = by_backward(probe, estimator, 12)["likelihood.log_scale"].var().item()
    assert rows["likelihood"].trace == pytest.approx(expected)
    assert rows["decoder"].path == "replicates"
    assert rows["encoder"].path == "per datum"
    layers = [row.trace for group, row in rows.items() if group.startswith("encoder.")]
    assert rows["encoder"].trace == pytest.approx(sum(layers))


def test_intervals_hold_the_true_value_as_often_as_they_say():
    """The pathwise gradient of a linear-Gaussian bound by the mean has a covariance in closed form."""
    vae, batch = linear_gaussian_vae(), gaussian_batch(size=4)
    weight = vae.decoder.layers[0].weight
    precision = weight.T @ weight / (2 * vae.likelihood.log_scale).exp()
    scale = vae.encode(batch).log_scale.exp()
    covariance = torch.einsum("de,be,fe->bdf", precision, scale.square(), precision)
    exact = covariance.diagonal(dim1=1, dim2=2).sum(1).mean().item()
    inside = 0
    for seed in range(200):
        probe = Probe(vae, batch, NoiseSource(seed), 100, generative=False, minibatch=False)
        low, high = probe.sample(Reparameterized()).interval("outputs.mean")
        inside += low <= exact <= high
    assert 180 <= inside <= 200  # 190 expected, with a standard deviation of 3.1


def test_the_minibatch_part_is_the_variance_over_data():
    vae = linear_gaussian_vae()
    batch = gaussian_batch(size=40)
    probe = Probe(vae, batch, NoiseSource(0), num_replicates=200, chunk=100)
    rows = {row.group: row for row in probe.measure({"score": ScoreFunction()})}
    of_data = []
    for index in range(40):
        one = Batch(batch.x[index : index + 1], batch.indices[:1])
        gradients = torch.autograd.grad(exact_elbo(vae, one).sum(), list(vae.parameters()))
        of_data.append(torch.cat([part.flatten() for part in gradients]))
    sizes = [sum(parameter.numel() for parameter in part.parameters()) for part in (vae.encoder, vae.decoder)]
    variances = torch.stack(of_data).var(0).split(sizes)
    for group, variance in zip(("encoder", "decoder"), variances, strict=True):
        row = rows[group]
        assert row.minibatch_trace == pytest.approx(variance.sum().item() / 40, rel=0.05)
        assert row.minibatch_trace_low < variance.sum().item() / 40 < row.minibatch_trace_high
        assert row.total_trace == row.trace + row.minibatch_trace


def test_bias_is_found_where_it_is_and_nowhere_else():
    vae, batch = nonlinear_vae(), images()
    normalised = ScoreFunction({"variance_normalization": VarianceNormalization()}, kl="sampled").double()
    normalised.update(
        {
            f"variance_normalization.{key}": torch.tensor(value)
            for key, value in {"mean": 0.0, "mean_square": 16.0}.items()
        }
    )
    biased = {"stl_iwae": STLIWAE(20), "variance_normalization": normalised}
    unbiased = {"iwae": IWAE(20), "rloo": prepared("rloo"), "vimco": VIMCO(20), "dreg": DReG(20)}
    probe = Probe(vae, batch, NoiseSource(0), num_replicates=1000, chunk=100, minibatch=False)
    rows = {row.estimator: row for row in probe.measure(biased | unbiased) if row.group == "encoder"}
    for name in unbiased:
        assert rows[name].bias_z < 4
        assert rows[name].declared_bias == ""
    for name in biased:
        assert rows[name].bias_z > 10
        assert rows[name].declared_bias
        assert rows[name].bias > 2 * rows[name].bias_limit
    assert rows["variance_normalization"].bias == pytest.approx(0.75, rel=0.1)  # its factor is 1/4
    assert rows["variance_normalization"].cosine > 0.95
    assert rows["dreg"].cosine > 0.99


SPECTRA = {
    "one": torch.ones(1),
    "two": torch.tensor([1.0, 0.1]),
    "five": 0.5 ** torch.arange(5),
    "twenty": 1 / torch.arange(1.0, 21),
    "one of many": torch.cat([torch.tensor([30.0]), torch.ones(100)]),
    "many": torch.linspace(0.1, 1, 300).square(),
}


def blocks_of(spectrum, experiments, seed=0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(experiments, BLOCKS, len(spectrum), generator=generator, dtype=torch.float64)
    direction = torch.randn(experiments, 1, len(spectrum), generator=generator, dtype=torch.float64)
    direction /= direction.norm(dim=-1, keepdim=True)
    return normal * spectrum.double().sqrt() + shift * direction


@pytest.mark.parametrize("name", SPECTRA)
def test_a_bias_is_found_in_five_per_cent_of_groups_without_one_whatever_their_size(name):
    p = torch.tensor([p_value(each @ each.T) for each in blocks_of(SPECTRA[name], 1000)])
    for level in (0.05, 0.01):
        error = (level * (1 - level) / 1000) ** 0.5
        assert abs((p <= level).double().mean() - level) < 3 * error
    z = torch.tensor([z_score(float(each)) for each in p])
    assert abs(z.mean()) < 3 / 1000**0.5
    assert abs(z.std() - 1) < 3 / 2000**0.5


@pytest.mark.parametrize("name", ["one", "five", "many"])
def test_the_p_value_is_the_share_of_all_ways_to_flip_signs(name):
    blocks = blocks_of(SPECTRA[name], 1, shift=0.1 * SPECTRA[name].sum().item() ** 0.5)[0]
    signs = torch.cartesian_prod(torch.ones(1), *[torch.tensor([1.0, -1.0])] * (BLOCKS - 1)).double()
    lengths = (signs @ blocks).square().sum(1)
    share = (lengths >= lengths[0] * (1 - 1e-12)).double().mean().item()
    assert 1e-4 < share < 1
    assert p_value(blocks @ blocks.T) == pytest.approx(share, abs=1e-9)


@pytest.mark.parametrize("name", SPECTRA)
def test_a_detectable_bias_is_found_four_times_in_five(name):
    """By one of fifty tests; with one direction of large variance among many, the average one is no guide."""
    limits = [detectable(each @ each.T, 50) for each in blocks_of(SPECTRA[name], 50)]
    limit = sorted(limits)[25]
    found = [p_value(each @ each.T) for each in blocks_of(SPECTRA[name], 150, seed=1, shift=limit)]
    power = sum(corrected(p, 50) < 0.05 for p in found) / 150
    assert (0.4 if name == "one of many" else 0.65) < power < 0.95


def test_a_large_bias_has_a_large_score_and_nothing_has_none():
    far = blocks_of(SPECTRA["five"], 1, shift=30.0)[0]
    assert 10 < z_score(p_value(far @ far.T)) < 38
    assert math.isnan(p_value(torch.zeros(BLOCKS, BLOCKS, dtype=torch.float64)))
    assert math.isnan(p_value(torch.eye(3)))
    assert corrected(0.01, 1) == pytest.approx(0.01)
    assert corrected(0.001, 100) == pytest.approx(1 - 0.999**100)


@pytest.mark.parametrize("factor", [1.0, 1 + 1e-13])
def test_rounding_errors_are_no_bias(factor):
    """The noise of a pathwise gradient by the mean that the decoder does not pass on."""
    vae = linear_gaussian_vae()
    with torch.no_grad():
        vae.decoder.layers[0].weight.zero_()
    scaled = Reparameterized(beta=factor)
    rows = Probe(vae, gaussian_batch(size=4), NoiseSource(0), 32, minibatch=False).measure({"it": scaled})
    (row,) = (row for row in rows if row.group == "outputs.mean")
    assert row.bias_z == pytest.approx(0, abs=1e-3)
    assert row.bias_p > 0.9


def test_signal_to_noise_and_single_gradients():
    vae, batch = nonlinear_vae(), images()
    probe = Probe(vae, batch, NoiseSource(0), num_replicates=2000, chunk=500, minibatch=False)
    estimator = prepared("rloo")
    row = next(row for row in probe.measure({"rloo": estimator}) if row.group == "encoder")
    draws = by_backward(probe, estimator, 2000)
    whole = torch.cat([part.flatten(1) for name, part in draws.items() if "encoder" in name], dim=1)
    mean, variance = whole.mean(0), whole.var(0).sum()
    length = (mean.square().sum() - variance / 2000).sqrt()
    assert row.snr == pytest.approx((length / variance.sqrt()).item(), rel=0.05)
    single = (whole @ mean) / mean.norm()
    expected = single.mean() / whole.square().sum(1).mean().sqrt()
    assert row.cosine_of_one == pytest.approx(expected.item(), rel=0.05)


def test_costs():
    probe = Probe(model(), images(), NoiseSource(0), num_replicates=8, minibatch=False)
    rows = {row.estimator: row for row in probe.measure({"one": Reparameterized(), "three": IWAE(3)})}
    assert rows["one"].decoder_evaluations == 1
    assert rows["three"].decoder_evaluations == 3
    assert 0 < rows["one"].memory < rows["three"].memory
    several = {"measure_valued": MeasureValued(2), "taylor": Taylor(2), "ovis": OVIS(3, num_auxiliary=2)}
    rows |= {row.estimator: row for row in probe.measure(several)}
    assert rows["measure_valued"].decoder_evaluations == 2 * (3 * 2 + 1)  # of 2 latent dimensions
    assert rows["taylor"].decoder_evaluations == 2 + 1  # the mean of q
    assert rows["ovis"].decoder_evaluations == 3 + 2
    assert rows["three"].variance_times_evaluations == pytest.approx(3 * rows["three"].variance)
    assert rows["one"].variance_times_seconds == pytest.approx(rows["one"].variance * rows["one"].seconds)


def test_memory_does_not_grow_with_the_number_of_replicates():
    def kept(replicates):
        sample = Probe(model(), images(), NoiseSource(0), replicates, chunk=10).sample(Reparameterized())
        moments = [sample.outputs, *sample.parameters.values()]
        tensors = [*sample.deviations.values(), *sample.block_sums.values()]
        tensors += [tensor for each in moments for tensor in (each.mean, each.deviations)]
        return sum(tensor.numel() for tensor in tensors)

    assert kept(400) == kept(20)


def test_warm_up_makes_the_variance_of_lax_small():
    vae, batch, estimator = model(), images(), prepared("lax")

    def trace():
        probe = Probe(vae, batch, NoiseSource(0), num_replicates=200, chunk=200, generative=False)
        return probe.sample(estimator).trace("outputs")

    before = trace()
    warm_up(estimator, vae, [batch] * 1000, NoiseSource(1))
    assert trace() < 0.2 * before


class Exploding(Reparameterized):
    """Not a number for one draw in some."""

    def forward(self, vae, batch, noise):
        estimate = super().forward(vae, batch, noise)
        spoilt = (noise["posterior"][0, 0, 0] > 1.5).to(estimate.surrogate.dtype)
        return estimate._replace(surrogate=estimate.surrogate / (1 - spoilt))


def test_one_estimator_that_is_not_finite_leaves_the_others_alone():
    probe = Probe(model(), images(), NoiseSource(0), num_replicates=50)
    alone = {row.group: row for row in probe.measure({"good": Reparameterized()})}
    together = probe.measure({"bad": Exploding(), "good": Reparameterized()})
    for row in together:
        if row.estimator == "bad":
            assert row.status.startswith("not finite in ")
            assert math.isnan(row.trace)
        else:
            assert row.trace == alone[row.group].trace
            assert row.status == "ok"


def test_nothing_is_disturbed():
    vae, batch = model(), images()
    estimators = {name: prepared(name) for name in ESTIMATORS}
    before = [parameter.detach().clone() for parameter in vae.parameters()]
    state = torch.get_rng_state()
    probe = Probe(vae, batch, NoiseSource(0), num_replicates=8)
    probe.measure(estimators)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(before, vae.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in vae.parameters())
    assert vae.training


def test_antithetic_pairs_remove_what_is_linear_in_the_noise():
    """On the linear-Gaussian model that is the whole pathwise gradient by the mean of q."""
    vae, estimator = linear_gaussian_vae(), Reparameterized(num_samples=2)
    found = [
        Probe(vae, gaussian_batch(), noise, 50).sample(estimator).trace("outputs.mean")
        for noise in (NoiseSource(0), AntitheticNoise(0))
    ]
    assert found[0] > 0.1
    assert found[1] < 1e-25


@pytest.mark.parametrize("replicates", [0, 1])
def test_too_few_replicates_or_data(replicates):
    with pytest.raises(
        ValueError, match=f"num_replicates must be at least 2 to show a variance, got {replicates}"
    ):
        Probe(model(), images(), NoiseSource(0), replicates)
    with pytest.raises(ValueError, match="batch_size must be at least 2, got 1"):
        Probe(model(), images(1), NoiseSource(0))


def test_biased_estimators_have_a_minibatch_part_of_their_own():
    """That of the normalised score function is the target's, divided by the square of its factor."""
    vae, batch = nonlinear_vae(), images(60)
    estimators = {"unbiased": Reparameterized(kl="sampled")}
    for factor in (2.0, 4.0):
        part = VarianceNormalization().double()
        part.update({"mean": torch.tensor(0.0), "mean_square": torch.tensor(factor**2)})
        estimators[str(factor)] = ScoreFunction({"normalization": part}, kl="sampled")
    probe = Probe(vae, batch, NoiseSource(0), num_replicates=2000, chunk=1000, generative=False)
    rows = {row.estimator: row for row in probe.measure(estimators) if row.group == "encoder"}
    for factor in (2.0, 4.0):
        expected = rows["unbiased"].minibatch_trace / factor**2
        assert rows[str(factor)].minibatch_trace_low < expected < rows[str(factor)].minibatch_trace_high
        assert rows[str(factor)].minibatch_trace == pytest.approx(expected, rel=0.3)


@pytest.mark.parametrize("replicates", [2, 7])
def test_few_replicates_show_a_variance_without_interval_or_bias(replicates):
    rows = Probe(model(), images(), NoiseSource(0), replicates).measure({"pathwise": Reparameterized()})
    assert all(row.trace > 0 for row in rows)
    assert all(math.isnan(row.bias_z) and math.isnan(row.trace_low) for row in rows)
    assert {margin(asdict(row)) for row in rows} == {"-"}
