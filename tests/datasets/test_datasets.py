import math
import shutil

import numpy as np
import pytest
import torch
from conftest import DATA
from hydra import compose, initialize_config_dir

from vae_lab.config import schema
from vae_lab.config.instantiate import instantiate
from vae_lab.datasets import PPCA, BreastCancer, Digits
from vae_lab.datasets.base import SplitDataset, split_off
from vae_lab.datasets.batches import EvaluationBatches, TrainingBatches
from vae_lab.errors import UserError
from vae_lab.files.paths import CONF

SIZES = {
    "digits": (1237, 200, 360),
    "ppca": (2000, 200, 200),
    "mnist": (50000, 10000, 10000),
    "fashion_mnist": (50000, 10000, 10000),
    "frey_face": (1400, 200, 365),
    "binarized_mnist": (50000, 10000, 10000),
}


def dataset(name, *overrides):
    schema.register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [f"dataset={name}", *overrides])
    return instantiate(cfg.dataset, "dataset")


def independent_gaussian_nats(train, x):
    """Log-likelihood per datum of one Gaussian per pixel, fitted to the training data."""
    mean, variance = train.mean(0), train.var(0, correction=0)
    return -0.5 * ((x - mean).square() / variance + (2 * math.pi * variance).log()).sum(1)


@pytest.mark.parametrize("name", SIZES)
def test_three_parts_of_the_right_sizes(name, request):
    if name not in ("digits", "ppca"):
        request.getfixturevalue("real_data")
    parts = dataset(name).data
    assert tuple(len(part.x) for part in parts) == SIZES[name]
    assert all(part.x.dtype == torch.float32 for part in parts)
    if name != "ppca":
        assert all(part.x.min() >= 0 and part.x.max() <= 1 for part in parts)


def test_a_part_of_the_images_to_train_on(real_data):
    whole = dataset("mnist", "dataset.validation_size=0").data
    some = dataset("mnist", "dataset.train_size=1000", "dataset.validation_size=0").data
    assert tuple(len(part.x) for part in some) == (1000, 0, 10000)
    assert len(set(some.train.labels.tolist())) == 10
    assert (
        len(dataset("mnist", "dataset.train_size=60000", "dataset.validation_size=0").data.train.x) == 60000
    )
    assert torch.equal(whole.test.x, some.test.x)
    with pytest.raises(UserError, match=r"dataset\.train_size must be at least 1, got 0\."):
        dataset("mnist", "dataset.train_size=0")


def test_independent_pixels_on_frey_face(real_data):
    """A fit to 1600 random frames gives 577 +- 8 nats on the other 365 (pixel / 256)."""
    parts = dataset("frey_face", "dataset.validation_size=0").data
    train, test = (part.x.flatten(1).double() for part in (parts.train, parts.test))
    assert len(train) == 1600
    assert independent_gaussian_nats(train, test).mean().item() == pytest.approx(577, abs=8)
    assert independent_gaussian_nats(train, train).mean().item() == pytest.approx(577, abs=5)


def test_the_factorised_bernoulli_on_binarised_mnist(real_data):
    """The literature's -206 nats, for the dynamic and for the fixed binarisation."""
    for name in ("mnist", "binarized_mnist"):
        parts = dataset(name).data
        probability = parts.train.x.flatten(1).double().mean(0).clamp(1e-5, 1 - 1e-5)
        test = parts.test.x.flatten(1).double()
        assert ((test == 0) | (test == 1)).all()
        nats = (test * probability.log() + (1 - test) * (1 - probability).log()).sum(1).mean()
        assert nats.item() == pytest.approx(-206, abs=0.5)


def test_the_parts_do_not_overlap(real_data):
    parts = dataset("frey_face").data
    everything = torch.cat([part.x.flatten(1) for part in parts])
    assert len(everything) == 1965
    assert len(everything.unique(dim=0)) == len(np.unique(np.load(frey_file()).reshape(1965, -1), axis=0))


def frey_file():
    return DATA / "FreyFace" / "freyfaces_1965x28x20_uint8.npy"


def test_frey_frames_are_shuffled(real_data):
    """Test frames come from the whole video: its first and last quarters are both represented."""
    frames = torch.from_numpy(np.load(frey_file())).float() / 256
    test = {tuple(frame.flatten().tolist()) for frame in dataset("frey_face").data.test.x}
    places = [i for i, frame in enumerate(frames) if tuple(frame.flatten().tolist()) in test]
    assert 60 < sum(place < 491 for place in places) < 125
    assert 60 < sum(place >= 1474 for place in places) < 125


