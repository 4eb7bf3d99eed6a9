"""Figures 2 and 3 of Monte Carlo Gradient Estimation in Machine Learning (Mohamed et al., 2020)."""

import json
import math

import polars as pl
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from vae_lab.applications.gradients.figures import variance as gradients
from vae_lab.config import schema
from vae_lab.config.instantiate import instantiate
from vae_lab.files.paths import CONF
from vae_lab.models.vae import Batch
from vae_lab.noise import NoiseSource
from vae_lab.probe import Probe
from vae_lab.reproductions import exact_variances as exact
from vae_lab.reproductions.mohamed2020.crossings import GROUPS, VARIANCES, crossings, exact_variance
from vae_lab.reproductions.mohamed2020.figures import figures2_and_3
from vae_lab.sweep import manifest
from vae_lab.sweep.table import Results
from vae_lab.training.build import build_run
from vae_lab.training.settings import Settings

PARTS = {"variance": 1.01, "variance_low": 0.99, "variance_high": 1.03}
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
    """Ten thousand means of 250 samples know a variance to 1.4 %; the coefficient costs 40 / K more."""
    schema.register_schemas()
    overrides = ["model=mohamed2020", f"model.likelihood.function={function}", f"model.likelihood.k={k}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("gradients", ["dataset=ppca", *overrides, "estimators=mohamed2020", "num_samples=250"])
    vae = build_run(Settings.of(cfg_of_training(cfg)), CONF).vae
    batch = Batch(torch.zeros(100, 10), torch.arange(100))
    probe = Probe(vae, batch, NoiseSource(1), num_replicates=100, chunk=5, minibatch=False)
    estimators = {name: instantiate(cfg.estimators[name], name) for name in cfg.estimators}
    rows = {(row.estimator, row.group): row for row in probe.measure(estimators)}
    for name in VARIANCES:
        for parameter, group in {"mean": "outputs.mean", "std": "outputs.log_std"}.items():
            row, expected = rows[name, group], exact_variance(name, function, parameter, k)
            error = 250 * (row.variance_high - row.variance_low) / (2 * 1.96)
            assert error < 0.03 * expected
            more = 0.16 if name == "optimal_scaling" else 0.0
            assert -4 * error < 250 * row.variance - expected < 4 * error + more * expected, (name, group)
            assert abs(row.bias_z) < 5


def cfg_of_training(cfg):
    return OmegaConf.masked_copy(cfg, [key for key in schema.TrainConfig.__dataclass_fields__ if key in cfg])


def measurement(directory, function, k):
    """Results as of `vae-lab gradients`, of means of 10 samples whose variances are 1 % too high."""
    rows = [
        {"estimator": name, "group": group, "num_samples": 10}
        | {key: part * exact_variance(name, function, parameter, k) / 10 for key, part in PARTS.items()}
        for name in VARIANCES
        for parameter, group in GROUPS.items()
    ]
    directory.mkdir()
    pl.DataFrame(rows).write_parquet(directory / "gradients.parquet")
    config = {"model.likelihood.function": function, "model.likelihood.k": k}
    (directory / "metrics.json").write_text(json.dumps({"metrics": {}, "config": config}))
    return manifest.Entry({"cost": f"{function}_{k}"}, directory)


def test_the_figure_and_the_table_of_crossings(tmp_path):
    points = [("quadratic", -1), ("quadratic", -0.8), ("cosine", 1.0), ("cosine", 1.1), ("bell", 0.5)]
    entries = [measurement(tmp_path / f"{function}{k}", function, k) for function, k in points]
    entries.append(manifest.Entry({"cost": "bell_9"}, tmp_path / "not run yet"))
    of = manifest.Manifest("", "", "gradients", "mohamed2020", "", {"cost": "scientific"}, entries, {})
    assert len(figures2_and_3(Results(of, pl.DataFrame(), pl.DataFrame(), [], []), tmp_path)) == 4
    found = {row["published"]: row for row in pl.read_csv(tmp_path / "crossings.csv").to_dicts()}
    for near in (-0.913, 1.063, 1.062):
        assert found[near]["exact"] == pytest.approx(near, rel=0.02)
        assert found[near]["measured"] == pytest.approx(near, rel=0.02)
    assert found[2.913]["measured"] is None
    assert "| cos kx | μ | pathwise and score function | 1.063 |" in (tmp_path / "crossings.md").read_text()
    variances = pl.read_csv(tmp_path / "variances.csv")
    assert (variances["variance"] / variances["exact"]).to_list() == pytest.approx(
        [1.01] * len(variances), rel=1e-4
    )
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_an_estimator_is_one_line_against_training_samples(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        gradients, "_line", lambda axes, rows, *others: drawn.append(rows["samples"].to_list())
    )
    columns = {"variance_low": 1.0, "variance_high": 2.0, "variance": 1.5, "group": "encoder", "seed": 0}
    rows = [columns | {"estimator": name, "samples": at, "latent_dim": 1} for name in "ab" for at in (0, 9)]
    gradients.draw_against_sizes(pl.DataFrame(rows), "samples", tmp_path / "figure.png")
    assert drawn == [[0, 9], [0, 9]]
