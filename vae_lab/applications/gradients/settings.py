"""The settings of a measurement: its configuration is read here, and nowhere below."""

from dataclasses import dataclass, fields
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf

from vae_lab.config import foreign
from vae_lab.config.instantiate import instantiate
from vae_lab.config.schema import GradientsConfig, TrainConfig
from vae_lab.config.targets import makes
from vae_lab.errors import UserError
from vae_lab.estimators.base import Estimator
from vae_lab.models.networks import NoEncoder, PerDatum
from vae_lab.noise import NoiseSource
from vae_lab.probe.settings import ProbeSettings
from vae_lab.runs.directory import RunDirectory
from vae_lab.runs.find import find_run
from vae_lab.runs.signature import NOT_DEFINING_IN_GROUP, signature
from vae_lab.training.compatibility import NEEDS_NETWORK
from vae_lab.training.settings import TrainingSettings, check_root

COMMAND_KEYS = {  # not taken over from a run
    "output_dir", "rerun", "logger", "callbacks", "noise", "sweep", "evaluation",
}  # fmt: skip


@dataclass(frozen=True)
class GradientsSettings:
    """The configuration of a measurement.

    Args:
        training: Settings of the training that makes the model.
        trained: The training's directory.
        is_given: Whether that is a run which was named, and is not trained by the measurement.
        probe: How the estimators are measured.
        noise: Of the measurement.
        estimators: What is measured, by name.
        at: The states of the model: sample counts, `last`, `best`, or paths of checkpoints.
    """

    training: TrainingSettings
    trained: RunDirectory
    is_given: bool
    probe: ProbeSettings
    noise: NoiseSource
    estimators: dict[str, Estimator]
    at: list[int | str]

    @classmethod
    def of(cls, cfg: DictConfig) -> "GradientsSettings":
        """The settings that a configuration holds.

        Raises:
            UserError: If the configuration is wrong, or there is no such run.
        """
        check_root(cfg, GradientsConfig)
        if cfg.run is None and "encoder" not in cfg.model:
            raise UserError(f"model: {NEEDS_NETWORK}")
        at = _at(cfg)
        training, trained = _training(cfg, at)
        probe = instantiate(cfg.probe, "probe", ProbeSettings)
        encoder = training.model.get("encoder")
        if encoder is None or makes(encoder, "model.encoder", NoEncoder, PerDatum):
            raise UserError(f"model.encoder: {NEEDS_NETWORK}")
        if not cfg.estimators:
            raise UserError("estimators must name at least one, such as estimators=single_sample.")
        return cls(
            training=TrainingSettings.of(training),
            trained=trained,
            is_given=cfg.run is not None,
            probe=probe,
            noise=instantiate(cfg.noise, "noise", NoiseSource, seed=training.seed),
            estimators={
                str(name): instantiate(node, f"estimators.{name}", Estimator)
                for name, node in cfg.estimators.items()
            },
            at=at,
        )


def _at(cfg: DictConfig) -> list[int | str]:
    """The states asked for: sample counts, names and paths."""
    values = list(cfg.at) if isinstance(cfg.at, ListConfig) else [cfg.at]
    if not values:
        raise UserError("at must name at least one state, got [].")
    for value in values:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (isinstance(value, str) or (is_number and value >= 0 and float(value).is_integer())):
            raise UserError(
                "at must hold sample counts of at least 0, last, best or paths of checkpoints, got "
                f"{value!r}."
            )
    return [value if isinstance(value, str) else int(value) for value in values]


def _training(cfg: DictConfig, at: list[int | str]) -> tuple[DictConfig, RunDirectory]:
    """The configuration by which the model is built, and the directory of the training that it comes from."""
    keys = [field.name for field in fields(TrainConfig)]
    training = OmegaConf.masked_copy(cfg, keys)
    training.rerun = False
    if cfg.run is None:
        if at == [0]:  # `noise` is the probe's alone
            training.noise = {"_target_": "vae_lab.noise.NoiseSource"}
        counts = sorted({count for count in at if isinstance(count, int) and count > 0})
        training.trainer.checkpoint_at = counts or training.trainer.checkpoint_at
        return training, RunDirectory(Path(cfg.output_dir) / "runs" / signature(training), training)
    path = find_run(cfg.run, cfg.output_dir)
    stored = foreign.read_whole(path / ".hydra" / "config.yaml")
    taken = [key for key in keys if key in stored and key not in COMMAND_KEYS]
    _refuse_overrides(set(taken))
    for key in taken:
        training[key] = stored[key]
    for name in NOT_DEFINING_IN_GROUP["trainer"]:
        training.trainer[name] = cfg.trainer[name]
    return training, RunDirectory(path, stored)


def _refuse_overrides(taken: set[str]) -> None:
    """Refuses what the command line says of a model that comes from a run."""
    machine = {f"trainer.{name}" for name in NOT_DEFINING_IN_GROUP["trainer"]}
    for override in HydraConfig.get().overrides.task:
        key = override.lstrip("+~").partition("=")[0]
        place = key.partition("@")[2] or key  # +estimator@estimators.mine adds to the estimators
        if place.split(".")[0].split("/")[0] in taken and key not in machine:
            raise UserError(f"run= gives the model and its training: leave out {override}.")