def test_fixed_binarisation_is_sorted_by_class_hence_never_cut(real_data):
    test = dataset("binarized_mnist").data.test.x
    assert len(test) == 10000
    assert abs(test[:1000].mean() - test.mean()) > 0.03  # the first thousand are no sample


@pytest.mark.parametrize("binarize", ["none", "dynamic", "fixed", "threshold"])
def test_binarisation(binarize):
    data = Digits(binarize=binarize)
    values = data.data.test.x.unique()
    assert (len(values) == 17) if binarize == "none" else values.tolist() == [0, 1]
    again = Digits(binarize=binarize)
    again.seed = 5  # a run's seed changes nothing that is measured
    assert torch.equal(data.data.test.x, again.data.test.x)


def test_fixed_binarisation_draws_the_training_data_once_for_all_runs():
    grey, fixed, again = (Digits(binarize=kind) for kind in ("none", "fixed", "fixed"))
    again.seed, again.train_curve = 5, 50
    x, p = fixed.data.train.x, grey.data.train.x
    assert x.unique().tolist() == [0, 1]
    assert torch.equal(x, again.data.train.x)
    assert abs((x - p).sum()) < 4 * (p * (1 - p)).sum().sqrt()  # x ~ Bernoulli(grey)
    assert not torch.equal(x, p.round())
    followed = {tuple(datum.flatten().tolist()) for datum in again.curves["train_curve"].x}
    assert followed <= {tuple(datum.flatten().tolist()) for datum in x}


def binarized(x, uniform):
    return (uniform < x).to(x.dtype)


@pytest.mark.parametrize("make", [Digits, None], ids=["digits", "frey_face"])
def test_dequantisation_fills_the_steps_between_grey_levels(make, request):
    if make is None:
        request.getfixturevalue("real_data")
    grey, data = (
        (make(binarize="none"), make(binarize="none", dequantize=True))
        if make
        else (dataset("frey_face"), dataset("frey_face", "dataset.dequantize=true"))
    )
    levels, scale = data.levels, data.scale
    x = data.data.test.x
    assert 0 < x.min() < x.max() < 1
    told = (x * levels).floor() == (grey.data.test.x * scale).round()  # up to rounding at a level's end
    assert told.float().mean() > 0.9999
    within = (x * levels) % 1
    assert abs(within.mean() - 0.5) < 4 * (1 / 12 / within.numel()) ** 0.5
    again = data.redraw(grey.data.train.x, torch.full_like(grey.data.train.x, 0.5))
    assert torch.allclose(again * levels - 0.5, (grey.data.train.x * scale).round(), atol=1e-3)


def test_data_that_cannot_be_dequantised():
    for make in (lambda: Digits(dequantize=True), lambda: SplitDataset(dequantize=True)):
        with pytest.raises(
            ValueError, match="dequantize needs the grey levels of images, with binarize=none"
        ):
            make()


def test_dynamic_binarisation_has_the_grey_value_as_mean():
    x = torch.full((1, 50), 0.3)
    batches = TrainingBatches(x, batch_size=1, num_steps=2000, first_step=0, seed=0, redraw=binarized)
    draws = torch.cat([batch.x for batch in batches])
    assert draws.unique().tolist() == [0, 1]
    standard_error = (0.3 * 0.7 / draws.numel()) ** 0.5
    assert abs(draws.mean() - 0.3) < 4 * standard_error


def batches(**arguments):
    defaults = {"batch_size": 6, "num_steps": 20, "first_step": 0, "seed": 0, "redraw": binarized}
    x = torch.rand(20, 3, generator=torch.Generator().manual_seed(0))
    return TrainingBatches(x, **(defaults | arguments))


def test_every_epoch_uses_every_datum_once():
    stream = torch.cat([batch.indices for batch in batches()])
    for epoch in stream.split(20):
        assert sorted(epoch.tolist()) == list(range(20))


@pytest.mark.parametrize("first_step", [1, 3, 4, 19])
def test_a_batch_is_a_function_of_its_step(first_step):
    whole, rest = list(batches()), list(batches(first_step=first_step))
    for a, b in zip(whole[first_step:], rest, strict=True):
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.indices, b.indices)


@pytest.mark.parametrize("world_size", [2, 3])
def test_the_processes_share_each_batch(world_size):
    ranks = [list(batches(rank=rank, world_size=world_size)) for rank in range(world_size)]
    for whole, *parts in zip(batches(), *ranks, strict=True):
        assert torch.equal(whole.x, torch.cat([part.x for part in parts]))


