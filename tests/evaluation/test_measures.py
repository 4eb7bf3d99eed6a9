"""The measures of a trained model, on models whose values are known."""

import math
import warnings

import pytest
import torch
from conftest import exact_log_likelihood, posterior

from vae_lab.checks.cases import binary_vae, exact_elbo, gaussian_batch, linear_gaussian_vae, nonlinear_vae
from vae_lab.evaluation.aggregate_posterior import maximum_mean_discrepancy, mutual_information
from vae_lab.evaluation.bounds import bounds
from vae_lab.evaluation.exact import is_linear_gaussian, linear_gaussian_log_likelihood
from vae_lab.evaluation.fit_posterior import FitPosterior
from vae_lab.evaluation.gap import split_gap
from vae_lab.evaluation.measures import Measures
from vae_lab.inference import importance_sampling
from vae_lab.inference.annealed import (
    AnnealedImportanceSampling,
    annealed_log_likelihood,
    log_mean_weight,
    simulate,
)
from vae_lab.inference.importance_sampling import importance_samples
from vae_lab.inference.terms import Term, difference, statistic
from vae_lab.inference.weights import (
    Trust,
    effective_sample_size,
    gap_variance,
    monte_carlo_variance,
    pareto_shape,
)
from vae_lab.models.posteriors.gaussian import DiagonalGaussian
from vae_lab.models.vae import Batch
from vae_lab.noise import NoiseSource

NOISE = NoiseSource(0)
REPETITIONS = 500
COVERAGE = (0.92, 0.98)  # of 95 % intervals, in 500 repetitions
NOMINAL = (0.93, 0.97)  # in 1,000 or more


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def repeated(batch, times=REPETITIONS):
    """The same data again and again, with samples of their own each time."""
    return Batch(batch.x.repeat(times, 1), torch.arange(times * len(batch.x)))


def near_the_posterior(vae):
    """The encoder set to the best factorised Gaussian, but for a small error."""
    batch = Batch(torch.eye(4, dtype=torch.float64), torch.arange(4))
    mean, covariance = posterior(vae, batch)
    zero, _ = posterior(vae, Batch(torch.zeros(1, 4, dtype=torch.float64), torch.arange(1)))
    layer = vae.encoder.layers[0]
    with torch.no_grad():
        layer.weight[:2], layer.bias[:2] = (mean - zero).T, zero[0] + 0.1
        layer.weight[2:], layer.bias[2:] = 0, -torch.linalg.inv(covariance).diagonal().log()
    return vae


def coverage(values, variances, exact, data):
    """The share of repetitions whose interval for the mean over the data covers the exact value."""
    means, exact = values.unflatten(0, (-1, data)).mean(1), exact.mean()
    errors = variances.unflatten(0, (-1, data)).sum(1).sqrt() / data
    return ((means - exact).abs() < 1.96 * errors).double().mean().item()


@pytest.mark.parametrize("measure", ["elbo_sampled_kl", "elbo_analytic_kl", "log_likelihood"])
def test_intervals_over_samples_cover_the_closed_form(measure):
    vae, batch = near_the_posterior(linear_gaussian_vae()), gaussian_batch(size=4)
    term = bounds(vae, repeated(batch), NOISE, [200])[measure]
    exact = exact_log_likelihood(vae, batch) if measure == "log_likelihood" else exact_elbo(vae, batch)
    assert COVERAGE[0] < coverage(*term, exact, len(batch.x)) < COVERAGE[1]


@pytest.mark.parametrize("initial", ["prior", "encoder"])
def test_intervals_of_annealing_cover_the_closed_form(initial):
    vae, batch = near_the_posterior(linear_gaussian_vae()), gaussian_batch(size=2)
    settings = AnnealedImportanceSampling(num_temperatures=20, num_chains=64, num_leapfrog=3, initial=initial)
    weights = settings.forward(vae, repeated(batch), NOISE)
    estimate = weights.logsumexp(0) - math.log(64)
    exact = exact_log_likelihood(vae, batch)
    assert COVERAGE[0] < coverage(estimate, monte_carlo_variance(weights), exact, 2) < COVERAGE[1]


