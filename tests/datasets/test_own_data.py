"""A user's own arrays and images, and the datasets that torchvision downloads, in their own formats."""

import os
import pickle
import re
import shutil
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pytest
import torch
from conftest import environment
from hydra import compose, initialize_config_dir
from PIL import EpsImagePlugin, Image

from vae_lab.cli.main import main
from vae_lab.config import schema
from vae_lab.config.instantiate import instantiate
from vae_lab.datasets import Array, ImageFolder
from vae_lab.datasets.array import StoredArray
from vae_lab.datasets.batches import EvaluationBatches, TrainingBatches
from vae_lab.errors import UserError
from vae_lab.files import writing
from vae_lab.files.paths import CONF
from vae_lab.numerics.streamed import StreamedTensor
from vae_lab.runs import signature

SMALL = ["model.encoder.hidden=[8]", "model.decoder.hidden=[8]", "evaluation.importance_samples=5"]
SMALL += ["logger=none", "trainer.max_epochs=2", "dataset.batch_size=20"]


def images(number, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (number, *shape), dtype=np.uint8)


@pytest.fixture
def stored(tmp_path):
    """Bytes in a file, and the same in memory."""
    values = images(50, 4, 3)
    np.save(tmp_path / "x.npy", values)
    (array,) = Array(str(tmp_path / "x.npy"), batch_size=5).arrays.values()
    return array, torch.from_numpy(values)


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_rows_are_read_as_a_tensor_would_be_indexed(stored, num_workers):
    source, values = stored
    rows = StreamedTensor(source, num_workers=num_workers)
    chosen = torch.randperm(50, generator=torch.Generator().manual_seed(0))[:20]
    assert len(rows) == 50
    assert rows.shape == (50, 4, 3)
    assert torch.equal(rows[:], values)
    assert torch.equal(rows[3:7], values[3:7])
    assert torch.equal(rows[chosen], values[chosen])
    some = rows.select(chosen)
    assert torch.equal(some[:], values[chosen])
    assert torch.equal(some.select(torch.tensor([5, 1]))[:], values[chosen][[5, 1]])
    assert rows[50:].shape == rows.select(chosen[:0])[:].shape == (0, 4, 3)
    numbered = some.map(lambda x, numbers: numbers)
    assert numbered[torch.tensor([4, 2])].tolist() == [4, 2]
    assert rows.to(torch.zeros(1, dtype=torch.float64))[:2].dtype == torch.float64
    numbers = list(chosen.split(3))
    found = list(some.map(lambda x, numbers: x + 1).batches(n % 20 for n in numbers))
    assert torch.equal(torch.cat([x for x, _ in found]), values[chosen][chosen % 20] + 1)
    assert torch.equal(torch.cat([n for _, n in found]), chosen % 20)


def test_workers_end_when_nobody_reads_on(stored):
    before = threading.active_count()
    batches = StreamedTensor(stored[0], num_workers=3).batches(torch.arange(50).split(2))
    next(batches)
    assert before < threading.active_count() <= before + 3
    batches.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("binarize", ["none", "dynamic", "fixed", "threshold"])
def test_batches_from_disk_equal_those_from_memory(tmp_path, binarize):
    np.save(tmp_path / "x.npy", images(60, 1, 4, 3))
    on_disk = Array(str(tmp_path / "x.npy"), batch_size=7, binarize=binarize)
    in_memory = Array(str(tmp_path / "x.npy"), batch_size=7, binarize=binarize)
    loaded = in_memory.load()
    in_memory.load = lambda: type(loaded)(*(part._replace(x=part.x[:]) for part in loaded))
    assert isinstance(on_disk.data.train.x, StreamedTensor)
    assert isinstance(in_memory.data.train.x, torch.Tensor)
    for part in ("validation", "test"):
        mine, other = (
            [batch.x for batch in EvaluationBatches(getattr(each.data, part).x, 4)]
            for each in (on_disk, in_memory)
        )
        assert torch.equal(torch.cat(mine), torch.cat(other))
    mine, other = (
        list(TrainingBatches(each.data.train.x, 7, 20, 3, seed=1, redraw=each.redraw, updates_per_batch=2))
        for each in (on_disk, in_memory)
    )
    assert len(mine) == 17
    for a, b in zip(mine, other, strict=True):
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.indices, b.indices)


