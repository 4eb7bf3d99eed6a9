"""Models with several layers of latent variables."""

from functools import partial

import pytest
import torch

from vae_lab.checks.cases import hierarchical_vae
from vae_lab.evaluation.active_units import ActiveUnits, posterior_means
from vae_lab.evaluation.measures import Measures
from vae_lab.inference.annealed import AnnealedImportanceSampling, log_mean_weight
from vae_lab.inference.weights import monte_carlo_variance
from vae_lab.models import posteriors, priors
from vae_lab.models.networks import MLP
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource

IMAGES = [torch.tensor([code >> bit & 1 for bit in range(4)]) for code in range(16)]


def batch():
    return Batch(torch.stack(IMAGES).reshape(16, 1, 2, 2).double(), torch.arange(16))


def grid_log_likelihood(vae):
    """log p(x) of the sixteen images, by summing over a grid of the three latent dimensions."""
    axis = torch.linspace(-8, 8, 81, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis, axis).unsqueeze(1)
    with torch.no_grad():
        log_prior = vae.prior.log_prob(z)
        log_x = torch.cat([vae.decode(z).log_prob(x.unsqueeze(0)) for x in batch().x], dim=1)
    return (log_x + log_prior).logsumexp(0) + 3 * (axis[1] - axis[0]).log()


def test_the_densities_integrate_to_one():
    vae = hierarchical_vae()
    axis = torch.linspace(-9, 9, 91, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis, axis)
    volume = 3 * (axis[1] - axis[0]).log()
    with torch.no_grad():
        q = vae.encode(Batch(batch().x[:1], torch.arange(1)))
        for log_prob in (vae.prior.log_prob(z.unsqueeze(1)), q.log_prob(z.unsqueeze(1))):
            assert (log_prob.logsumexp(0) + volume).abs().max() < 0.01


def test_samples_have_the_density():
    """E[log p(z)] over samples, against the sum over a grid."""
    prior = hierarchical_vae().prior
    axis = torch.linspace(-9, 9, 91, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis, axis)
    eps = torch.randn(200_000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        log_p = prior.log_prob(z)
        expected = (log_p.softmax(0) * log_p).sum()
        found = prior.log_prob(prior.sample(eps))
    assert abs(found.mean() - expected) < 4 * found.std() / len(found) ** 0.5 + 1e-3


def test_the_log_likelihood_is_that_of_a_grid():
    vae = hierarchical_vae()
    exact = grid_log_likelihood(vae)
    assert exact.exp().sum() == pytest.approx(1, abs=1e-3)  # of all sixteen images
    for temperatures, chains in ((1, 20_000), (100, 50)):  # 1: the mean of p(x|z) over the prior
        weights = AnnealedImportanceSampling(temperatures, chains).forward(vae, batch(), NoiseSource(0))
        found, errors = log_mean_weight(weights), monte_carlo_variance(weights).sqrt()
        assert ((found - exact).abs() < 4 * errors).all()
        assert errors.max() < 0.1


def test_terms_per_dimension_add_up():
    vae = hierarchical_vae()
    q, z = vae.encode(batch()), torch.randn(5, 16, 3, dtype=torch.float64)
    for part in (q, vae.prior):
        assert torch.allclose(part.log_prob_per_dimension(z).sum(-1), part.log_prob(z))


def test_detached_it_has_the_same_values_and_gradients_through_its_inputs_alone():
    vae = hierarchical_vae()
    z = torch.randn(2, 16, 3, dtype=torch.float64).requires_grad_()
    q = vae.encode(batch())
    assert torch.equal(q.detach().log_prob(z), q.log_prob(z))
    q.detach().log_prob(z).sum().backward()
    assert z.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in vae.parameters())


def test_the_decoder_sees_the_first_layer_alone():
    vae = hierarchical_vae()
    z = torch.randn(1, 16, 3, dtype=torch.float64)
    other = torch.cat([z[..., :2], torch.randn(1, 16, 1, dtype=torch.float64)], dim=-1)
    assert torch.equal(vae.decode(z).mean, vae.decode(other).mean)


def test_measures_count_the_active_units_of_each_layer():
    found = Measures([50])(hierarchical_vae(), batch(), NoiseSource(0)).statistics
    layers = [found[f"active_units_{number}"].value for number in (1, 2)]
    assert sum(layers) == found["active_units"].value
    assert "amortization_gap" not in found  # a table has rows for the first layer alone


def test_an_upper_layer_that_copies_noise_is_not_active():
    """Its mean given the layer below varies with the noise of that layer, and not with the data."""
    vae = hierarchical_vae()
    with torch.no_grad():
        for parameter in vae.encoder.parameters():
            parameter.zero_()  # q(z_1|x) = N(0, I)
        for parameter in vae.posterior.parameters():
            parameter.mul_(3)
    below = torch.randn(100, 1, 2, dtype=torch.float64)
    copied = vae.posterior.networks[0](below)[..., 0]
    assert copied.var() > 0.1
    units = ActiveUnits(3)
    units.add(*posterior_means(vae, batch(), NoiseSource(0)))
    assert units.count(units.sums) == 0


def test_with_the_upper_layer_switched_off_it_is_a_vae_of_one_layer():
    """q(z_2|z_1) = p(z_2) and p(z_1|z_2) = N(0, I) leave bound and gradients of the first layer alone."""
    vae = hierarchical_vae()
    with torch.no_grad():
        for parameter in [*vae.posterior.parameters(), *vae.prior.parameters()]:
            parameter.zero_()
    gaussian = posteriors.Gaussian(2)
    single = VAE(vae.encoder, vae.decoder, gaussian, vae.likelihood, priors.StandardNormal(2), latent_dim=2)
    eps = torch.randn(5, 16, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = []
    for each, noise in ((vae, eps), (single, eps[..., :2])):
        q = each.encode(batch())
        log_w = each.log_weight(batch().x, q.transform(noise), q)
        shared = [*single.encoder.parameters(), *single.decoder.parameters()]
        found.append((log_w, torch.autograd.grad(log_w.mean(), shared)))
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("family", [posteriors.Hierarchical, priors.Hierarchical])
@pytest.mark.parametrize(
    ("latent_dim", "layer_dims", "message"),
    [
        (3, [3], r"layer_dims must be at least two sizes of at least 1, got \[3\]"),
        (3, [3, 0], r"layer_dims must be at least two sizes of at least 1, got \[3, 0\]"),
        (4, [2, 1], r"layer_dims must add up to latent_dim=4, got \[2, 1\]: 3"),
    ],
)
def test_bad_layers(family, latent_dim, layer_dims, message):
    with pytest.raises(ValueError, match=message):
        family(latent_dim, layer_dims, partial(MLP, hidden=[2]))
