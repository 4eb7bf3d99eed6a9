"""The settings of a run."""

import pytest
import torch
from conftest import composed

from vae_lab.applications.gradients.settings import GradientsSettings
from vae_lab.estimators import Reparameterized
from vae_lab.training.settings import Settings


class Drawing(Reparameterized):
    """Draws in its constructor, as a random projection does."""

    def __init__(self, num_samples: int = 1) -> None:
        super().__init__(num_samples)
        self.drawn = torch.rand(()).item()


MINE = "estimator._target_=test_settings.Drawing"
OF_BOUND = [f"~estimator.{name}" for name in ("kl", "beta", "warm_up", "cycles", "free_bits")]
MEASURED = ["+estimators.mine._target_=test_settings.Drawing"]


def of_training(*overrides):
    return Settings.of(composed(MINE, *OF_BOUND, *overrides)).estimator.drawn


def of_measurement(*overrides):
    cfg = composed(*MEASURED, "at=0", *overrides, command="gradients")
    return GradientsSettings.of(cfg).estimators["mine"].drawn


@pytest.mark.parametrize("drawn", [of_training, of_measurement])
def test_the_seed_keys_what_a_constructor_draws(drawn, monkeypatch):
    monkeypatch.setenv("VAE_LAB_TRUST", "test_settings")
    first = drawn()
    torch.rand(3)
    assert drawn() == first
    assert drawn("seed=1") != first
