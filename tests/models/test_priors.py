"""Learned priors: their densities, their samples, and a VAE with each."""

import copy
import sys

import pytest
import torch
from conftest import built

from vae_lab.checks.cases import nonlinear_vae
from vae_lab.errors import UserError
from vae_lab.estimators import IWAE, Reparameterized
from vae_lab.evaluation.measures import Measures
from vae_lab.models.priors import Flow, GaussianMixture, VampPrior
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource

SHAPE = (1, 2, 2)


def gaussian_mixture():
    torch.manual_seed(0)
    prior = GaussianMixture(2, num_components=3)
    with torch.no_grad():
        prior.logits.copy_(torch.tensor([0.5, -0.3, 0.1]))
        prior.log_scales.copy_(0.4 * torch.randn(3, 2))
    return prior.double()


def vamp():
    vae = nonlinear_vae()
    prior = VampPrior(2, SHAPE, num_components=4).double()
    with torch.no_grad():
        prior.pseudo_inputs.copy_(torch.rand(4, *SHAPE))
    prior.connect(vae.encoder, vae.posterior)
    return prior


def flow(kind="maf"):
    torch.manual_seed(0)
    prior = Flow(2, kind, num_transforms=2, hidden=[8]).double()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.mul_(1.5)
    return prior


PRIORS = {"gaussian_mixture": gaussian_mixture, "vamp": vamp, "maf": flow, "nsf": lambda: flow("nsf")}


def with_prior(name):
    prior, vae = PRIORS[name](), nonlinear_vae()
    model = VAE(vae.encoder, vae.decoder, vae.posterior, vae.likelihood, prior, 2)
    prior.connect(vae.encoder, vae.posterior)
    return model


def batch():
    images = [[code >> bit & 1 for bit in range(4)] for code in range(16)]
    return Batch(torch.tensor(images).reshape(16, *SHAPE).double(), torch.arange(16))


def grid(half_width=9, points=181):
    axis = torch.linspace(-half_width, half_width, points, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis), 2 * (axis[1] - axis[0]).log()


@pytest.mark.parametrize("name", PRIORS)
def test_the_density_integrates_to_one_and_is_that_of_the_samples(name):
    prior = PRIORS[name]()
    z, volume = grid()
    spec = {"prior": prior.noise_spec(1)}
    eps = NoiseSource(0).training(spec, purpose="test", step=0, batch_size=40_000, dtype=torch.float64)
    with torch.no_grad():
        log_p = prior.log_prob(z.unsqueeze(1)).flatten()
        drawn = prior.sample(eps["prior"])
        found = prior.log_prob(drawn).flatten()
    assert (log_p.logsumexp(0) + volume).exp().item() == pytest.approx(1, abs=1e-3)
    expected = (log_p + volume).exp()
    for function in (lambda z, _: z[:, 0], lambda z, _: z[:, 1].square(), lambda _, log_p: log_p):
        samples = function(drawn.flatten(0, 1), found)
        wanted = (expected * function(z, log_p)).sum()
        assert abs(samples.mean() - wanted) < 5 * samples.std() / len(samples) ** 0.5 + 1e-3


@pytest.mark.parametrize("name", PRIORS)
def test_the_probabilities_of_all_images_add_up_to_one(name):
    vae, data = with_prior(name), batch()
    z, volume = grid()
    with torch.no_grad():
        log_joint = vae.log_joint(data.x, z.unsqueeze(1).expand(-1, 16, -1))
    assert (log_joint.logsumexp(0) + volume).exp().sum().item() == pytest.approx(1, abs=1e-3)


def test_the_mixture_is_that_of_torch():
    prior = gaussian_mixture()
    components = torch.distributions.Normal(prior.means, prior.log_scales.exp())
    weights = torch.distributions.Categorical(logits=prior.logits)
    mixture = torch.distributions.MixtureSameFamily(weights, torch.distributions.Independent(components, 1))
    z = torch.randn(3, 5, 2, dtype=torch.float64)
    assert torch.allclose(prior.log_prob(z), mixture.log_prob(z))


def test_the_vamp_prior_is_the_mean_of_the_posteriors_of_its_pseudo_inputs():
    vae = with_prior("vamp")
    z = torch.randn(3, 5, 2, dtype=torch.float64)
    q = vae.encode(Batch(vae.prior.pseudo_inputs, torch.arange(4)))
    each = torch.stack([q.log_prob(z[i, j].expand(1, 4, 2))[0] for i in range(3) for j in range(5)])
    expected = each.exp().mean(1).log().reshape(3, 5)
    assert torch.allclose(vae.prior.log_prob(z), expected)


def test_the_vamp_prior_shares_the_encoder_and_counts_it_once():
    vae = with_prior("vamp")
    names = [name for name, _ in vae.named_parameters()]
    assert [name for name in names if name.startswith("prior")] == ["prior.pseudo_inputs"]
    vae.prior.log_prob(torch.zeros(1, 1, 2, dtype=torch.float64)).sum().backward()
    assert all(parameter.grad is not None for parameter in vae.encoder.parameters())
    twin = copy.deepcopy(vae)
    assert twin.prior.__dict__["recognition"][0] is twin.encoder


@pytest.mark.parametrize("estimator", [Reparameterized(kl="sampled", num_samples=4), IWAE(num_samples=4)])
@pytest.mark.parametrize("name", PRIORS)
def test_estimators_train_it(name, estimator):
    vae, data, noise = with_prior(name), batch(), NoiseSource(0)
    optimizer = torch.optim.Adam(vae.parameters(), lr=0.03)
    bounds = []
    for step in range(60):
        draws = noise.training(
            estimator.noise_spec(vae, data), purpose="t", step=step, batch_size=16, dtype=torch.float64
        )
        estimate = estimator(vae, data, draws)
        optimizer.zero_grad()
        (-estimate.surrogate.mean()).backward()
        optimizer.step()
        bounds.append(estimate.bound.mean().item())
    assert sum(bounds[-10:]) / 10 > sum(bounds[:5]) / 5 + 0.1


@pytest.mark.parametrize("name", ["gaussian_mixture", "vamp"])
def test_measures_of_a_model_with_a_prior_that_does_not_factorise(name):
    measured = Measures([20], gap=4)(with_prior(name), batch(), NoiseSource(0))
    assert measured.kl_per_dimension is None
    assert {"kl", "mutual_information", "log_likelihood", "amortization_gap"} <= set(measured.statistics)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model/prior=vamp"], "there is none from Gaussian to VampPrior; use estimator.kl=sampled"),
        (
            ["model/prior=gaussian_mixture", "model.prior.num_components=0"],
            "num_components must be at least 1",
        ),
        (
            ["model/prior=vamp", "model/encoder=per_datum", "estimator.kl=sampled"],
            "is made of an encoder",
        ),
        (["model/prior=flow", "model.prior.num_transforms=0"], "num_transforms must be at least 1, got 0"),
        (["model/prior=flow", "model.prior.hidden=[0]"], r"hidden must hold widths of at least 1, got \[0\]"),
    ],
)
def test_bad_configurations(overrides, message):
    with pytest.raises(UserError, match=message):
        built(*overrides)


def test_a_flow_without_zuko(monkeypatch):
    monkeypatch.setitem(sys.modules, "zuko.flows", None)
    with pytest.raises(UserError, match=r"model.prior: a flow needs zuko: pip install 'vae-lab\[flows\]'"):
        built("model/prior=flow", "estimator.kl=sampled")
