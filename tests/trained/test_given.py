"""Data that a user gives to a trained model, and classes that a dataset leaves out."""

import numpy as np
import pytest
import torch
from PIL import Image

from vae_lab.datasets import Array, Digits, ImageFolder
from vae_lab.errors import UserError
from vae_lab.numerics.streamed import StreamedTensor, in_memory
from vae_lab.trained.data import given


def images(number, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (number, *shape), dtype=np.uint8)


def save(folder, values, names):
    for name, image in zip(names, values, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / name)


@pytest.mark.parametrize("binarize", ["none", "dynamic", "fixed", "threshold"])
@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_parts_of_the_runs_own_dataset(part, binarize):
    own = Digits(binarize=binarize)
    found = given("data", part, own)
    measured = own.measured_part(part)
    assert torch.equal(found.split.x, measured.x)
    assert torch.equal(found.split.labels, measured.labels)
    assert (found.name, found.names, found.notes) == (part, None, [])
    if part != "train":
        assert torch.equal(found.split.x, getattr(own.data, part).x)
    if binarize != "none":
        assert set(found.split.x.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("arguments", [{}, {"binarize": "none"}, {"binarize": "none", "dequantize": True}])
def test_another_dataset_is_measured_as_the_runs_own(arguments):
    own = Digits(**arguments)
    found = given("data", "digits", own)
    assert torch.equal(found.split.x, own.data.test.x)
    assert torch.equal(found.split.labels, own.data.test.labels)


def test_another_dataset_with_files(real_data):
    from omegaconf import OmegaConf

    from vae_lab.datasets import MNIST
    from vae_lab.files.paths import CONF

    files = OmegaConf.load(CONF / "dataset" / "mnist.yaml").files
    own = MNIST(root=str(real_data), download=False, files=files)
    found = given("against", "fashion_mnist", own)
    assert found.split.x.shape == (10_000, 1, 28, 28)
    assert found.split.x.unique().tolist() == [0, 1]
    assert found.name == "fashion_mnist"
    with pytest.raises(UserError, match=r"against=digits has data of shape \(1, 8, 8\)"):
        given("against", "digits", own)


@pytest.mark.parametrize("name", ["x.npy", "one.npz", "parts.npz"])
def test_arrays(tmp_path, name):
    x, other = images(7, 8, 8), images(9, 8, 8, seed=1)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "one.npz", anything=x, labels=np.arange(7))
    np.savez(tmp_path / "parts.npz", train=other, test=x, test_labels=np.arange(7))
    found = given("data", str(tmp_path / name), Digits(binarize="none"))
    assert isinstance(found.split.x, StreamedTensor)
    assert torch.equal(in_memory(found.split.x), torch.from_numpy(x).float().div(255).unsqueeze(1))
    assert (found.split.labels is None) == (name == "x.npy")
    if name != "x.npy":
        assert found.split.labels.tolist() == list(range(7))
    assert (found.name, found.names) == (name, None)
    binary = given("data", str(tmp_path / name), Digits()).split.x
    assert set(in_memory(binary).unique().tolist()) == {0.0, 1.0}
    assert torch.equal(binary[3:5], in_memory(binary)[3:5])
    threshold = given("data", str(tmp_path / name), Digits(binarize="threshold")).split.x
    assert torch.equal(in_memory(threshold), (torch.from_numpy(x) > 127).float().unsqueeze(1))


def test_binarised_pixels_have_the_mean_of_the_grey_ones(tmp_path):
    np.save(tmp_path / "x.npy", np.full((2000, 8, 8), 51, np.uint8))
    x = in_memory(given("data", str(tmp_path / "x.npy"), Digits()).split.x)
    error = (0.2 * 0.8 / x.numel()) ** 0.5
    assert abs(x.mean() - 0.2) < 4 * error  # 4 standard errors


def test_arrays_with_the_scale_and_the_channels_of_the_runs_own(tmp_path):
    np.save(tmp_path / "x.npy", images(50, 4, 5, 3))
    own = Array(str(tmp_path / "x.npy"), batch_size=5, scale=100, channels_last=True)
    few = images(3, 4, 5, 3, seed=1)
    np.save(tmp_path / "few.npy", few)
    wanted = torch.from_numpy(few).permute(0, 3, 1, 2) / 100
    assert torch.equal(given("data", str(tmp_path / "few.npy"), own).split.x[:], wanted)
    np.save(tmp_path / "few.npy", few.transpose(0, 3, 1, 2))
    assert torch.equal(given("data", str(tmp_path / "few.npy"), own).split.x[:], wanted)
    save(tmp_path / "own", images(20, 4, 5, 3), [f"{number}.png" for number in range(20)])
    of_images = ImageFolder(str(tmp_path / "own"), size=[4, 5], batch_size=5)
    np.save(tmp_path / "few.npy", few)
    found = given("data", str(tmp_path / "few.npy"), of_images).split.x[:]
    assert torch.equal(found, torch.from_numpy(few).permute(0, 3, 1, 2) / 255)