def test_intervals_over_data_cover_the_expectation():
    """Data from the model itself, of which E[log p(x)] is less its entropy."""
    vae = linear_gaussian_vae()
    _, data = simulate(vae, repeated(gaussian_batch(size=100)), NOISE)
    values = linear_gaussian_log_likelihood(vae, data.x).unflatten(0, (REPETITIONS, 100))
    weight, bias = vae.decoder.layers[0].weight, vae.decoder.layers[0].bias
    covariance = weight @ weight.T + 0.49 * torch.eye(4)
    expected = -torch.distributions.MultivariateNormal(bias, covariance).entropy().item()
    found = [statistic(Term(each)) for each in values]
    covered = [abs(each.value - expected) < 1.96 * each.error for each in found]
    assert COVERAGE[0] < sum(covered) / REPETITIONS < COVERAGE[1]


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("samples", [16, 100])
def test_the_jackknife_covers_even_where_few_weights_rule(samples, scale):
    """The mean over 50 data with log-weights N(0, scale^2), where the delta method covers 44 to 94 %."""
    log_weight = scale * torch.randn(samples, 50_000, generator=seeded(), dtype=torch.float64)
    values, variances = log_mean_weight(log_weight), monte_carlo_variance(log_weight)
    assert NOMINAL[0] < coverage(values, variances, values, 50) < NOMINAL[1]


def test_the_error_of_a_gap_counts_that_its_parts_share_samples():
    log_weight = 1.5 * torch.randn(100, 5000, generator=seeded(), dtype=torch.float64)
    values, variances = log_mean_weight(log_weight) - log_weight.mean(0), gap_variance(log_weight)
    assert NOMINAL[0] < coverage(values, variances, values, 10) < NOMINAL[1]
    assert (variances.mean() / values.var()).item() == pytest.approx(1, abs=0.1)


def test_the_closed_form():
    vae, batch = linear_gaussian_vae(), gaussian_batch()
    assert is_linear_gaussian(vae)
    assert not is_linear_gaussian(nonlinear_vae())
    assert torch.allclose(linear_gaussian_log_likelihood(vae, batch.x), exact_log_likelihood(vae, batch))


def test_bounds_rise_with_the_number_of_samples():
    terms = bounds(linear_gaussian_vae(), gaussian_batch(size=50), NOISE, [1, 2, 10, 100, 1000])
    means = [terms[f"L_{number}"].values.mean().item() for number in (1, 2, 10, 100, 1000)]
    assert means == sorted(means)
    assert means[0] == pytest.approx(terms["elbo_sampled_kl"].values.mean().item())
    assert torch.equal(terms["log_likelihood"].values, terms["L_1000"].values)


def test_a_smaller_bound_is_that_of_its_own_number_of_samples():
    """L_3 from 300 samples is unbiased for L_3, and its error is that of a hundred of them."""
    vae, batch = linear_gaussian_vae(), repeated(gaussian_batch(size=1))
    many = bounds(vae, batch, NOISE, [3, 300])["L_3"]
    alone = bounds(vae, batch, NoiseSource(1), [3])["L_3"]
    assert torch.isfinite(alone.variances).all()
    error = (alone.values.var() / len(alone.values)).sqrt() + many.variances.mean().sqrt()
    assert abs(many.values.mean() - alone.values.mean()) < 4 * error
    assert many.values.std() == pytest.approx(many.variances.mean().sqrt().item(), rel=0.2)


@pytest.mark.parametrize("rows", [1, 7, 60, 5000])
def test_the_size_of_a_chunk_changes_nothing(rows):
    vae, batch = nonlinear_vae(), Batch(torch.rand(9, 1, 2, 2).round().double(), torch.arange(9))
    whole = bounds(vae, batch, NOISE, [10, 120])
    parts = bounds(vae, batch, NOISE, [10, 120], chunk_rows=rows)
    for name, term in whole.items():
        assert torch.allclose(parts[name].values, term.values, rtol=1e-9), name