@pytest.mark.parametrize(
    ("values", "settings", "expected"),
    [
        (images(30, 5), {}, lambda x: x.float() / 255),
        (images(30, 6, 5), {}, lambda x: x.float().unsqueeze(1) / 255),
        (images(30, 3, 6, 5), {"scale": 256.0}, lambda x: x.float() / 256),
        (images(30, 6, 5, 3), {"channels_last": True}, lambda x: x.float().movedim(3, 1) / 255),
        (np.linspace(-1, 1, 90).reshape(30, 3), {}, lambda x: x.float()),
        (np.arange(90).reshape(30, 3), {"scale": 2.0}, lambda x: x.float() / 2),
        (images(30, 5) > 100, {}, lambda x: x.float()),
        (np.linspace(-1, 1, 90).reshape(30, 3).astype(">f4"), {}, lambda x: x.float()),
    ],
    ids=["bytes", "grey", "colour", "channels last", "floats", "integers", "booleans", "big endian"],
)
def test_what_an_array_can_be(tmp_path, values, settings, expected):
    np.save(tmp_path / "x.npy", values)
    parts = Array(str(tmp_path / "x.npy"), batch_size=5, **settings).data
    assert [len(part.x) for part in parts] == [24, 3, 3]
    native = values.astype(values.dtype.newbyteorder("=")) if values.dtype.kind == "f" else values
    whole = expected(torch.from_numpy(native))
    found = torch.cat([part.x[:] for part in parts])
    assert sorted(found.flatten(1).tolist()) == sorted(whole.flatten(1).tolist())


def test_parts_and_labels_of_an_archive(tmp_path):
    train, test = images(40, 5), images(10, 5, seed=1)
    np.savez(tmp_path / "x.npz", train=train, test=test, train_labels=np.arange(40), test_labels=[7] * 10)
    parts = Array(str(tmp_path / "x.npz"), batch_size=5, validation_size=8).data
    assert [len(part.x) for part in parts] == [32, 8, 10]
    assert torch.equal(parts.test.x[:], torch.from_numpy(test).float() / 255)
    assert torch.equal(parts.train.x[:], torch.from_numpy(train)[parts.train.labels].float() / 255)
    assert sorted([*parts.train.labels.tolist(), *parts.validation.labels.tolist()]) == list(range(40))
    assert parts.test.labels.tolist() == [7] * 10
    far = 2**53 + np.arange(40)
    for name in ("labels", "faces_labels"):
        np.savez(tmp_path / "one.npz", faces=train, **{name: far})
        parts = Array(str(tmp_path / "one.npz"), batch_size=5).data
        assert torch.equal(parts.test.x[:], torch.from_numpy(train)[parts.test.labels - 2**53].float() / 255)


def not_an_array(path):
    path.write_bytes(b"something else")


