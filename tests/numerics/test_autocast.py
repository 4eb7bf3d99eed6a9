"""Under autocast networks alone are in half precision, as if it were around each of them and nothing else."""

import pytest
import torch
from test_float32 import (
    CONTINUOUS,
    DISCRETE,
    LATENT_DIM,
    LIKELIHOODS,
    POSTERIORS,
    PRIORS,
    moved,
    noise_of,
    of_estimator,
    prior_of,
)

from vae_lab.checks.cases import binary_vae, categorical_vae, hierarchical_vae, nonlinear_vae
from vae_lab.models.likelihoods import LogisticRegression
from vae_lab.models.networks import MLP
from vae_lab.models.vae import VAE, Batch


def autocast():
    return torch.autocast("cpu", torch.bfloat16)


@pytest.fixture
def in_networks(monkeypatch):
    """Lets autocast enter networks by themselves."""
    plain = MLP.forward

    def forward(self, x):
        with autocast():
            return plain(self, x)

    return lambda: monkeypatch.setattr(MLP, "forward", forward)


def check(function, in_networks):
    """A function's first value is the same with autocast around it and around each network.

    Gradients, which follow, may add up in half precision where a network is called more than once.
    """
    with autocast():
        found = function()
    in_networks()
    expected = function()
    assert found[0].dtype in (torch.float32, torch.float64)
    assert torch.equal(found[0], expected[0])
    for own, other in zip(found[1:], expected[1:], strict=True):
        assert own.isfinite().all()
        assert torch.allclose(own, other, rtol=0.02, atol=0.02 * other.abs().max().item())


def with_gradients(make, vae):
    function, inputs = of_estimator(make, vae, equal=False)

    def call():
        leaves = [x.clone().requires_grad_() for x in inputs]
        value = function(*leaves)
        found = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
        return [value, *(part for part in found if part is not None)]

    return call


@pytest.mark.parametrize("name", CONTINUOUS)
def test_estimators_of_continuous_latent_variables(name, in_networks):
    check(with_gradients(CONTINUOUS[name], moved(nonlinear_vae(), "dominating")), in_networks)


@pytest.mark.parametrize("name", DISCRETE)
@pytest.mark.parametrize("model", [binary_vae, categorical_vae])
def test_estimators_of_discrete_latent_variables(name, model, in_networks):
    try:
        call = with_gradients(DISCRETE[name], moved(model(), "saturated"))
    except ValueError as refused:
        assert "binary" in str(refused) or "product" in str(refused)  # noqa: PT017
        return
    check(call, in_networks)


def test_layers_of_latent_variables(in_networks):
    check(with_gradients(CONTINUOUS["iwae-k5"], hierarchical_vae()), in_networks)


def vae_of(posterior="gaussian", prior=None, likelihood="bernoulli"):
    """A small VAE of 2x2 images, or of a table."""
    torch.manual_seed(0)
    q, p = POSTERIORS[posterior](LATENT_DIM), LIKELIHOODS[likelihood]()
    shape = (4, 3) if likelihood == "logistic_regression" else (1, 2, 2)
    p_z = PRIORS[prior](LATENT_DIM) if prior else prior_of(q)
    encoder = MLP(shape, (q.num_outputs,), [4], "tanh")
    outputs = p.output_shape(shape)
    seen = (*p_z.layer_dims, LATENT_DIM)[0]
    p_z.connect(encoder, q)
    return VAE(encoder, MLP((seen,), outputs, [4], "tanh"), q, p, p_z, LATENT_DIM)


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_posteriors(posterior, in_networks):
    check_log_weight(vae_of(posterior, "hierarchical" if posterior == "hierarchical" else None), in_networks)


@pytest.mark.parametrize("prior", PRIORS)
def test_priors(prior, in_networks):
    fits = {"standard_exponential": "gamma", "bernoulli": "bernoulli", "categorical": "categorical"}
    same = prior if prior == "hierarchical" else fits.get(prior, "gaussian")
    check_log_weight(vae_of(same, prior), in_networks)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_likelihoods(likelihood, in_networks):
    check_log_weight(vae_of(likelihood=likelihood), in_networks)


def check_log_weight(vae, in_networks):
    shape = (4, 3) if isinstance(vae.likelihood, LogisticRegression) else (1, 2, 2)
    x = torch.rand(3, *shape, generator=torch.Generator().manual_seed(1)).clamp(0.01, 0.99)
    if vae.likelihood.levels:
        x = (x * (vae.likelihood.levels - 1)).round() / (vae.likelihood.levels - 1)
    batch = Batch(x, torch.arange(3))

    def call():
        q = vae.encode(batch)
        z = q.transform(noise_of(vae.posterior, 3))
        log_w = vae.log_weight(x, z, q)
        of_all = vae.decode(z[:, :1]).log_prob(x)  # the same latent variables for all data
        parts = [log_w, of_all, log_w.logsumexp(0)]
        if vae.posterior.has_analytic_kl(vae.prior):
            parts.append(q.kl(vae.prior))
        return [torch.cat([part.flatten() for part in parts])]

    check(call, in_networks)
