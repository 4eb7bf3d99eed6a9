"""The states of a model at which gradients are measured: before training, and at checkpoints."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from vae_lab.applications.gradients.settings import GradientsSettings
from vae_lab.errors import Busy, UserError
from vae_lab.files.writing import checksum
from vae_lab.runs import lease
from vae_lab.runs.directory import RunDirectory
from vae_lab.runs.failure import remove_if_unused
from vae_lab.runs.result import is_finished, result_of
from vae_lab.training.build import TrainingParts
from vae_lab.training.checkpoint import load_checkpoint, weights_of_model
from vae_lab.training.run import run

Weights = dict[str, torch.Tensor]


class State(NamedTuple):
    """A state of the model: a checkpoint, or None for the state before training."""

    name: str
    checkpoint: Path | None


def states_of(settings: GradientsSettings, parts: TrainingParts) -> list[State]:
    """The states that are asked for.

    Raises:
        UserError: If one is not there and would not be made by the training.
    """
    states = [_state(value, settings, parts) for value in settings.at]
    for state in states:
        _check_there(state, settings)
    return states


def _state(value: int | str, settings: GradientsSettings, parts: TrainingParts) -> State:
    folder, trainer = settings.trained.checkpoints, parts.trainer_factory
    if isinstance(value, str) and value not in ("last", "best"):
        return State(value.removesuffix(".ckpt"), Path(value))
    if isinstance(value, str):
        if value == "best" and not settings.is_given and trainer.select != "best":
            raise UserError("at=best needs a training with trainer.select=best, got trainer.select=last.")
        return State(value, folder / f"{value}.ckpt")
    if value == 0:
        return State("0", None)
    batch_size = parts.dataset.batch_size
    samples = math.ceil(value / batch_size) * batch_size
    budget = trainer.num_steps(batch_size, len(parts.dataset.data.train.x)) * batch_size
    if not settings.is_given and samples > budget:
        raise UserError(
            f"at={value} lies beyond the training, which ends at {budget} samples; raise "
            "trainer.max_samples or trainer.max_epochs."
        )
    return State(str(value), folder / f"samples={samples:09d}.ckpt")


def _check_there(state: State, settings: GradientsSettings) -> None:
    """Raises `UserError` if a checkpoint is not there and the training is not to make it."""
    path = state.checkpoint
    to_be_made = not settings.is_given and path and path.parent == settings.trained.checkpoints
    if path is None or path.is_file() or to_be_made:
        return
    there = sorted(entry.stem.replace("samples=", "").lstrip("0") for entry in path.parent.glob("*.ckpt"))
    raise UserError(
        f"at={state.name}: {path} does not exist. There are: {', '.join(there) or 'none'}. Numbered "
        "checkpoints are kept with trainer.checkpoint_at."
    )


def train_if_asked(settings: GradientsSettings, states: Sequence[State], parts: TrainingParts) -> None:
    """Trains to the end if a state is of this training, which has checkpoints also where it was killed.

    Raises:
        UserError: If the training would need several processes, or is done without one of the checkpoints.
    """
    if settings.is_given:
        return
    trained = settings.trained
    asked = {
        state.name: state.checkpoint
        for state in states
        if state.checkpoint and state.checkpoint.parent == trained.checkpoints
    }
    is_done = all(path.is_file() for path in asked.values()) and trained.finished() is not None
    if not asked or is_done:
        return
    if parts.trainer.world_size > 1:
        raise UserError(
            f"at={next(iter(asked))}: a training of several processes needs a command of its own; train with "
            "vae-lab train and trainer.checkpoint_at, then give run=<its directory>."
        )
    trained.claim()
    try:
        _train(settings)
    except Exception:
        remove_if_unused(trained.path)
        raise
    for name, path in asked.items():
        if not path.is_file():
            raise UserError(
                f"at={name}: the run in {trained.path} is done and has no {path.name}; "
                "pass rerun=true to vae-lab train with the same configuration."
            )


def _train(settings: GradientsSettings) -> None:
    """Trains the model, or waits for another process that does."""
    while settings.trained.finished() is None:
        try:
            run(settings.training, settings.trained)
        except Busy:
            lease.wait_for_lease(settings.trained.path)


def weights_at(state: State, trained: RunDirectory, parts: TrainingParts) -> tuple[int, Weights]:
    """The training samples behind a state, and the model's parameters there.

    Raises:
        UserError: If the checkpoint is damaged, or of another run or model.
    """
    fresh = parts.vae.state_dict()
    if state.checkpoint is None:
        return 0, {name: value.clone() for name, value in fresh.items()}
    try:
        checkpoint = load_checkpoint(state.checkpoint)
        weights = weights_of_model(checkpoint)
        if state.checkpoint.parent == trained.checkpoints:
            trained.check_origin(state.checkpoint, checkpoint["vae_lab"].get("origin", {}))
            _check_recorded(state, trained)
    except (ValueError, KeyError) as error:
        raise UserError(f"at={state.name}: {error}") from error
    for name in sorted(fresh.keys() | weights.keys()):
        here, there = (tuple(side[name].shape) if name in side else "not there" for side in (fresh, weights))
        if here != there:
            raise UserError(
                f"at={state.name}: {state.checkpoint} is of another model: {name} is {there} there and "
                f"{here} here; give the model of that training, or run=<its run>."
            )
    return checkpoint["vae_lab"]["samples"], weights


def _check_recorded(state: State, trained: RunDirectory) -> None:
    """Raises `UserError` if the weights that a finished run has tested are not in its checkpoint any more."""
    assert state.checkpoint is not None
    if state.checkpoint == trained.tested_checkpoint and is_finished(trained.path):
        recorded = result_of(trained.path).get("checkpoint_sha256")
        if recorded not in (None, checksum(state.checkpoint)):
            raise UserError(
                f"at={state.name}: {state.checkpoint} is not the checkpoint that was tested; pass rerun=true "
                "to vae-lab train with the same configuration."
            )