def truncated(path):
    np.save(path, images(30, 5))
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("x.npy", lambda path: None, "there is no file"),
        ("x.npy", not_an_array, "is no array that numpy has written"),
        ("x.npz", not_an_array, "is no array that numpy has written"),
        ("x.npy", truncated, "is truncated"),
        ("x.npy", lambda path: np.save(path, np.array(["a"])), "must hold numbers"),
        ("x.npy", lambda path: np.save(path, np.zeros((0, 3))), "without data"),
        ("x.npy", lambda path: np.save(path, np.asfortranarray(np.zeros((9, 3)))), "ascontiguousarray"),
        ("x.npy", lambda path: np.save(path, images(9, 6, 5, 3)), "channels_last=true"),
        ("x.npz", lambda path: np.savez_compressed(path, train=images(9, 3)), "numpy.savez instead"),
        ("x.npz", lambda path: np.savez(path, a=images(9, 3), b=images(9, 3)), "must have one array"),
        ("x.npz", lambda path: np.savez(path, train=images(30, 3), test=images(9, 4)), "different shapes"),
        ("x.npz", lambda path: np.savez(path, x=images(30, 3), labels=[1, 2]), "must be 30 integers"),
        (
            "x.npz",
            lambda path: np.savez(path, x=images(9, 3), labels=np.ones(9)),
            "integers, but are float64",
        ),
        (
            "x.npz",
            lambda path: np.savez(path, x=images(9, 3), y_labels=[1]),
            "has y_labels, but no array whose",
        ),
        ("x.npz", lambda path: np.savez(path, train=images(9, 3), test=np.ones((9, 3))), "different types"),
        ("x.npz", lambda path: np.savez(path, x=np.array(3)), "x in .* without data, of shape"),
        ("x.npy", lambda path: np.save(path, images(30)), r"must have the shape .* got \(30,\)"),
        ("x.npy", lambda path: np.save(path, images(9, 2, 3, 4, 5)), "must have the shape"),
        ("x.npy", lambda path: np.save(path, np.full((30, 3), np.nan)), "have no value that is a number"),
        ("x.npy", lambda path: np.save(path, np.full((30, 3), np.inf)), "values that are infinite"),
    ],
)
def test_arrays_that_cannot_be(tmp_path, name, make, message):
    make(tmp_path / name)
    with pytest.raises(UserError, match=message):
        Array(str(tmp_path / name), batch_size=1).setup()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": 0.0}, "scale must be above 0"),
        ({"num_workers": -1}, "num_workers must be at least 0"),
        ({"test_size": 0}, "test_size must leave test data, got 0 of 30"),
        ({"test_size": 0.001}, "test_size must leave test data, got 0.001 of 30"),
        ({"test_size": 30}, "test_size leaves no training data of 30, got 30"),
        ({"test_size": float("inf")}, "test_size must be a share below 1 or a whole number, got inf"),
        ({"validation_size": -0.5}, "validation_size must be a share below 1 or a whole number, got -0.5"),
        ({"validation_size": 1.5}, "validation_size must be a share below 1 or a whole number, got 1.5"),
        ({"validation_size": 0.95}, "validation_size leaves no training data of 30, got 0.95"),
        ({"scale": 100.0, "binarize": "dynamic"}, "binarize=dynamic needs grey values in"),
        ({"batch_size": 25}, "batch_size must be at most 24"),
    ],
)
def test_settings_that_cannot_be(tmp_path, settings, message):
    np.save(tmp_path / "x.npy", images(30, 5) // 2 + 128)
    with pytest.raises(ValueError, match=message):
        Array(str(tmp_path / "x.npy"), **({"batch_size": 5} | settings)).setup()


def test_only_bytes_can_be_dequantized(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((30, 5)))
    with pytest.raises(ValueError, match="dequantize needs the grey levels"):
        Array(str(tmp_path / "x.npy"), dequantize=True)


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, images(30, 5))
    array = StoredArray(path, 128, np.dtype(np.uint8), (30, 5))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match="cannot be read any more"):
        list(StreamedTensor(array, num_workers=2).batches(torch.arange(30).split(5)))


def write_images(folder, number=12, size=(9, 7), seed=0):
    folder.mkdir(parents=True)
    for place, pixels in enumerate(images(number, *size, 3, seed=seed)):
        Image.fromarray(pixels).save(folder / f"{place:02}.png")


def rows_of(folder, **settings):
    """The images in a folder, none of them held out."""
    dataset = ImageFolder(str(folder), **settings)
    return dataset.splits()["train"].x


def test_images_are_scaled_cropped_and_labelled(tmp_path):
    for seed, name in enumerate(("cats", "dogs")):
        write_images(tmp_path / name, seed=seed)
    (tmp_path / "cats" / "notes.txt").write_text("no image")
    (tmp_path / ".hidden").mkdir()
    write_images(tmp_path / ".hidden" / "x")
    data = ImageFolder(str(tmp_path), size=[9, 7], batch_size=5, validation_size=4, test_size=4).data
    assert [tuple(part.x.shape) for part in data] == [(16, 3, 9, 7), (4, 3, 9, 7), (4, 3, 9, 7)]
    x, labels = torch.cat([part.x[:] for part in data]), torch.cat([part.labels for part in data])
    for label in (0, 1):
        stored = torch.from_numpy(images(12, 9, 7, 3, seed=label)).movedim(3, 1) / 255
        assert sorted(x[labels == label].flatten(1).tolist()) == sorted(stored.flatten(1).tolist())
    assert ImageFolder(str(tmp_path), size=4, channels=1, batch_size=5).shape == (1, 4, 4)