def test_a_chunk_that_memory_does_not_hold_is_halved(monkeypatch):
    vae, batch = linear_gaussian_vae(), gaussian_batch(size=3)
    whole = torch.cat([part.log_weight for part in importance_samples(vae, batch, NOISE, 120)], dim=1)
    decode, sizes = vae.decode, []

    def small_memory(z):
        sizes.append(z.shape[0] * z.shape[1])
        if sizes[-1] > 20:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")
        return decode(z)

    monkeypatch.setattr(vae, "decode", small_memory)
    with pytest.warns(UserWarning, match="memory does not hold") as warned:
        parts = list(importance_samples(vae, batch, NOISE, 120, chunk_rows=160))
    assert torch.allclose(torch.cat([part.log_weight for part in parts], dim=1), whole)
    assert max(sizes[-10:]) <= 20
    assert str(warned[-1].message) == "memory does not hold 40 decoder rows; the rest goes on with 20."


def test_another_error_of_the_decoder_is_no_lack_of_memory(monkeypatch):
    vae = linear_gaussian_vae()
    monkeypatch.setattr(vae, "decode", lambda z: z @ torch.zeros(7, 7))
    with pytest.raises(RuntimeError, match="dtype|shapes"):
        list(importance_samples(vae, gaussian_batch(), NOISE, 10))


def test_memory_does_not_grow_with_samples_beyond_their_weights(monkeypatch):
    monkeypatch.setattr(importance_sampling, "MAX_WEIGHTS", 200)
    parts = list(importance_samples(linear_gaussian_vae(), gaussian_batch(size=5), NOISE, 100))
    assert [part.log_weight.shape for part in parts] == [(100, 2), (100, 2), (100, 1)]


