"""Files as people have them: each is read rightly, or refused with the option that reads it."""

import re

import numpy as np
import polars as pl
import pytest
import torch
from conftest import composed
from omegaconf import open_dict
from PIL import Image

from vae_lab.datasets import Array, ImageFolder, Table
from vae_lab.errors import UserError
from vae_lab.runs.signature import signature

QUICK = ["logger=none", "trainer.max_samples=200", "trainer.evaluate_at=end", "trainer.progress=false"]


def numbers(*shape):
    return np.random.default_rng(0).random(shape)


def test_archives_of_keras(tmp_path):
    x, y = (numbers(60, 4, 4) * 255).astype(np.uint8), np.arange(60) % 3
    np.savez(tmp_path / "k.npz", x_train=x[:50], y_train=y[:50], x_test=x[50:], y_test=y[50:])
    data = Array(str(tmp_path / "k.npz"), batch_size=5, validation_size=0).data
    assert torch.equal(data.train.x[:], torch.from_numpy(x[:50]).float().unsqueeze(1) / 255)
    assert data.test.labels.tolist() == y[50:].tolist()
    assert len(data.validation.x) == 0


def test_arrays_of_any_name_by_keys(tmp_path):
    x = numbers(60, 5).astype(np.float32)
    np.savez(tmp_path / "k.npz", a=x[:40], b=x[40:], c=np.arange(40), other=np.zeros(3))
    keys = {"train": "a", "test": "b", "train_labels": "c"}
    data = Array(str(tmp_path / "k.npz"), batch_size=5, keys=keys, validation_size=0.25).data
    assert [len(part.x) for part in data] == [30, 10, 20]
    assert torch.equal(data.test.x[:], torch.from_numpy(x[40:]))
    assert torch.equal(data.train.x[:], torch.from_numpy(x)[data.train.labels])
    with pytest.raises(
        UserError, match=re.escape("say which are data and which are labels, as by dataset.keys={")
    ):
        Array(str(tmp_path / "k.npz"))
    with pytest.raises(UserError, match="dataset.keys: trian is none of .* did you mean train"):
        Array(str(tmp_path / "k.npz"), keys={"trian": "a"})
    with pytest.raises(UserError, match="dataset.keys.train: .* has no array aa; did you mean a"):
        Array(str(tmp_path / "k.npz"), keys={"train": "aa"})


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ((numbers(60, 4, 4) * 255).astype(np.float32), "dataset.scale=255"),
        ((numbers(60, 4, 4) * 65535).astype(np.uint16), "dataset.scale=65535"),
        ((numbers(60, 4, 4) * 70000).astype(np.int32), "dataset.scale=69"),
    ],
    ids=["floats to 255", "16 bits", "more"],
)
def test_a_hint_at_a_scale_ends_in_a_run(values, hint, vae_lab, tmp_path):
    np.save(tmp_path / "x.npy", values)
    words = ["dataset=array", "dataset.path=x.npy", "dataset.batch_size=10", *QUICK]
    refused = vae_lab("train", *words)
    assert refused.returncode == 1
    assert hint in refused.stderr
    scale = re.search(r"dataset\.scale=[\d.]+", refused.stderr)[0]
    for more in ([scale], [scale, "model/likelihood=gaussian"]):
        done = vae_lab("train", *words, *more)
        assert done.returncode == 0, done.stderr


def test_images_of_16_bits_keep_them(tmp_path):
    (tmp_path / "deep").mkdir()
    levels = (numbers(6, 8, 8) * 65535).astype(np.uint16)
    for place, image in enumerate(levels):
        Image.fromarray(image).save(tmp_path / "deep" / f"{place}.png")
    with pytest.raises(UserError, match="more than 256 grey levels; pass dataset.bits=16 dataset.channels=1"):
        ImageFolder(str(tmp_path / "deep"), size=8, channels=1).splits()["train"].x[:]
    x = ImageFolder(str(tmp_path / "deep"), size=8, channels=1, bits=16).splits()["train"].x[:]
    assert torch.allclose(x, torch.from_numpy(levels.astype(np.float32)).unsqueeze(1) / 65535)
    with pytest.raises(ValueError, match="bits=16 is for grey images, channels=1, got channels=3"):
        ImageFolder(str(tmp_path / "deep"), bits=16)