def test_nothing_need_be_split_off_for_a_test_part_that_is_there(tmp_path):
    write_images(tmp_path / "train" / "cats", seed=0)
    write_images(tmp_path / "test" / "cats", seed=1)
    data = ImageFolder(str(tmp_path), size=4, batch_size=5, validation_size=2, test_size=0).data
    assert [len(part.x) for part in data] == [10, 2, 12]


def test_an_image_is_cut_at_two_sides_and_turned_upright(tmp_path):
    wide = np.zeros((4, 8, 3), dtype=np.uint8)
    wide[:, 2:6] = 255  # the middle square
    (tmp_path / "a").mkdir()
    Image.fromarray(wide).save(tmp_path / "a" / "wide.png")
    turned = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    turned.save(tmp_path / "a" / "turned.png", exif=exif)
    rows = rows_of(tmp_path / "a", size=4)
    assert rows[1:].min() == 1
    upright = torch.from_numpy(np.rot90(np.asarray(turned), 3).copy()).movedim(2, 0)
    assert torch.equal(rows[:1][0] * 255, upright.float())


def test_a_turned_jpeg_is_not_decoded_too_small(tmp_path):
    pixels = images(1, 16, 512, 3)[0].repeat(8, axis=0)  # 128 x 512, fine along its width
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=95)
    upright = np.asarray(Image.fromarray(np.rot90(pixels, 3)).resize((32, 128), Image.Resampling.BICUBIC))
    found = rows_of(tmp_path, size=[128, 32])[:][0].movedim(0, 2) * 255
    assert (found - torch.from_numpy(upright.copy()).float()).abs().mean() < 20  # of noise, sd 74


def test_what_is_transparent_is_white(tmp_path):
    pixels = images(1, 4, 4, 4)[0]
    pixels[:2, :, 3], pixels[2:, :, 3] = 0, 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = rows_of(tmp_path, size=4)[:][0]
    assert found[:, :2].min() == 1
    assert torch.equal(found[:, 2:] * 255, torch.from_numpy(pixels[2:, :, :3]).movedim(2, 0).float())


def test_folders_of_parts(tmp_path):
    write_images(tmp_path / "train" / "a")
    write_images(tmp_path / "train" / "b")
    write_images(tmp_path / "test" / "b")
    write_images(tmp_path / "validation")
    data = ImageFolder(str(tmp_path), size=4, batch_size=2).data
    assert [len(part.x) for part in data] == [24, 12, 12]
    assert data.train.labels.tolist() == [0] * 12 + [1] * 12
    assert data.test.labels.tolist() == [1] * 12
    assert data.validation.labels is None
    (tmp_path / "validation").rename(tmp_path / "cats")
    with pytest.raises(UserError, match="cats beside train in .* folders must be train, validation and test"):
        ImageFolder(str(tmp_path), size=4).setup()


