from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from scipy.stats import kstest

from vae_lab.applications.evaluate.evaluate import Evaluate
from vae_lab.applications.impute.impute import Impute
from vae_lab.applications.outliers.scorer import scorer_of
from vae_lab.checks.cases import gaussian_batch, linear_gaussian_vae
from vae_lab.evaluation.measures import Measures
from vae_lab.models.vae import Batch
from vae_lab.noise import EVALUATION_BLOCK, AntitheticNoise, NoiseSource, NoiseSpec, permutation
from vae_lab.noise.sobol import SobolNoise
from vae_lab.trained.encode import encoded, samples_of

SPECS = {"posterior": NoiseSpec("normal", 3, (2,)), "pixels": NoiseSpec("uniform", 1, (4,))}


def training(source, **arguments):
    return source.training(SPECS, **({"purpose": "train", "step": 5, "batch_size": 8} | arguments))


def test_a_key_gives_the_same_noise_whatever_was_drawn_before():
    source, other = NoiseSource(0), NoiseSource(0)
    for step in range(5):
        training(other, step=step)
    torch.manual_seed(1)
    assert all(torch.equal(training(source)[name], training(other)[name]) for name in SPECS)


@pytest.mark.parametrize("change", [{"step": 6}, {"purpose": "test"}])
def test_step_and_purpose_change_the_noise(change):
    source = NoiseSource(0)
    assert not torch.equal(training(source)["posterior"], training(source, **change)["posterior"])


def test_every_seed_is_a_seed_of_its_own():
    draws = [training(NoiseSource(seed))["posterior"] for seed in (0, 1, 2**32 - 1)]
    assert not any(torch.equal(a, b) for i, a in enumerate(draws) for b in draws[:i])


def test_the_processes_share_the_global_batch():
    source = NoiseSource(3)
    whole = training(source, batch_size=8)
    halves = [training(source, batch_size=4, rank=rank, world_size=2) for rank in (0, 1)]
    for name in SPECS:
        assert torch.equal(whole[name], torch.cat([half[name] for half in halves], dim=1))


def test_precision_rounds_the_same_noise():
    single, double = training(NoiseSource(0)), training(NoiseSource(0), dtype=torch.float64)
    assert torch.equal(single["posterior"], double["posterior"].float())


def test_evaluation_noise_depends_on_the_datum_alone():
    source = NoiseSource(0)

    def draw(indices, spec=SPECS):
        return source.evaluation(spec, purpose="test", indices=torch.tensor(indices))

    together, apart = draw([4, 9, 2])["posterior"], draw([9])["posterior"]
    assert torch.equal(together[:, 1], apart[:, 0])
    more = {"posterior": NoiseSpec("normal", EVALUATION_BLOCK, (2,))}
    assert torch.equal(draw([9], more)["posterior"][:3], apart)


def test_the_laws_have_their_moments():
    specs = {"n": NoiseSpec("normal", 1, (10,)), "u": NoiseSpec("uniform", 1, (10,))}
    noise = NoiseSource(0).training(specs, purpose="train", step=0, batch_size=20_000)
    count = noise["n"].numel()
    assert abs(noise["n"].mean()) < 4 / count**0.5  # four standard errors
    assert abs(noise["n"].var() - 1) < 4 * (2 / count) ** 0.5
    assert abs(noise["u"].mean() - 0.5) < 4 * (1 / 12 / count) ** 0.5
    assert noise["u"].min() >= 0
    assert noise["u"].max() < 1


def test_permutations_are_permutations_and_change_with_the_epoch():
    first, second = (permutation(50, seed=0, purpose="order", epoch=epoch) for epoch in (0, 1))
    assert first.sort().values.tolist() == list(range(50))
    assert not torch.equal(first, second)


def sobol(num_samples, dims, step=0, batch_size=3, distribution="uniform", seed=0, **where):
    spec = {"z": NoiseSpec(distribution, num_samples, (dims,))}
    source = SobolNoise(seed)
    return source.training(
        spec, purpose="train", step=step, batch_size=batch_size, dtype=torch.float64, **where
    )["z"]


def test_sobol_points_of_a_datum_are_one_in_each_interval():
    u = sobol(16, dims=5)
    assert u.shape == (16, 3, 5)
    places = (16 * u).floor().sort(dim=0).values
    assert (places == torch.arange(16)[:, None, None]).all()
    pairs = (4 * u[..., :2]).floor()  # and of two coordinates one in each square of a grid
    squares = (4 * pairs[..., 0] + pairs[..., 1]).sort(dim=0).values
    assert (squares == torch.arange(16)[:, None]).all()