def test_effective_sample_size():
    weights = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    assert torch.allclose(effective_sample_size(weights.log()), torch.tensor([4.0, 1.0]).double())


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.7, 1.0, 1.5])
def test_the_shape_of_pareto_weights_is_found(shape):
    uniform = torch.rand(10_000, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = pareto_shape(-shape * uniform.log())
    standard_error = (1 + shape) / 300**0.5  # of a maximum-likelihood fit to 300 exceedances
    assert found.mean() == pytest.approx(shape, abs=0.05)
    assert found.std() == pytest.approx(standard_error, rel=0.3)


REFERENCE = {  # psislw of arviz 0.19.0, with its floor at the least normal number of float64
    (100, 0.5): 0.22143019106785544,
    (100, 30): 8.595194644872349,
    (100, 300): 80.47519993125745,
    (100, 1000): math.inf,
    (900, 2): 0.6690841411881526,
    (900, 1000): 88.74438170855638,
    (5000, 1): 0.26037134891188735,
    (5000, 5): 1.7256524353148859,
    (5000, 300): 85.07872826251948,
    (5000, 3000): math.inf,
}


@pytest.mark.parametrize(("samples", "scale"), REFERENCE)
def test_the_shape_is_that_of_the_reference(samples, scale):
    """At the quantiles of normal log-weights, however wide: hundreds of nats are no smaller shape."""
    places = (torch.arange(samples, dtype=torch.float64) + 0.5) / samples
    found = pareto_shape(scale * torch.special.ndtri(places).unsqueeze(1)).item()
    assert found == pytest.approx(REFERENCE[samples, scale], rel=1e-9)


@pytest.mark.parametrize(("scale", "doubtful"), [(2.0, False), (10.0, True)])
def test_few_data_whose_sum_one_weight_rules_are_too_many(scale, doubtful):
    """4 % of them by a nat in the mean, with a standard error of 0.03 nats; where weights are good, none."""
    log_weight = 0.5 * torch.randn(5000, 250, generator=seeded(), dtype=torch.float64)
    log_weight[:, :10] *= scale / 0.5
    assert Trust.of(log_weight).is_doubtful == doubtful


@pytest.mark.parametrize(("heavier", "doubt"), [(0.1, False), (3.0, False), (7.0, True), (30.0, True)])
def test_a_few_weights_above_those_that_tie_are_in_doubt_if_they_hold_much(heavier, doubt):
    """As with discrete latent variables, whose rarest value has the largest weight."""
    log_weight = torch.zeros(5000, 1)
    log_weight[:3] = heavier
    assert pareto_shape(log_weight).item() == (math.inf if doubt else -math.inf)
    assert Trust.of(log_weight).in_doubt.item() == doubt


def test_a_few_weights_above_all_others_have_no_finite_shape():
    log_weight = torch.full((1000, 3), -800.0, dtype=torch.float64)
    log_weight[:4, 0] = torch.linspace(-1, 0, 4).double()
    log_weight[:5, 1] = torch.linspace(-1, 0, 5).double()
    log_weight[0, 2] = math.nan
    shapes = pareto_shape(log_weight)
    assert shapes[[0, 2]].tolist() == [math.inf, math.inf]
    assert shapes[1].isfinite()


def test_weights_that_are_all_alike_have_no_tail():
    assert pareto_shape(torch.zeros(100, 2)).tolist() == [-math.inf, -math.inf]
    assert pareto_shape(torch.zeros(10, 1)).isnan().all()


@pytest.mark.parametrize(("num_samples", "tolerated"), [(5000, 5), (1000, 5), (999, 10), (100, 10)])
def test_few_data_in_doubt_are_no_reason_for_a_note(num_samples, tolerated):
    def trust(doubtful):
        shapes = torch.where(torch.arange(100) < doubtful, 1.0, 0.2)
        return Trust(shapes, torch.full((100,), 2026.5), num_samples)

    assert trust(tolerated).notes("so it is") == []
    (note,) = trust(tolerated + 1).notes("so it is")
    assert f"{tolerated + 1} % of the data" in note
    assert f"its mean is 2,026 of {num_samples:,}): so it is" in note


def test_weights_that_cannot_be_trusted_are_named():
    generator = torch.Generator().manual_seed(0)
    images = Batch(torch.rand(20, 1, 2, 2, generator=generator).round().double(), torch.arange(20))
    measures = Measures(importance_samples=[5000], latent_space=False, gap=0)
    for vae, remedy in ((nonlinear_vae(), "measures=annealed tells"), (binary_vae(11), "more samples tell")):
        with torch.no_grad():
            vae.encoder.layers[-1].bias[-2:] += -9 if vae.latent_dim == 2 else 9  # far from the posterior
        (note,) = measures(vae, images, NOISE).notes
        assert "Pareto shape above 0.7" in note
        assert note.endswith(remedy)
    good = nonlinear_vae()
    with torch.no_grad():
        for parameter in good.encoder.layers[-1].parameters():
            parameter.zero_()  # q(z|x) is p(z),
        for parameter in good.decoder.parameters():
            parameter.mul_(0.1)  # and x says next to nothing of z
    assert measures(good, images, NOISE).notes == []
    known = linear_gaussian_vae()  # whose log p(x) is measured exactly
    with torch.no_grad():
        known.encoder.layers[0].bias[2:] -= 3
    assert measures(known, gaussian_batch(size=20), NOISE).notes == []


@pytest.mark.parametrize("initial", ["prior", "encoder"])
def test_annealed_weights_are_unbiased_both_ways(initial):
    """E[w] = p(x) from few temperatures already, and E[1/w] = 1/p(x) from exact samples of the posterior."""
    vae = linear_gaussian_vae()
    if initial == "encoder":
        near_the_posterior(vae)
    settings = AnnealedImportanceSampling(num_temperatures=6, num_chains=2, num_leapfrog=3, initial=initial)
    z, data = simulate(vae, repeated(gaussian_batch(size=1), 4000), NOISE)
    exact = exact_log_likelihood(vae, data)
    forward = (settings.forward(vae, data, NOISE) - exact).exp().mean(0)
    reverse = (exact - settings.reverse(vae, data, NOISE, z)).exp().mean(0)
    for ratio in (forward, reverse):
        assert abs(ratio.mean() - 1) < 4 * ratio.std() / 4000**0.5


def test_annealing_brackets_the_log_likelihood_ever_closer():
    vae, batch = linear_gaussian_vae(), repeated(gaussian_batch(size=1), 100)
    gaps = []
    for temperatures in (3, 10, 100):
        settings = AnnealedImportanceSampling(temperatures, num_chains=4, num_leapfrog=5)
        terms = {
            k: statistic(v).value for k, v in annealed_log_likelihood(vae, batch, NOISE, settings).items()
        }
        exact = exact_log_likelihood(vae, simulate(vae, batch, NOISE)[1]).mean().item()
        assert terms["simulated_lower"] - 0.03 < exact < terms["simulated_upper"] + 0.03
        gaps.append(terms["simulated_gap"])
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 0.1


def test_annealing_finds_what_importance_sampling_cannot():
    vae, batch = linear_gaussian_vae(), gaussian_batch(size=10)
    with torch.no_grad():
        vae.encoder.layers[0].bias[:2] += 8  # nowhere near the posterior
    exact = exact_log_likelihood(vae, batch)
    settings = AnnealedImportanceSampling(num_temperatures=200, num_chains=16)
    measures = Measures([100], latent_space=False, gap=0, annealed=settings)
    found = measures(vae, batch, NOISE).statistics
    assert found["log_likelihood"].value < exact.mean() - 3
    assert found["log_likelihood_ais"].value == pytest.approx(exact.mean().item(), abs=0.05)
    assert found["annealing_gain"].value > 3


def test_no_measure_changes_with_the_number_of_threads(monkeypatch):
    monkeypatch.setattr("vae_lab.evaluation.measures.CHUNK_DATA", 3)
    vae, batch = linear_gaussian_vae(), gaussian_batch(size=10)
    found = []
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        found.append(Measures([2, 40], gap=0, chunk_rows=30)(vae, batch, NOISE))
        assert torch.get_num_threads() == number
    torch.set_num_threads(1)
    for other in found[1:]:
        for name, statistic_of_one in found[0].statistics.items():
            assert other.statistics[name].value == statistic_of_one.value, name
        for name, term in found[0].terms.items():
            assert torch.equal(other.terms[name].values, term.values), name


def test_the_gap_splits_as_the_closed_form_does():
    r"""For a factorised Gaussian and precision $\Lambda$ the family loses half of $\sum \log \Lambda_{dd} -
    \log \det \Lambda$ for every datum.
    """
    vae, batch = linear_gaussian_vae(), gaussian_batch(size=10)
    precision = torch.linalg.inv(posterior(vae, batch)[1])
    family = 0.5 * (precision.diagonal().log().sum() - precision.logdet()).item()
    exact, elbo = exact_log_likelihood(vae, batch), exact_elbo(vae, batch)
    terms = {k: statistic(v) for k, v in split_gap(vae, batch, NOISE, FitPosterior(), 2000).terms.items()}
    approximation, amortization = terms["approximation_gap"], terms["amortization_gap"]
    assert approximation.value == pytest.approx(family, abs=0.01 + 3 * approximation.monte_carlo_error)
    whole = (exact - elbo).mean().item()
    assert approximation.value + amortization.value == pytest.approx(whole, rel=0.02)


def test_mutual_information_of_gaussians():
    r"""Means from N(0, 1) and posteriors N(m, s^2) give $\frac12 \log(1 + 1/s^2)$ for each dimension."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(4000, 2, generator=generator, dtype=torch.float64)
    q = DiagonalGaussian(mean, torch.full_like(mean, math.log(0.8)))
    z = q.transform(torch.randn(1, 4000, 2, generator=generator, dtype=torch.float64))[0]
    terms = mutual_information(q, z)
    assert terms.mean() == pytest.approx(math.log(1 + 1 / 0.64), abs=4 * terms.std().item() / 4000**0.5)


def test_mutual_information_lies_between_nothing_and_the_logarithm_of_the_data():
    same = DiagonalGaussian(torch.zeros(50, 2), torch.zeros(50, 2))
    assert torch.allclose(mutual_information(same, torch.randn(50, 2)), torch.zeros(50).double(), atol=1e-5)
    apart = DiagonalGaussian(100.0 * torch.arange(50).unsqueeze(1), torch.zeros(50, 1))
    assert torch.allclose(mutual_information(apart, apart.mean), torch.full((50,), math.log(50)).double())


def test_the_discrepancy_is_nothing_for_the_same_distribution_and_grows_with_a_shift():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 2000, 3, generator=generator)
    found = [statistic(Term(maximum_mean_discrepancy(a + shift, b))) for shift in (0.0, 0.5, 1.0)]
    assert abs(found[0].value) < 3 * found[0].error
    assert found[1].value > 5 * found[1].error
    assert found[2].value > found[1].value
    with pytest.raises(ValueError, match="needs at least 16 data, got 15"):
        maximum_mean_discrepancy(a[:15], b[:15])


def test_the_rate_is_mutual_information_and_distance_to_the_prior():
    vae, batch = near_the_posterior(linear_gaussian_vae()), gaussian_batch(size=300)
    measured = Measures([10], gap=0)(vae, batch, NOISE)
    rate = vae.encode(batch).kl(vae.prior).mean(0)
    assert torch.allclose(measured.kl_per_dimension, rate)
    assert measured.statistics["kl"].value == pytest.approx(rate.sum().item())
    assert measured.statistics["active_units"].value == 2
    assert measured.statistics["mutual_information"].value < math.log(300)


def test_a_collapsed_posterior_is_named():
    vae = linear_gaussian_vae()
    with torch.no_grad():
        for parameter in vae.encoder.parameters():
            parameter.zero_()
    measured = Measures([10], gap=0)(vae, gaussian_batch(size=30), NOISE)
    assert measured.statistics["kl"].value == 0
    assert any("posterior collapse" in note for note in measured.notes)


def test_bits_are_of_binary_data_alone():
    vae, x = nonlinear_vae(), torch.rand(30, 1, 2, 2, dtype=torch.float64)
    binary = Measures([10], gap=0)(vae, Batch(x.round(), torch.arange(30)), NOISE).statistics
    expected = -binary["log_likelihood"].value / (4 * math.log(2))
    assert binary["bits_per_dimension"].value == pytest.approx(expected)
    assert (
        "bits_per_dimension" not in Measures([10], gap=0)(vae, Batch(x, torch.arange(30)), NOISE).statistics
    )


def test_some_data_are_random_ones_and_the_same_each_time():
    vae, batch = linear_gaussian_vae(), gaussian_batch(size=200)
    settings = AnnealedImportanceSampling(num_temperatures=50)
    measures = Measures([10], latent_space=False, gap=0, annealed=settings, annealed_data=20)
    value = measures(vae, batch, NOISE).statistics["log_likelihood_ais"]
    assert value == measures(vae, batch, NOISE).statistics["log_likelihood_ais"]
    exact = exact_log_likelihood(vae, batch)
    assert value.value != pytest.approx(exact[:20].mean().item(), abs=0.05)
    assert value.error == pytest.approx(exact.std().item() / 20**0.5, rel=0.5)


def test_differences_add_their_variances():
    a, b = Term(torch.tensor([3.0]), torch.tensor([1.0])), Term(torch.tensor([1.0]), torch.tensor([2.0]))
    assert difference(a, b) == (2.0, 3.0)
    assert difference(a, Term(b.values)).variances == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"importance_samples": [0]}, "importance_samples must be at least 1, got 0"),
        ({"importance_samples": []}, "gap needs importance_samples"),
        ({"gap": -1}, "gap must be at least 0, got -1"),
        ({"annealed_data": 0}, "annealed_data must be at least 1, got 0"),
        ({"chunk_rows": 0}, "chunk_rows must be at least 1, got 0"),
    ],
)
def test_bad_measures(arguments, message):
    with pytest.raises(ValueError, match=message):
        Measures(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_temperatures": 0}, "num_temperatures must be at least 1, got 0"),
        ({"num_chains": 1}, "num_chains must be at least 2, got 1"),
        ({"num_leapfrog": 0}, "num_leapfrog must be at least 1, got 0"),
        ({"acceptance": 1.0}, "acceptance must be between 0 and 1, got 1.0"),
    ],
)
def test_bad_annealing(arguments, message):
    with pytest.raises(ValueError, match=message):
        AnnealedImportanceSampling(**arguments)


def test_nothing_warns_without_reason():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Measures([10])(linear_gaussian_vae(), gaussian_batch(size=30), NOISE)