@pytest.mark.parametrize(
    ("folders", "parts"),
    [
        (["training", "testing"], ["train", "test"]),
        (["Train", "Test"], ["train", "test"]),
        (["TRAIN", "val", "Eval"], ["train", "validation", "test"]),
        (["train2017", "val2017", "test2017"], ["train", "validation", "test"]),
        (["training_set", "dev_set", "test_set"], ["train", "validation", "test"]),
        (["imagesTr", "imagesTs"], ["train", "test"]),
    ],
)
def test_usual_names_of_parts(tmp_path, folders, parts):
    for number, folder in enumerate(folders, start=3):
        write_images(tmp_path / folder / "a", number)
    dataset = ImageFolder(str(tmp_path), size=4)
    found = dataset.splits()
    assert {part: len(split.x) for part, split in found.items()} == dict(zip(parts, (3, 4, 5), strict=False))
    taken = ", ".join(f"{folder} is {part}" for folder, part in zip(folders, parts, strict=True))
    assert dataset.notes == [f"dataset.path: by their names, {taken}"]


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["train", "Training", "test"], "Training, train in .* look like one part, train; leave one there"),
        (["train", "eval", "test"], "eval, test in .* look like one part, test"),
        (["test", "val"], "test, val in .* looks like a part, and no folder like the training part"),
        (["cats", "testing"], "testing in .* looks like a part, .* put classes into one folder named train"),
        (
            ["bus", "train"],
            "bus beside train in .* would be left out; .* put classes into one folder named",
        ),
        (
            ["trainA", "trainB", "testA"],
            "testA, trainA, trainB in .* look like parts; name them train and test",
        ),
        (["train_cats", "test_cats"], "test_cats, train_cats in .* look like parts"),
        (["cats_train", "cats_test"], "cats_test, cats_train in .* look like parts"),
        (["photos/train", "photos/test"], "look like parts; give dataset.path=.*/photos"),
        (
            ["a/train", "a/test", "b/train"],
            "test, train in .*/a look like parts; name them train and test in",
        ),
    ],
)
def test_what_looks_like_parts_is_never_split_as_classes(tmp_path, folders, message):
    for folder in folders:
        write_images(tmp_path / folder, 2)
    with pytest.raises(UserError, match=message):
        ImageFolder(str(tmp_path), size=4).splits()


def test_classes_that_are_no_parts(tmp_path):
    names = ["attest", "bullet_train", "devices", "tracks", "trains", "valves"]
    for name in names:
        write_images(tmp_path / name, 2)
    dataset = ImageFolder(str(tmp_path), size=4)
    assert dataset.splits()["train"].labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert dataset.notes == []


def test_what_lies_beside_parts(tmp_path):
    write_images(tmp_path / "train", 3)
    (tmp_path / "annotations").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "preview.png")
    dataset = ImageFolder(str(tmp_path), size=4)
    assert len(dataset.splits()["train"].x) == 3
    assert dataset.notes == ["dataset.path: images beside train are left out: 1"]
    (tmp_path / "Test").mkdir()
    with pytest.raises(UserError, match="there are no images in .*Test"):
        dataset.splits()


@pytest.mark.parametrize("output", ["outputs", "."])
def test_results_in_the_folder_are_no_data(tmp_path, monkeypatch, capsys, output):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "photos"
    write_images(folder / "a", 30)
    write_images(folder / "b", 30, seed=1)
    monkeypatch.chdir(folder)
    before, names = content_of(folder), writing.image_files(folder)
    words = ["dataset=image_folder", "dataset.path=.", "dataset.size=4", "model/likelihood=gaussian", *SMALL]
    for printed in ("test ELBO", "done already"):
        writing.content.cache_clear()
        main(["train", *words, f"output_dir={output}"])
        assert printed in capsys.readouterr().out
    (run,) = (folder / output / "runs").iterdir()
    assert list(run.rglob("*.png"))
    for others in ("wandb", "sweeps/mine"):
        (folder / others).mkdir(parents=True)
        Image.new("L", (4, 4)).save(folder / others / "figure.png")
    (folder / "sweeps" / "mine" / ".vae_lab.json").touch()
    assert content_of(folder) == before
    assert writing.image_files(folder) == names


def test_linked_folders_are_part_of_the_data_and_of_their_content(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_images(tmp_path / "elsewhere" / "a")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "a" / "again").symlink_to(tmp_path / "elsewhere")  # a circle
    data = ImageFolder(str(tmp_path / "data"), size=4, batch_size=2).data
    assert [len(part.x) for part in data] == [10, 1, 1]
    first = content_of(tmp_path / "data")
    assert first is not None
    (tmp_path / "elsewhere" / "a" / "00.png").unlink()
    assert content_of(tmp_path / "data") not in (None, first)


def content_of(path):
    writing.content.cache_clear()  # as in a new process
    return writing.content(str(path))


