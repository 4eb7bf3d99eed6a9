"""Every posterior with every prior and estimator: what the check lets pass trains, and is probed."""

import itertools
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from test_float32 import LATENT_DIM, POSTERIORS, PRIORS

from vae_lab import estimators
from vae_lab.errors import UserError
from vae_lab.estimators.baselines import LeaveOneOut
from vae_lab.models.likelihoods import Bernoulli
from vae_lab.models.networks import MLP
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource
from vae_lab.probe import Probe
from vae_lab.probe.settings import ProbeSettings
from vae_lab.training.compatibility import prepare_estimator, prepare_probe

small = partial(MLP, hidden=[3], activation="tanh")
score = estimators.ScoreFunction
ESTIMATORS = {
    name: partial(getattr(estimators, name), small) if name in ("LAX", "RELAX") else getattr(estimators, name)
    for name in estimators.__all__
    if name != "MaximumLikelihood"  # for models that are no VAE
} | {
    "PIWAE": partial(estimators.PIWAE, num_samples=4, num_groups=2),
    "optimal_scaling": partial(score, num_samples=2, optimal_scaling=True),
    "rloo": partial(score, {"leave_one_out": LeaveOneOut()}, num_samples=2),
    "rao_blackwell": partial(score, rao_blackwell=True),
    "delta_method_scaled": partial(estimators.DeltaMethod, num_samples=4, optimal_scaling=True),
}
SHAPE = (1, 2, 2)
X = torch.tensor([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0]]).reshape(2, *SHAPE)
DATASET = SimpleNamespace(
    incomplete=False,
    sees_parts=False,
    shape=SHAPE,
    batch_size=2,
    data=SimpleNamespace(train=SimpleNamespace(x=X)),
)


def vae_of(posterior, prior):
    """A small VAE, or None where the two do not meet."""
    torch.manual_seed(0)
    q, p = POSTERIORS[posterior](LATENT_DIM), PRIORS[prior](LATENT_DIM)
    try:
        q.check(p)
    except ValueError:
        return None
    if list(q.layer_dims) != list(p.layer_dims):
        return None
    encoder = small(SHAPE, (q.num_outputs,))
    p.connect(encoder, q)
    decoder = small(((*p.layer_dims, LATENT_DIM)[0],), SHAPE)
    return VAE(encoder, decoder, q, Bernoulli(), p, LATENT_DIM)


def made(name, kl):
    """An estimator, or None where it has no such form of the KL term."""
    try:
        return ESTIMATORS[name](kl=kl)
    except ValueError:
        return None
    except TypeError:
        return ESTIMATORS[name]() if kl == "sampled" else None


def trains(vae, estimator):
    """Whether the check lets it train; it does so, then, and every gradient is finite."""
    noise = NoiseSource(0)
    try:
        prepare_estimator(estimator, "estimator", vae, noise, DATASET)
    except UserError:
        return False
    batch = Batch(X, torch.arange(2))
    eps = noise.training(estimator.noise_spec(vae, batch), purpose="train", step=0, batch_size=2)
    estimate = estimator(vae, batch, eps)
    estimate.surrogate.sum().backward()
    assert estimate.surrogate.isfinite().all()
    for name, parameter in vae.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
    return True


def is_probed(vae, estimator):
    """Whether the check lets it be probed; it is, then, and the probe has a result."""
    noise = NoiseSource(0)
    settings = ProbeSettings(num_replicates=2, batch_size=2)
    try:
        prepare_probe("probe", settings, {"own": "own"}, {"own": estimator}, vae, noise, DATASET)
    except UserError:
        return False
    batch = Batch(X, torch.arange(2))
    rows = Probe(vae, batch, noise, num_replicates=2, chunk=2).measure({"own": estimator})
    for row in rows:
        encodes_others = row.status == "encodes other data than the batch"
        assert row.status == "ok" or (encodes_others and row.group.startswith("outputs")), row.status
    assert any(row.status == "ok" for row in rows)
    return True


def check(posterior, prior, names, kls):
    """How many pairs were trained and probed."""
    counts = [0, 0]
    for name, kl in itertools.product(names, kls):
        if (vae := vae_of(posterior, prior)) is None or (estimator := made(name, kl)) is None:
            continue
        try:
            counts[0] += trains(vae, estimator)
            vae.zero_grad(set_to_none=True)
            counts[1] += is_probed(vae, estimator)
        except Exception as error:
            raise AssertionError(f"{posterior}, {prior}, {name} with kl={kl}") from error
    return counts


MEETS = {posterior: [p for p in PRIORS if vae_of(posterior, p) is not None] for posterior in POSTERIORS}
FEW = ("Reparameterized", "DReG", "OVIS", "Taylor")


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_every_posterior_and_estimator(posterior):
    trained, probed = check(posterior, MEETS[posterior][0], ESTIMATORS, ["sampled"])
    assert trained >= 5
    assert probed >= 5


@pytest.mark.parametrize("prior", MEETS["gaussian"][1:])
def test_every_prior(prior):
    trained, probed = check("gaussian", prior, FEW, ["sampled"])
    assert trained == 4
    assert probed == (0 if prior == "vamp" else 4)


def test_every_form_of_the_kl_term():
    for posterior, prior in (("gamma", "standard_exponential"), ("categorical", "categorical")):
        check(posterior, prior, ["LAX", "Reparameterized", "REBAR", "ScoreFunction"], ["analytic", "entropy"])


def test_no_estimator_is_missing_from_the_list():
    assert {type(made(name, "sampled")).__name__ for name in ESTIMATORS} == {*estimators.__all__} - {
        "MaximumLikelihood"
    }
