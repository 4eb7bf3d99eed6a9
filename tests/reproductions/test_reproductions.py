"""The figures of papers, beside their published curves."""

import json

import numpy as np
import polars as pl
import pytest
import torch
from conftest import of_sweep

from vae_lab.errors import UserError
from vae_lab.figures.manifold import manifold_points
from vae_lab.reproductions import published
from vae_lab.reproductions.kingma2014.figure2 import COMPARED_AT
from vae_lab.reproductions.published_curves import averaged, compare_curves
from vae_lab.trained.load import load_trained

ON_DIGITS = ["dataset=digits", "model.encoder.hidden=[20]", "model.decoder.hidden=[20]"]
SHORT = ["logger=none", "trainer.max_samples=2000", "trainer.evaluate_at=[500,2000]"]


def test_published_curves_hold_what_the_paper_says():
    figure2 = published.published_points("kingma2014_figure2")
    assert figure2.select("dataset", "latent_dim").unique().height == 9
    assert set(figure2["algorithm"]) == {"aevb", "wake_sleep"}
    plateau = figure2.filter(
        pl.col("dataset") == "frey_face",
        pl.col("algorithm") == "wake_sleep",
        pl.col("split") == "test",
        pl.col("training_samples") > 1e6,
    )
    assert plateau["lower_bound_nats"].is_between(565, 573).all()  # for each latent size
    table1 = published.published_points("burda2016_table1")
    assert table1.height == 12
    assert (table1["nll_nats"].is_between(82, 87)).all()
    figure3 = published.published_points("kingma2014_figure3")
    assert set(figure3["algorithm"]) == {"aevb", "wake_sleep", "mcem"}
    assert set(figure3["train_size"]) == {1000, 50000}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "the published numbers .* are missing"),
        ("dataset,latent_dim\nmnist,3\n", "must hold dataset, latent_dim, algorithm"),
        (
            "dataset,latent_dim,algorithm,split,training_samples,lower_bound_nats\nmnist,x,a,b,1,2\n",
            "is malformed",
        ),
        (
            "dataset,latent_dim,algorithm,split,training_samples,lower_bound_nats\nmnist,3,a,b,1,\n",
            "is malformed",
        ),
    ],
)
def test_a_missing_or_malformed_file_is_one_message(tmp_path, text, message):
    if text is not None:
        (tmp_path / "kingma2014").mkdir()
        (tmp_path / "kingma2014" / "figure2.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        published.published_points("kingma2014_figure2", tmp_path)


def curve(values, algorithm="aevb", split="test"):
    samples = [1e5, 1e6, 1e7]
    return pl.DataFrame(
        {
            "dataset": "mnist",
            "latent_dim": 3,
            "algorithm": algorithm,
            "split": split,
            "training_samples": samples[: len(values)],
            "lower_bound_nats": values,
        }
    )


def test_the_comparison_is_made_where_both_curves_are():
    ours = pl.concat([curve([-200.0, -150.0]), curve([-210.0, -160.0], split="train_running")])
    theirs = pl.concat([curve([-190.0, -153.0, -138.0]), curve([-220.0, -155.0, -139.0], split="train")])
    table = compare_curves(ours, theirs, COMPARED_AT, {"test": "test", "train_running": "train"}.get)
    assert table.filter(pl.col("split") == "test")["training_samples"].to_list() == [3e5, 1e6]
    assert table.filter(pl.col("training_samples") == 1e6)["difference"].to_list() == [3.0, -5.0]
    between = table.filter(pl.col("split") == "test", pl.col("training_samples") == 3e5)
    assert between["ours"].item() == pytest.approx(np.interp(np.log10(3e5), [5, 6], [-200, -150]))


@pytest.mark.slow
def test_figure_2_takes_the_longer_run_in_place_of_the_shorter(vae_lab, tmp_path, real_data):
    short = [
        "sweep",
        "kingma2014_figure2",
        "panel=frey_face_2",
        *SHORT,
        "trainer.evaluate_at=[500,1000,2000]",
    ]
    longer = vae_lab(*short)
    assert longer.returncode == 0, longer.stderr
    process = vae_lab(*short, "trainer.max_samples=1000", "sweep.anew=true")
    assert process.returncode == 0, process.stderr
    curves = pl.read_csv(of_sweep(tmp_path) / "curves.csv")
    assert set(curves["algorithm"]) == {"aevb", "wake_sleep"}
    assert set(curves["split"]) == {"test", "train", "train_running"}
    assert set(curves["dataset"]) == {"frey_face"}
    for (_, split), ours in curves.group_by("algorithm", "split"):
        assert ours["training_samples"].max() == 2000
        if split != "train_running":
            assert ours["training_samples"].to_list() == [500, 1000, 2000]
    assert (of_sweep(tmp_path) / "figure.png").stat().st_size > 10_000


def test_repeats_of_a_curve_are_averaged():
    table = averaged([curve([-200.0, -150.0]), curve([-100.0, -140.0])])
    assert table["lower_bound_nats"].to_list() == [-150.0, -145.0]


@pytest.mark.slow
def test_figure_3_measures_and_draws_three_algorithms(vae_lab, tmp_path, real_data):
    process = vae_lab(
        *["sweep", "kingma2014_figure3", "panel=mnist_1000", *SHORT],
        *["evaluation.marginal_likelihood.num_data=20", "evaluation.marginal_likelihood.num_starts=100"],
    )
    assert process.returncode == 0, process.stderr
    curves = pl.read_csv(of_sweep(tmp_path) / "curves.csv")
    assert set(curves["algorithm"]) == {"aevb", "wake_sleep", "mcem"}
    assert set(curves["train_size"]) == {1000}
    for _, ours in curves.group_by("algorithm", "split"):
        assert ours["training_samples"].to_list() == [500, 2000]
    assert curves["log_likelihood_nats"].is_between(-600, -100).all()
    assert (of_sweep(tmp_path) / "figure.png").stat().st_size > 10_000
    assert "test/log_likelihood_hmc" in (of_sweep(tmp_path) / "table.md").read_text()


@pytest.mark.slow
def test_figure_5_draws_the_models_that_were_tested(vae_lab, tmp_path):
    process = vae_lab("sweep", "kingma2014_figure5", *SHORT, *ON_DIGITS)
    assert process.returncode == 0, process.stderr
    assert (of_sweep(tmp_path) / "figure.png").stat().st_size > 10_000
    run = next(path.parent for path in tmp_path.glob("outputs/runs/*/metrics.json"))
    trained = load_trained(run)
    stored = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    for name, value in trained.parts.vae.state_dict().items():
        assert torch.equal(value, stored[f"model.{name}"])
    assert dict(trained.result) == json.loads((run / "metrics.json").read_text())
    with pytest.raises(UserError, match="is not the directory of a finished run"):
        load_trained(tmp_path)


def test_a_manifold_runs_through_the_quantiles_of_the_prior():
    points = manifold_points(4)
    cumulative = torch.special.ndtr(points)
    assert points.shape == (16, 2)
    assert torch.allclose(cumulative[:4, 0], torch.tensor([0.125, 0.375, 0.625, 0.875]))
    assert torch.allclose(cumulative[::4, 1], torch.tensor([0.875, 0.625, 0.375, 0.125]))