def test_an_image_is_handed_to_no_other_program(tmp_path, monkeypatch):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("called"))
    Image.new("RGB", (9, 7)).save(tmp_path / "x.eps")
    (tmp_path / "x.eps").rename(tmp_path / "x.png")
    with pytest.raises(UserError, match="x.png cannot be read as an image"):
        rows_of(tmp_path, size=4)[:]


@pytest.mark.parametrize("what", ["truncated", "text", "sixteen bits"])
def test_an_image_that_cannot_be_read_is_named(tmp_path, what):
    write_images(tmp_path / "a")
    bad = tmp_path / "a" / "05.png"
    if what == "truncated":
        bad.write_bytes(bad.read_bytes()[:60])
    elif what == "text":
        bad.write_text("no image")
    else:
        Image.fromarray(np.zeros((4, 4), dtype=np.uint16)).save(bad)
    with pytest.raises(
        UserError,
        match=r"05.png (cannot be read as an image .* take it out|has more than 256 grey levels)",
    ):
        rows_of(tmp_path, size=4)[:]


def test_a_folder_without_images(tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        ImageFolder(str(tmp_path / "nowhere")).setup()
    with pytest.raises(UserError, match="there are no images"):
        ImageFolder(str(tmp_path)).setup()


def signature_of(*overrides):
    writing.content.cache_clear()  # as in a new process
    schema.register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return signature.signature(compose("train", list(overrides)))


def test_the_signature_follows_the_content(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    here, there, folder = tmp_path / "x.npy", tmp_path / "other.npy", tmp_path / "images"
    np.save(here, images(30, 5))
    shutil.copy(here, there)
    first = signature_of("dataset=array", f"dataset.path={here}")
    assert signature_of("dataset=array", f"dataset.path={there}") == first
    assert signature_of("dataset=array", f"dataset.path={here}", "dataset.num_workers=0") == first
    np.save(here, images(30, 5, seed=1))
    assert signature_of("dataset=array", f"dataset.path={here}") != first
    write_images(folder)
    of_images = ["dataset=image_folder", f"dataset.path={folder}"]
    first = signature_of(*of_images)
    (folder / "notes.txt").write_text("no image")
    assert signature_of(*of_images) == first
    (folder / "00.png").rename(folder / "99.png")
    renamed = signature_of(*of_images)
    Image.fromarray(images(1, 9, 7, 3, seed=9)[0]).save(folder / "99.png")
    assert len({first, renamed, signature_of(*of_images)}) == 3


def test_data_of_unknown_content_are_known_by_their_place():
    def of(*words):
        return signature_of("dataset._target_=mine.Data", *words)

    assert of("+dataset.root=a") != of("+dataset.root=b")
    assert of("+dataset.path=a") != of("+dataset.path=b")
    with_files = ["+dataset.files={x: 0}"]
    assert of("+dataset.root=a", *with_files) == of("+dataset.root=b", *with_files)


def test_content_is_looked_at_once_for_each_size_and_time(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "x.npy"
    np.save(path, images(30, 5))
    looked_at = []
    monkeypatch.setattr(writing, "checksum", lambda path: looked_at.append(path) or str(len(looked_at)))
    for _ in range(2):
        assert content_of(path) == "1"
    np.save(path, images(31, 5))
    assert content_of(path) == "2"
    for number, broken in enumerate(("{broken", "[]", "null", '{"x": 3}', f'{{"{path!s}": []}}'), start=3):
        (tmp_path / "cache" / "vae_lab" / "checksums.json").write_text(broken)
        assert content_of(path) == str(number)
    stamp = os.stat(path)
    np.save(path, images(31, 5, seed=1))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # as a copy that keeps the time
    assert content_of(path) == "8"
    writing.content.cache_clear()


@pytest.mark.slow
def test_a_run_on_an_array_continues_and_is_evaluated(vae_lab, tmp_path):
    np.savez(tmp_path / "x.npz", train=images(200, 6, 5), test=images(40, 6, 5))
    array = ["dataset=array", "dataset.path=x.npz", "dataset.binarize=dynamic", *SMALL]
    assert vae_lab("train", *array, "output_dir=whole").returncode == 0
    assert vae_lab("train", *array, "trainer.max_epochs=1").returncode == 0
    continued = vae_lab("train", *array, "dataset.num_workers=0")
    assert continued.returncode == 0, continued.stderr
    (whole,) = (tmp_path / "whole" / "runs").iterdir()
    runs = (whole, tmp_path / "outputs" / "runs" / whole.name)
    states = [torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for run in runs]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    run = f"run='{whole.name}'"
    measured = vae_lab("evaluate", run, "measures.importance_samples=[5]", "logger=none")
    assert measured.returncode == 0, measured.stderr
    assert "of 8" in measured.stdout
    np.savez(tmp_path / "x.npz", train=images(200, 6, 5, seed=1), test=images(40, 6, 5))
    changed = vae_lab("evaluate", run, "measures.importance_samples=[6]", "logger=none")
    assert changed.returncode != 0
    assert "where there is something else now" in changed.stderr
    (tmp_path / "x.npz").unlink()
    gone = vae_lab("evaluate", run, "measures.importance_samples=[6]", "logger=none")
    assert "where there is nothing now" in gone.stderr


@pytest.mark.slow
def test_an_unfinished_run_does_not_continue_on_other_data(vae_lab, tmp_path):
    array = ["train", "dataset=array", "dataset.path=x.npy", *SMALL, "hydra.run.dir=here"]
    np.save(tmp_path / "x.npy", images(100, 5))
    assert vae_lab(*array).returncode == 0
    (tmp_path / "here" / "metrics.json").unlink()  # as if it had been interrupted
    before = (tmp_path / "here" / "checkpoints" / "last.ckpt").read_bytes()
    np.save(tmp_path / "x.npy", images(100, 5, seed=1))
    other = vae_lab(*array, "trainer.max_epochs=3")
    assert other.returncode == 1
    assert "holds an unfinished run of another configuration, or of other data" in other.stderr
    assert (tmp_path / "here" / "checkpoints" / "last.ckpt").read_bytes() == before
    assert vae_lab(*array, "rerun=true").returncode == 0


@pytest.mark.parametrize("path", ["null", "5"])
def test_a_path_that_is_none(vae_lab, path):
    process = vae_lab("train", "dataset=array", f"dataset.path={path}")
    assert process.stderr.startswith("vae-lab train: dataset.path must be str, got")


@pytest.mark.slow
def test_a_run_on_images(vae_lab, tmp_path):
    for name in ("a", "b"):
        write_images(tmp_path / "images" / name, number=100)
    folder = ["dataset=image_folder", "dataset.path=images", "dataset.size=8", *SMALL]
    done = vae_lab("train", *folder, "model/likelihood=discretized_logistic")
    assert done.returncode == 0, done.stderr
    (tmp_path / "images" / "a" / "07.png").write_text("no image")
    broken = vae_lab("train", *folder, "model/likelihood=discretized_logistic")
    assert broken.returncode == 1
    assert re.search(r"07.png cannot be read as an image .* take it out", broken.stderr)
    assert "Traceback" not in broken.stderr


@pytest.mark.slow
def test_memory_does_not_grow_with_the_data(tmp_path):
    peaks = []
    for number in (5_000, 500_000):
        np.lib.format.open_memmap(tmp_path / f"{number}.npy", "w+", np.uint8, (number, 28, 28))
        command = [
            sys.executable,
            "-m",
            "vae_lab",
            "train",
            "dataset=array",
            f"dataset.path={number}.npy",
        ]
        command += ["trainer.max_samples=50000", "dataset.validation_size=500", "dataset.test_size=500"]
        measured = (
            "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]); "
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(done.returncode)"
        )
        done = subprocess.run(
            [sys.executable, "-c", measured, *command, *SMALL[:-2]],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout.split()[-1]) / 1024)
    megabytes = 500_000 * 28 * 28 / 2**20
    assert peaks[1] - peaks[0] < 0.15 * megabytes, peaks  # their order takes 16 bytes a datum


def small_cifar10(root):
    """CIFAR-10's files with few images; gives their checksums."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    for seed, name in enumerate(names):
        batch = {"data": images(20, 3 * 32 * 32, seed=seed), "labels": [seed] * 20}
        (folder / name).write_bytes(pickle.dumps(batch))
    return {f"{folder.name}/{name}": writing.checksum(folder / name, "md5") for name in names}


def small_omniglot(root):
    """OMNIGLOT's archives and what is in them, with few images; gives the checksums of the archives."""
    folder, checksums = root / "omniglot-py", {}
    for part, alphabets in {"images_background": ("Greek", "Latin"), "images_evaluation": ("Ge_ez",)}.items():
        for alphabet in alphabets:
            for character in ("character01", "character02"):
                place = folder / part / alphabet / character
                place.mkdir(parents=True)
                for number in range(10):
                    pixels = images(1, 105, 105, seed=number)[0] > 40
                    Image.fromarray(pixels).save(place / f"0001_{number:02}.png")
        with zipfile.ZipFile(folder / f"{part}.zip", "w") as archive:
            for path in (folder / part).rglob("*.png"):
                archive.write(path, path.relative_to(folder))
        shutil.rmtree(folder / part)
        checksums[f"omniglot-py/{part}.zip"] = writing.checksum(folder / f"{part}.zip", "md5")
    return checksums


def dataset(name, root, checksums, *overrides):
    schema.register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(
            "train", [f"dataset={name}", f"dataset.root={root}", "dataset.batch_size=10", *overrides]
        )
    cfg.dataset.files = checksums
    return instantiate(cfg.dataset, "dataset")


def test_cifar10_in_its_own_format(tmp_path):
    data = dataset("cifar10", tmp_path, small_cifar10(tmp_path), "dataset.validation_size=30").data
    assert [tuple(part.x.shape) for part in data] == [(70, 3, 32, 32), (30, 3, 32, 32), (20, 3, 32, 32)]
    stored = torch.from_numpy(images(20, 3, 32, 32, seed=5)).float() / 255
    assert torch.equal(data.test.x, stored)
    assert data.test.labels.tolist() == [5] * 20
    assert sorted(set(data.train.labels.tolist())) == [0, 1, 2, 3, 4]


class Touches:
    """An object whose pickle runs a program when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_batch_of_cifar10_runs_nothing(tmp_path):
    of_files = small_cifar10(tmp_path)
    first = next(iter(of_files))
    (tmp_path / first).write_bytes(pickle.dumps({"data": Touches(tmp_path / "executed"), "labels": []}))
    of_files[first] = writing.checksum(tmp_path / first, "md5")  # which a stranger's configuration may name
    with pytest.raises(ValueError, match=r"files must hold arrays alone, got posix\.system"):
        dataset("cifar10", tmp_path, of_files).setup()
    assert not (tmp_path / "executed").exists()


def test_omniglot_in_its_own_format(tmp_path):
    of_files = small_omniglot(tmp_path)
    data = dataset("omniglot", tmp_path, of_files, "dataset.validation_size=10", "dataset.binarize=none").data
    assert [tuple(part.x.shape) for part in data] == [(30, 1, 28, 28), (10, 1, 28, 28), (20, 1, 28, 28)]
    assert 0.1 < data.test.x.mean() < 0.2  # the strokes, 41 of 256 pixels, are 1
    assert sorted(set(data.train.labels.tolist())) == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["cifar10", "omniglot"])
def test_files_that_are_not_what_torchvision_has(tmp_path, name):
    of_files = {"cifar10": small_cifar10, "omniglot": small_omniglot}[name](tmp_path)
    first = next(iter(of_files))
    with pytest.raises(ValueError, match=f"{first} is truncated or corrupt: its MD5 is not"):
        dataset(name, tmp_path, of_files | {first: "0" * 32}).setup()
    (tmp_path / first).unlink()
    with pytest.raises(FileNotFoundError, match=f"{first} is not in .* set VAE_LAB_DATA"):
        dataset(name, tmp_path, of_files, "dataset.download=false").setup()