def test_no_page_of_a_file_is_lost_silently(tmp_path):
    (tmp_path / "pages").mkdir()
    values = (numbers(4, 3, 6, 6) * 255).astype(np.uint8)
    for place, stack in enumerate(values):
        first, *others = map(Image.fromarray, stack)
        first.save(tmp_path / "pages" / f"{place}.tif", save_all=True, append_images=others)
    folder = {"path": str(tmp_path / "pages"), "size": 6, "channels": 1}
    with pytest.raises(UserError, match=r"0.tif has 3 pages; pass dataset.pages=first, or all."):
        ImageFolder(**folder).splits()["train"].x[:]
    first = ImageFolder(**folder, pages="first").splits()["train"].x[:]
    assert torch.equal(first, torch.from_numpy(values[:, :1]).float() / 255)
    every = ImageFolder(**folder, pages="all").splits()["train"].x[:]
    assert torch.equal(every, torch.from_numpy(values.reshape(12, 1, 6, 6)).float() / 255)


@pytest.fixture
def table(tmp_path):
    frame = pl.DataFrame(
        {"a": numbers(50), "b": np.arange(50), "kind": ["x", "y"] * 25, "c": [None, *numbers(49)]}
    )
    frame.write_csv(tmp_path / "t.csv")
    frame.write_csv(tmp_path / "t.tsv", separator="\t")
    frame.write_parquet(tmp_path / "t.parquet")
    return frame


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet"])
def test_a_table_of_numbers(name, table, tmp_path):
    settings = {"path": str(tmp_path / name), "batch_size": 5, "labels": "kind"}
    raw = Table(**settings, standardize=False).splits()["train"]
    expected = table.select(pl.col("a", "b", "c").cast(pl.Float32)).to_numpy()
    assert torch.equal(raw.x.nan_to_num(), torch.from_numpy(expected).nan_to_num())
    assert raw.labels.tolist() == [0, 1] * 25
    dataset = Table(**settings)
    x = dataset.data.train.x
    assert torch.allclose(x.nanmean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(x.square().nanmean(0), torch.ones(3), atol=1e-5)
    assert dataset.incomplete
    assert "standardised" in dataset.notes[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {},
            r"kind in .* hold no numbers; name those that do, .*=\[a, b, c\], or .*labels=kind",
        ),
        ({"columns": ["a", "d"]}, "dataset.columns: .* has no column d"),
        ({"columns": ["kind"]}, "dataset.columns: kind in .* holds String, no numbers"),
        ({"columns": []}, "dataset.columns must name a column of numbers"),
        ({"labels": "knd"}, "dataset.labels: .* has no column knd; did you mean kind"),
        ({"labels": "a", "columns": ["b"]}, "dataset.labels: a must be whole numbers or words, got Float64"),
        ({"path": "t.xlsx"}, "there is no file"),
    ],
)
def test_refusals_of_a_table(settings, message, table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        _ = Table(**{"path": "t.csv", "batch_size": 5, "columns": None, **settings}).data


def test_what_is_no_table_and_what_is_no_array(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n1,2,3\n")
    with pytest.raises(UserError, match="cannot be read as a table"):
        _ = Table(str(tmp_path / "t.csv")).data
    (tmp_path / "e.csv").write_text("a,b\n")
    with pytest.raises(UserError, match="is a table without rows"):
        _ = Table(str(tmp_path / "e.csv")).data
    with pytest.raises(UserError, match="is a table of numbers; use dataset=table"):
        Array(str(tmp_path / "t.csv"))
    (tmp_path / "t.txt").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"must end in .csv, .tsv, .parquet"):
        _ = Table(str(tmp_path / "t.txt")).data


def test_a_run_on_a_table(vae_lab, table):
    words = ["dataset=table", "dataset.path=t.csv", "dataset.columns=[a,b]", "dataset.batch_size=10", *QUICK]
    refused = vae_lab("train", *words)
    assert refused.returncode == 1
    assert "use model/likelihood=gaussian" in refused.stderr
    done = vae_lab("train", *words, "model/likelihood=gaussian")
    assert done.returncode == 0, done.stderr
    assert "standardised by its training part" in done.stdout


def test_keys_that_came_later_leave_signatures_as_they_were():
    words = ["dataset=array", "dataset.path=x.npy"]
    without = composed(*words)
    with open_dict(without):
        del without.dataset["keys"]
    assert signature(without) == signature(composed(*words))
    assert signature(composed(*words)) != signature(composed(*words, "dataset.keys={train: a}"))
