"""The linear VAE on linear-Gaussian data meets the closed-form maximum of probabilistic PCA."""

import pytest
from conftest import DATA  # noqa: F401
from sklearn.decomposition import PCA

from vae_lab.datasets import PPCA


@pytest.mark.slow
@pytest.mark.parametrize("kl", ["analytic", "sampled"])
def test_the_linear_vae_reaches_the_maximum_likelihood(vae_lab, tmp_path, kl):
    import json

    process = vae_lab(
        "train",
        "dataset=ppca",
        "model=linear",
        f"estimator.kl={kl}",
        "optimizer.lr=0.005",
        "trainer.max_epochs=150",
        "trainer.evaluate_at=end",
        "logger=none",
        "hydra.run.dir=run",
    )
    assert process.returncode == 0, process.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]
    data = PPCA().data
    maximum = PCA(n_components=3).fit(data.train.x.numpy()).score(data.test.x.numpy())
    assert metrics["test/elbo"] == pytest.approx(maximum, abs=0.05 * 10)  # 0.05 nats per dimension
    assert metrics["test/log_likelihood"] == pytest.approx(maximum, abs=0.05 * 10)
    assert metrics["test/elbo"] <= metrics["test/log_likelihood"]
    assert metrics["test/exact_log_likelihood"] == pytest.approx(maximum, abs=0.1)
    assert metrics["test/active_units"] == 3


def test_scales_are_the_lengths_of_the_columns():
    data = PPCA(data_dim=6, latent_dim=3, scales=(1.5, 0.5))
    assert data.weight.norm(dim=0).tolist() == pytest.approx([1.5, 1.0, 0.5])
    with pytest.raises(ValueError, match=r"scales must be above 0, got \[1.0, 0.0\]"):
        PPCA(scales=(1.0, 0.0))