def test_seeds_change_the_order():
    first, second = next(iter(batches(seed=0))), next(iter(batches(seed=1)))
    assert first.indices.tolist() != second.indices.tolist()


def test_evaluation_takes_every_datum_once_in_any_number_of_processes():
    x = torch.arange(11.0).unsqueeze(1)
    for world_size in (1, 2, 3):
        ranks = [EvaluationBatches(x, 2, rank, world_size) for rank in range(world_size)]
        seen = torch.cat([batch.indices for rank in ranks for batch in rank])
        assert sorted(seen.tolist()) == list(range(11))


def test_splits_are_random_disjoint_and_fixed():
    digits = Digits()
    rest, part = split_off(digits.data.train, 300, seed=0)
    again = split_off(digits.data.train, 300, seed=0)
    assert len(rest.x) == 937
    assert torch.equal(part.x, again[1].x)
    assert part.labels.bincount().min() > 15  # every class, not the first three hundred


def test_ppca_knows_its_log_likelihood():
    data = PPCA(data_dim=5, latent_dim=2, noise_std=0.3, train_size=50_000)
    x = data.data.train.x.double()
    covariance = data.weight @ data.weight.T + 0.09 * torch.eye(5).double()
    expected = torch.distributions.MultivariateNormal(data.mean, covariance).log_prob(x)
    assert torch.allclose(data.log_prob(x), expected)
    assert torch.allclose(x.T.cov(), covariance, atol=0.08)
    columns = data.weight.T @ data.weight
    assert torch.allclose(columns, columns.diagonal().diag(), atol=1e-12)


@pytest.fixture
def copied_data(real_data, tmp_path, monkeypatch):
    """A data folder of its own, to be spoilt."""
    for name in ("FreyFace", "BinarizedMNIST"):
        shutil.copytree(DATA / name, tmp_path / name)
    monkeypatch.setenv("VAE_LAB_DATA", str(tmp_path))
    return tmp_path


def test_a_truncated_file_is_refused(copied_data):
    path = copied_data / "FreyFace" / "freyfaces_1965x28x20_uint8.npy"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="freyfaces.* is truncated or corrupt"):
        dataset("frey_face").setup()


def test_a_flipped_bit_is_noticed(copied_data):
    path = copied_data / "BinarizedMNIST" / "binarized_mnist_packed.npz"
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="binarized_mnist_packed.npz is truncated or corrupt"):
        dataset("binarized_mnist").setup()


@pytest.mark.parametrize("name", ["mnist", "frey_face", "binarized_mnist"])
def test_a_missing_file_says_where_it_was_looked_for(name, tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_LAB_DATA", str(tmp_path / "nowhere"))
    overrides = ["dataset.download=false"] if name == "mnist" else []
    with pytest.raises(FileNotFoundError, match=f"is not in {tmp_path}/nowhere"):
        dataset(name, *overrides).setup()


def test_a_missing_file_is_downloaded_where_it_can_be(real_data, tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_LAB_DATA", str(tmp_path))
    mnist = dataset("mnist")
    monkeypatch.setattr(
        type(mnist), "fetch", lambda self, folder: shutil.copytree(DATA / "MNIST", folder / "MNIST")
    )
    assert len(mnist.data.test.x) == 10000


def test_the_table_of_breast_cancer_is_standardised():
    x = BreastCancer().data.train.x[0]
    assert x.shape == (569, 32)
    assert x[:, :30].mean(0).abs().max() < 1e-6
    assert (x[:, :30].var(0, correction=0) - 1).abs().max() < 1e-5
    assert (x[:, 30] == 1).all()
    assert x[:, 31].sum() == 357  # benign


def test_rows_of_the_table_are_drawn_anew_by_seed_and_step():
    data = BreastCancer(rows=100)
    x, count = data.data.train.x, 150

    def batches(seed, first=0):
        return [b.x for b in TrainingBatches(x, 1, count, first, seed, redraw=data.redraw)]

    drawn = batches(3)
    assert all(torch.equal(a, b) for a, b in zip(drawn[5:], batches(3, first=5), strict=True))
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], batches(4)[0])
    places = [(batch[0].unsqueeze(1) == x[0]).all(-1).nonzero()[:, 1] for batch in drawn]
    assert all(len(rows) == len(rows.unique()) == 100 for rows in places)
    share, times = 100 / 569, torch.cat(places).bincount(minlength=569) / count
    error = (share * (1 - share) / count) ** 0.5
    assert ((times - share) / error).square().mean() == pytest.approx(1, abs=5 * (2 / 569) ** 0.5)