def test_sobol_points_are_uniform_and_data_and_steps_independent():
    u = torch.stack([sobol(4, dims=2, step=step) for step in range(2000)])  # (steps, K, B, D)
    for k in range(4):
        assert kstest(u[:, k, 0, 1].numpy(), "uniform").pvalue > 1e-3
    first, second = u[:, 1, 0, 0], u[:, 1, 1, 0]
    assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1]) < 4 / 2000**0.5
    assert abs(torch.corrcoef(torch.stack([u[:-1, 1, 0, 0], u[1:, 1, 0, 0]]))[0, 1]) < 4 / 2000**0.5


def test_sobol_noise_is_a_function_of_its_key_and_each_process_takes_its_slice():
    whole = sobol(4, dims=2, batch_size=6, distribution="normal")
    assert torch.equal(whole, sobol(4, dims=2, batch_size=6, distribution="normal"))
    parts = [
        sobol(4, dims=2, batch_size=3, distribution="normal", rank=rank, world_size=2) for rank in (0, 1)
    ]
    assert torch.equal(whole, torch.cat(parts, dim=1))
    assert not torch.equal(whole, sobol(4, dims=2, batch_size=6, distribution="normal", seed=1))


def test_sobol_means_have_the_smaller_variance_the_more_samples():
    def variance(draw, number):
        means = torch.stack([draw(number, step).sigmoid().sum(-1).mean(0) for step in range(100)])
        return means.var(0).mean().item()

    def without(number, step):
        spec = {"z": NoiseSpec("normal", number, (3,))}
        return NoiseSource(0).training(spec, purpose="t", step=step, batch_size=4)["z"]

    independent = {number: variance(without, number) for number in (4, 64)}
    spread = {number: variance(lambda k, step: sobol(k, 3, step, 4, "normal"), number) for number in (4, 64)}
    assert spread[4] < independent[4] / 2
    assert spread[64] < independent[64] / 20
    assert spread[4] / spread[64] > 2 * 16  # twice as fast as 1/K at least


def test_sobol_leaves_shared_and_evaluation_noise_as_they_are():
    specs = {"w": NoiseSpec("normal", 2, (3,), shared=True)}
    where = {"purpose": "train", "step": 0, "batch_size": 4}
    assert torch.equal(
        SobolNoise(0).training(specs, **where)["w"], NoiseSource(0).training(specs, **where)["w"]
    )
    specs, indices = {"z": NoiseSpec("normal", 2, (3,))}, torch.arange(4)
    found = [
        kind(0).evaluation(specs, purpose="e", indices=indices)["z"] for kind in (SobolNoise, NoiseSource)
    ]
    assert torch.equal(*found)


@pytest.mark.parametrize("source", [NoiseSource(3), AntitheticNoise(3)])
def test_each_part_of_the_data_has_evaluation_noise_of_its_own(source):
    """The test part's is that of a source that knows of no part, and training noise is of none."""

    def drawn(source):
        specs = {"posterior": NoiseSpec("normal", 4, (2,))}
        return source.evaluation(specs, purpose="importance", indices=torch.arange(5))["posterior"]

    assert torch.equal(drawn(source.of_part("test")), drawn(source))
    assert type(source.of_part("validation")) is type(source)
    parts = [drawn(source.of_part(part)) for part in ("test", "validation", "train")]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert not (parts[first] == parts[second]).any()
    assert torch.equal(drawn(source.of_part("validation")), parts[1])


def trained():
    """The part of a trained model that applications ask for."""
    vae = linear_gaussian_vae()
    return SimpleNamespace(
        model=vae,
        noise=NoiseSource(0),
        parts=SimpleNamespace(has_density=True, vae=vae),
        checkpoint=Path("last.ckpt"),
        batch=lambda x, numbers: Batch(x, numbers),
        with_posterior=lambda batch, part: vae,
        encode=lambda x, numbers, part: vae.encode(Batch(x, numbers)),
    )


def test_what_uses_draw_for_a_datum_is_keyed_by_its_part(monkeypatch):
    """The same data in two places of the dataset are given other draws."""
    model, batch, seen = trained(), gaussian_batch(), []
    codes = [
        samples_of(model, each, 2, part)
        for part in ("test", "train")
        for each in encoded(model, batch.x, part=part)
    ]
    of_batch = scorer_of(model, 5).of_batch
    scores = [of_batch(*batch, part)["negative_log_likelihood"] for part in ("test", "outliers")]
    for first, second in (codes, scores):
        assert not (first == second).any()
    monkeypatch.setattr(Measures, "__call__", lambda measures, vae, data, noise, progress: seen.append(noise))
    for split in ("test", "validation"):
        with pytest.raises(AttributeError):  # nothing was measured
            Evaluate(Measures(), split)(model, batch, None, print)
    assert [noise.part for noise in seen] == ["test", "validation"]
    assert [Impute(data=data)._noise(model).part for data in ("test", "validation", "x.npy")] == [
        "test",
        "validation",
        "test",
    ]
