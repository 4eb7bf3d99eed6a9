"""Finished runs, loaded again."""

from pathlib import Path
from typing import Any, NamedTuple

from vae_lab.config import foreign
from vae_lab.config.schema import TrainConfig
from vae_lab.errors import UserError
from vae_lab.files.writing import checksum
from vae_lab.runs.directory import RunDirectory
from vae_lab.runs.result import Result, result_of
from vae_lab.runs.signature import FORMAT
from vae_lab.training.build import RunParts, build_run
from vae_lab.training.checkpoint import load_checkpoint, weights_of_model
from vae_lab.training.run import quieten_libraries
from vae_lab.training.settings import Settings, check_root


class Trained(NamedTuple):
    """A finished run.

    Args:
        parts: Its parts, the model having the weights that were tested.
        result: Its result.
        checkpoint: Where the weights come from.
        run: Its directory.
    """

    parts: RunParts
    result: Result
    checkpoint: Path
    run: RunDirectory


def load_trained(directory: Path) -> Trained:
    """A finished run, loaded on the CPU.

    Raises:
        UserError: If the run is not finished, its configuration names a class that is not allowed, or its
            configuration or checkpoint is another run's.
    """
    result = result_of(directory)
    cfg: Any = foreign.read_whole(directory / ".hydra" / "config.yaml")
    check_root(cfg, TrainConfig)
    run = RunDirectory(directory, cfg.copy())
    run.check_same(result.definition)
    quieten_libraries()
    cfg.logger = {"_target_": "vae_lab.tracking.NoTracking"}
    here = {"accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto"}
    cfg.trainer.update({name: value for name, value in here.items() if name in cfg.trainer})
    if str(cfg.trainer.get("precision")).startswith("16"):
        cfg.trainer.precision = "32-true"  # which a CPU has
    parts = build_run(Settings.of(cfg), directory / "checkpoints")
    path = run.tested_checkpoint
    try:
        checkpoint = load_checkpoint(path)
    except (ValueError, OSError) as error:
        raise UserError(f"{directory}: {error}") from error
    recorded, notes = result.get("checkpoint_sha256"), list(result.notes)
    if recorded is None:
        notes.append("the run is of an earlier version, which recorded no checksum of its weights")
    elif recorded != checksum(path):
        raise UserError(
            f"{path} is not the checkpoint that was tested, but another run's or a later one; pass "
            "rerun=true to vae-lab train with the same configuration."
        )
    if result.definition.get("format") != FORMAT:
        notes.append(
            "the run is of an earlier version and is read as such; its command makes the run again, "
            "under another signature"
        )
    parts.model.load_state_dict(weights_of_model(checkpoint))
    parts.model.eval()
    return Trained(parts, result | {"notes": notes}, path, run)
