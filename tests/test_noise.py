import pytest
import torch

from vae_lab.noise import EVALUATION_BLOCK, NoiseSource, NoiseSpec, permutation

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
