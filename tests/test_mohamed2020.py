"""Figures 2 and 3 of Monte Carlo Gradient Estimation in Machine Learning (Mohamed et al., 2020)."""

import math

import polars as pl
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from tests.test_sweeps import of_sweep
from vae_lab import config
from vae_lab.build import build
from vae_lab.figures import exact_variances as exact
from vae_lab.figures import gradients
from vae_lab.figures.mohamed2020_crossings import VARIANCES, crossings, exact_variance
from vae_lab.noise import NoiseSource
from vae_lab.orchestration.instantiate import instantiate
from vae_lab.paths import CONF
from vae_lab.probe import Probe
from vae_lab.vae import Batch

SETTINGS = [(1.0, 1.0), (-0.7, 0.4), (2.0, 1.7)]


@pytest.mark.parametrize("k", [0.0, 1.5, -3.0])
@pytest.mark.parametrize(("mu", "s"), SETTINGS)
def test_exact_variances_of_a_quadratic_have_closed_forms(mu, s, k):
    of, m = exact.cost("quadratic", k), mu - k
    expected = {
        exact.score_function: (
            m**4 / s**2 + 14 * m**2 + 15 * s**2,
            2 * m**4 / s**2 + 60 * m**2 + 74 * s**2,
        ),
        exact.optimal_baseline: (8 * m**2 + 6 * s**2, 40 * m**2 + 24 * s**2),
        exact.pathwise: (4 * s**2, 4 * m**2 + 8 * s**2),
        exact.measure_valued: (4 * m**2 * (4 - math.pi) / math.pi, 4 * m**2 + 4 * s**2),
    }
    for variance, values in expected.items():
        found = [variance(of, parameter, mu, s) for parameter in ("mean", "std")]
        assert found == pytest.approx(values, rel=1e-5), variance


@pytest.mark.parametrize("k", [0.5, 1, 2, 5])
@pytest.mark.parametrize(("mu", "s"), SETTINGS)
def test_exact_variances_of_a_cosine_have_closed_forms(mu, s, k):
    of, a = exact.cost("cosine", k), k**2 * s**2
    square = (k * math.exp(-a / 2) * math.sin(k * mu)) ** 2
    wave = math.exp(-2 * a) * math.cos(2 * k * mu)
    by_score = (1 + (1 - 4 * a) * wave) / (2 * s**2) - square
    assert exact.score_function(of, "mean", mu, s) == pytest.approx(by_score, rel=1e-6)
    assert exact.pathwise(of, "mean", mu, s) == pytest.approx(k**2 * (1 - wave) / 2 - square, rel=1e-6)


def test_the_measure_valued_variance_of_a_bell():
    """Those of the reference, by another quadrature."""
    found = [exact.measure_valued(exact.cost("bell", k), "mean") for k in (0.1, 1.0, 10.0)]
    assert found == pytest.approx([0.0025, 0.0126, 0.0207], abs=6e-5)


def test_the_lines_cross_where_they_were_published_to_cross():
    points = {
        "quadratic": [-1, -0.8, 2.8, 3],
        "bell": [0.3, 0.4, 0.7, 0.8, 0.9, 1.1],
        "cosine": [1, 1.1, 1.2, 1.3, 1.4],
    }
    rows = [
        {"function": function, "parameter": parameter, "estimator": name, "k": float(k), "variance": value}
        for function, ks in points.items()
        for k in ks
        for parameter in ("mean", "std")
        for name in VARIANCES
        for value in [exact_variance(name, function, parameter, k)]
    ]
    measured = pl.DataFrame(rows).with_columns(
        (0.98 * pl.col("variance")).alias("variance_low"), (1.02 * pl.col("variance")).alias("variance_high")
    )
    found = crossings(measured)
    assert len(found) == 10
    assert found["deviation"].abs().max() < 0.002
    assert (found["measured"] / found["exact"] - 1).abs().max() < 0.01  # a line between two points
    assert found["standard_error"].is_between(0.001, 0.03).all()
    assert set(crossings(measured.filter(pl.col("k") > 1.1))["measured"].is_null()) == {True, False}


@pytest.mark.parametrize(("function", "k"), [("quadratic", 0.0), ("bell", 1.0), ("cosine", 2.0)])
def test_the_estimators_have_the_exact_variances(function, k):
    """Twenty thousand means of 250 samples know a variance to 1 %; the coefficient costs 40 / K more."""
    config.register()
    overrides = ["model=mohamed2020", f"model.likelihood.function={function}", f"model.likelihood.k={k}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("gradients", ["dataset=ppca", *overrides, "estimators=mohamed2020", "num_samples=250"])
    vae = build(cfg_of_training(cfg), CONF).vae
    batch = Batch(torch.zeros(200, 10), torch.arange(200))
    probe = Probe(vae, batch, NoiseSource(1), num_replicates=100, chunk=5, minibatch=False)
    estimators = {name: instantiate(cfg.estimators[name], name) for name in cfg.estimators}
    rows = {(row.estimator, row.group): row for row in probe.measure(estimators)}
    for name in VARIANCES:
        for parameter, group in {"mean": "outputs.mean", "std": "outputs.log_std"}.items():
            row, expected = rows[name, group], exact_variance(name, function, parameter, k)
            error = 250 * (row.variance_high - row.variance_low) / (2 * 1.96)
            assert error < 0.02 * expected
            more = 0.16 if name == "optimal_scaling" else 0.0
            assert -4 * error < 250 * row.variance - expected < 4 * error + more * expected, (name, group)
            assert abs(row.bias_z) < 5


def cfg_of_training(cfg):
    return OmegaConf.masked_copy(cfg, [key for key in config.TrainConfig.__dataclass_fields__ if key in cfg])


def test_the_sweep_measures_the_crossings(vae_lab, tmp_path):
    process = vae_lab(
        *["sweep", "mohamed2020_figures", "cost=quadratic_2.8,quadratic_3", "logger=none"],
        *["num_samples=100", "probe.num_replicates=100"],
    )
    assert process.returncode == 0, process.stderr
    folder = of_sweep(tmp_path)
    found = {row["published"]: row for row in pl.read_csv(folder / "crossings.csv").to_dicts()}
    row = found[2.913]
    assert row["exact"] == pytest.approx(2.913, rel=0.02)
    assert abs(row["measured"] - row["exact"]) < 5 * row["standard_error"]
    assert row["standard_error"] < 0.03
    assert found[0.869]["measured"] is None
    assert "measure-valued" in (folder / "crossings.md").read_text()
    assert (folder / "figure.png").stat().st_size > 10_000


def test_an_estimator_is_one_line_against_training_samples(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        gradients, "_line", lambda axes, rows, *others: drawn.append(rows["samples"].to_list())
    )
    columns = {"variance_low": 1.0, "variance_high": 2.0, "variance": 1.5, "group": "encoder", "seed": 0}
    rows = [columns | {"estimator": name, "samples": at, "latent_dim": 1} for name in "ab" for at in (0, 9)]
    gradients.against(pl.DataFrame(rows), "samples", tmp_path / "figure.png")
    assert drawn == [[0, 9], [0, 9]]