def test_an_image_and_a_folder_of_images(tmp_path):
    x = images(4, 8, 8)
    save(tmp_path / "flat", x, ["b.png", "a.png", "d.bmp", "c.png"])
    own = Digits(binarize="none")
    found = given("data", str(tmp_path / "flat"), own)
    assert found.names == ["a.png", "b.png", "c.png", "d.bmp"]
    assert torch.equal(found.split.x[:], torch.from_numpy(x[[1, 0, 3, 2]]).float().div(255).unsqueeze(1))
    assert found.split.labels is None
    assert found.name == "flat"
    single = given("data", str(tmp_path / "flat" / "d.bmp"), own)
    assert torch.equal(single.split.x[:], found.split.x[3:])
    assert (single.name, single.names) == ("d.bmp", ["d.bmp"])


def test_folders_within_a_folder_are_classes(tmp_path):
    save(tmp_path / "x", images(4, 8, 8), ["ant/1.png", "cat/1.png", "bee/1.png", "ant/2.png"])
    found = given("data", str(tmp_path / "x"), Digits())
    assert found.names == ["ant/1.png", "ant/2.png", "bee/1.png", "cat/1.png"]
    assert found.split.labels.tolist() == [0, 0, 1, 2]
    save(tmp_path / "x", images(1, 8, 8), ["beside.png"])
    assert given("data", str(tmp_path / "x"), Digits()).split.labels is None


@pytest.mark.parametrize("spoilt", [[0], [2], [0, 1, 3]])
def test_corrupt_images_are_left_out_and_named(tmp_path, spoilt):
    x, names = images(5, 8, 8), [f"{'ab'[number % 2]}/{number}.png" for number in range(5)]
    save(tmp_path / "x", x, names)
    whole = given("data", str(tmp_path / "x"), Digits(binarize="none"))
    before = whole.split.x[:]
    for number in spoilt:
        path = tmp_path / "x" / whole.names[number]
        path.write_bytes(path.read_bytes()[:40])
    found = given("data", str(tmp_path / "x"), Digits(binarize="none"))
    kept = [number for number in range(5) if number not in spoilt]
    assert found.names == [whole.names[number] for number in kept]
    assert torch.equal(found.split.x[:], before[kept])
    assert found.split.labels is None or torch.equal(found.split.labels, whole.split.labels[kept])
    (note,) = found.notes
    assert note.startswith(
        f"data: {len(spoilt)} of 5 images are left out: {whole.names[spoilt[0]]} cannot be"
    )


def test_many_corrupt_images_are_counted(tmp_path):
    save(tmp_path / "x", images(9, 8, 8), [f"{number}.png" for number in range(9)])
    for number in range(1, 9):
        (tmp_path / "x" / f"{number}.png").write_text("")
    (note,) = given("data", str(tmp_path / "x"), Digits()).notes
    assert "8 of 9 images are left out" in note
    assert note.endswith("; and 3 more")


def test_images_of_another_kind(tmp_path):
    save(tmp_path / "x", images(1, 8, 8), ["good.png"])
    save(tmp_path / "x", images(1, 16, 16), ["large.png"])
    save(tmp_path / "x", images(1, 8, 8, 3), ["colour.png"])
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(tmp_path / "x" / "deep.png")
    exact, own = given("data", str(tmp_path / "x"), Digits()), Digits(binarize="none")
    assert exact.names == ["good.png"]
    for words in (
        "colour.png has mode RGB, and the model was trained on grey images (resize=true converts)",
        "large.png has 16x16 pixels, and the model was trained on 8x8 (resize=true scales and crops)",
        "deep.png has more than 256 grey levels",
    ):
        assert words in exact.notes[0]
    resized = given("data", str(tmp_path / "x"), own, resize=True)
    assert resized.names == ["colour.png", "good.png", "large.png"]
    assert resized.split.x[:].shape == (3, 1, 8, 8)
    assert "1 of 4 images" in resized.notes[0]
    folder = ImageFolder(str(tmp_path / "x"), size=8, channels=1, batch_size=1, test_size=1)
    (tmp_path / "x" / "deep.png").unlink()
    assert given("data", str(tmp_path / "x"), folder).names == resized.names  # as its own are


