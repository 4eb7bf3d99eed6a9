"""A trained model in Python."""

import subprocess
import sys

import pytest
import torch

import vae_lab as package
from vae_lab.errors import UserError

QUICK = ["trainer.max_samples=2000", "logger=none", "model.latent_dim=3"]
KINDS = {
    "vae": [],
    "two_layers": ["model=burda2016_two_layers", "estimator.kl=sampled", "logger=none", *QUICK[:1]],
    "mixture": ["model/prior=gaussian_mixture", "estimator.kl=sampled", *QUICK],
    "table": ["model/encoder=per_datum", "evaluation.fit.num_steps=20", "trainer.evaluate_at=end", *QUICK],
    "chains": ["estimator=monte_carlo_em", "model/encoder=none", "evaluation=marginal_likelihood", *QUICK],
    "autoencoder": ["estimator=autoencoder", *QUICK],
    "alternative": ["model=bernoulli_mixture", "model.num_components=4", "logger=none"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("trained")


@pytest.fixture(scope="module")
def trained(command_line, folder):
    """Gives a trained model of a kind, made once."""
    models = {}

    def make(kind):
        if kind not in models:
            words = KINDS[kind] or QUICK
            done = command_line("train", *words, f"hydra.run.dir={kind}", cwd=folder)
            assert done.returncode == 0, done.stderr
            models[kind] = package.load(folder / kind)
        return models[kind]

    return make


def test_what_a_vae_is_for(trained, folder):
    model = trained("vae")
    test = model.data.test.x
    assert "VAE of run" in repr(model)
    assert not model.model.training
    q = model.encode(test)
    assert q.mean.shape == (360, 3)
    means = model.decode(q.mean)
    assert means.shape == test.shape
    assert torch.equal(model.decode(q.mean.reshape(2, 180, 3)), means.reshape(2, 180, *test.shape[1:]))
    drawn = model.sample(5)
    assert drawn.shape == (5, 1, 8, 8)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(drawn, model.sample(5))
    assert not torch.equal(drawn, model.sample(5, seed=1))
    scores = model.log_likelihood(test, num_samples=100)
    assert scores.mean().item() == pytest.approx(model.result["metrics"]["test/log_likelihood"], rel=1e-6)
    assert not any(found.requires_grad for found in (scores, q.mean, means))
    by_signature = package.load(model.result["signature"], output_dir=_with_runs(folder))
    assert torch.equal(by_signature.sample(5), drawn)


def _with_runs(folder):
    (folder / "runs").mkdir()
    signature = package.load(folder / "vae").result["signature"]
    (folder / "runs" / signature).symlink_to(folder / "vae")
    return folder


def test_temperature(trained):
    vae = trained("vae")
    assert torch.allclose(vae.sample_prior(4, temperature=0.5), 0.5 * vae.sample_prior(4))
    with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
        vae.sample_prior(4, temperature=0)
    assert trained("mixture").sample_prior(4).shape == (4, 3)
    with pytest.raises(ValueError, match="temperature must be 1 for GaussianMixture"):
        trained("mixture").sample_prior(4, temperature=0.5)


def test_two_layers(trained):
    model = trained("two_layers")
    z = model.sample_prior(6)
    assert z.shape == (6, 150)
    assert model.decode(z).shape == (6, 1, 8, 8)
    assert model.encode(model.data.test.x[:4]).mean.shape == (4, 150)


def test_q_that_is_fitted_to_new_data(trained):
    model = trained("table")
    few = model.data.test.x[:20]
    assert model.encode(few).mean.std(0).min() > 0
    assert model.log_likelihood(few, num_samples=10).shape == (20,)


@pytest.mark.parametrize(
    ("kind", "call", "message"),
    [
        (
            "vae",
            lambda model: model.encode(torch.zeros(2, 64)),
            "x must have the shape (B, 1, 8, 8), got (2, 64)",
        ),
        ("vae", lambda model: model.decode(torch.zeros(2, 4)), "z must have 3 numbers per datum, got 4"),
        ("vae", lambda model: model.log_likelihood(model.data.test.x, 0), "num_samples must be at least 1"),
        ("chains", lambda model: model.encode(model.data.test.x), "this model has no q(z|x)"),
        ("chains", lambda model: model.log_likelihood(model.data.test.x), "this model has no q(z|x)"),
        ("autoencoder", lambda model: model.sample(3), "an autoencoder has no p(x)"),
        ("autoencoder", lambda model: model.log_likelihood(model.data.test.x), "an autoencoder has no p(x)"),
        ("alternative", lambda model: model.encode(model.data.test.x), "has no latent variables"),
        ("alternative", lambda model: model.decode(torch.zeros(2, 3)), "has no latent variables"),
    ],
)
def test_what_cannot_be(trained, kind, call, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        call(trained(kind))
    assert message in str(error.value)


def test_models_without_an_encoder_or_without_latent_variables(trained):
    assert trained("chains").sample(3).shape == (3, 1, 8, 8)
    assert trained("autoencoder").encode(trained("autoencoder").data.test.x).mean.shape == (360, 3)
    alternative = trained("alternative")
    scores = alternative.log_likelihood(alternative.data.test.x)
    assert scores.mean().item() == pytest.approx(alternative.result["metrics"]["test/log_likelihood"])
    assert alternative.sample(3).shape == (3, 1, 8, 8)


def test_runs_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match="is neither a run's directory nor a signature"):
        package.load(tmp_path / "nowhere")
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text("{}")
    with pytest.raises(UserError, match="is not the directory of a finished run"):
        package.load(tmp_path)


def test_the_package_imports_nothing_until_it_is_asked():
    words = (
        "import sys, vae_lab; assert 'torch' not in sys.modules; vae_lab.load; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", words], check=True)
    with pytest.raises(AttributeError, match="has no attribute 'lod'"):
        package.lod  # noqa: B018