def test_what_cannot_be_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "x.png").write_text("no image")
    (tmp_path / "text.npy").write_text("no array")
    x = np.zeros((3, 8, 8), np.float32)
    np.save("small.npy", x[:, :4])
    np.save("none.npy", x[:0])
    np.save("grey.npy", x + 255)
    np.save("nan.npy", x + np.nan)
    np.savez("two.npz", a=x, b=x)
    np.savez_compressed("packed.npz", a=x)
    for what, message in [
        (
            "tset",
            "data=tset is neither a file, a folder, a part of the run's data (train, validation, test) nor",
        ),
        ("digit", "did you mean digits?"),
        ("left_out", "data=left_out is for a run that was trained without some classes"),
        ("image_folder", "data=image_folder has no path; give the file or the folder itself."),
        ("ppca", "data=ppca has data of shape (10,), and the model was trained on (1, 8, 8)"),
        ("nowhere.npy", f"data: there is no file {tmp_path / 'nowhere.npy'}."),
        ("nowhere.png", f"data: there is no file {tmp_path / 'nowhere.png'}."),
        ("empty", f"data: there are no images in {tmp_path / 'empty'} (files that end in .bmp,"),
        ("broken", "data: no image in broken can be used: x.png cannot be read as an image"),
        ("broken/x.png", "data: x.png cannot be read as an image"),
        ("text.npy", "data: text.npy is no array that numpy has written"),
        ("small.npy", "data=small.npy has data of shape (1, 4, 8), and the model was trained on (1, 8, 8)"),
        ("none.npy", "none.npy"),
        (
            "grey.npy",
            "data=grey.npy has values from 255 to 255, and the model was trained on values in [0, 1]",
        ),
        ("nan.npy", "data=nan.npy has values that are infinite or not a number."),
        ("two.npz", "data: two.npz must have one array, or train, validation and test, but has a, b; say"),
        ("packed.npz", "data: packed.npz is compressed"),
    ]:
        with pytest.raises(UserError) as error:
            given("data", what, Digits())
        assert message in str(error.value), (what, str(error.value))
        assert "\n" not in str(error.value)


def test_an_empty_part_and_images_for_a_model_of_vectors(tmp_path):
    with pytest.raises(UserError, match=r"data=validation has no data\."):
        given("data", "validation", Digits(validation_size=0))
    np.save(tmp_path / "x.npy", images(30, 6))
    save(tmp_path / "x", images(1, 8, 8), ["a.png"])
    with pytest.raises(UserError, match=r"names images, and the model was trained on data of shape \(6,\)"):
        given("data", str(tmp_path / "x"), Array(str(tmp_path / "x.npy"), batch_size=5))


@pytest.mark.parametrize("validation_size", [200, 1, 0])
def test_classes_that_are_left_out(validation_size):
    whole, own = (
        Digits(leave_out=classes, validation_size=validation_size, binarize="none")
        for classes in ([], [3, 8])
    )
    for part, of_whole in zip(own.data, whole.data, strict=True):
        kept = ~torch.isin(of_whole.labels, torch.tensor([3, 8]))
        assert torch.equal(part.x, of_whole.x[kept])
        assert torch.equal(part.labels, of_whole.labels[kept])
    found = given(
        "data", "left_out", Digits(leave_out=[3, 8], validation_size=validation_size, binarize="none")
    )
    of_test = torch.isin(whole.data.test.labels, torch.tensor([3, 8]))
    assert torch.equal(found.split.x, whole.data.test.x[of_test])
    assert set(found.split.labels.tolist()) == {3, 8}


def test_classes_left_out_are_binarised_as_the_test_part():
    own = Digits(leave_out=[0])
    x = given("data", "left_out", own).split.x
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(x, given("data", "left_out", Digits(leave_out=[0])).split.x)


def test_classes_of_a_folder_that_are_left_out(tmp_path):
    names = [f"{'abc'[number % 3]}/{number}.png" for number in range(30)]
    save(tmp_path / "x", images(30, 8, 8), names)
    own = ImageFolder(str(tmp_path / "x"), size=8, channels=1, batch_size=5, leave_out=[2], test_size=0.4)
    assert 2 not in own.data.train.labels
    left = given("data", "left_out", own).split
    assert set(left.labels.tolist()) == {2}
    assert left.x[:].shape == (len(left.labels), 1, 8, 8)


def test_classes_that_cannot_be_left_out(tmp_path):
    with pytest.raises(
        ValueError, match=r"leave_out must be among the classes of the data, \[0, 1, .*got \[11\]"
    ):
        Digits(leave_out=[3, 11]).setup()
    with pytest.raises(ValueError, match=r"leave_out leaves no class of \[0, 1"):
        Digits(leave_out=list(range(10))).setup()
    np.save(tmp_path / "x.npy", images(30, 8, 8))
    with pytest.raises(ValueError, match="leave_out needs labels, which these data do not have"):
        Array(str(tmp_path / "x.npy"), batch_size=5, leave_out=[1]).setup()
