"""The settings of a command on a trained model: its configuration is read here, and nowhere below."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from vae_lab.applications.base import Application
from vae_lab.config.instantiate import instantiate
from vae_lab.config.rules import Rule, check_rules, differs
from vae_lab.config.schema import ApplicationConfig
from vae_lab.config.targets import parameters_of
from vae_lab.errors import UserError
from vae_lab.runs.find import find_run
from vae_lab.runs.result import result_of
from vae_lab.tracking import Tracking
from vae_lab.training.settings import check_root

ROOT_RULES = (
    Rule(
        lambda it: it.trainer.accelerator not in ("cpu", "gpu"),
        "trainer.accelerator",
        "must be cpu or gpu, got {trainer.accelerator!r}.",
    ),
    *(
        Rule(
            differs(f"trainer.{name}", 1),
            f"trainer.{name}",
            f"must be 1, as one process uses a trained model, got {{trainer.{name}!r}}.",
        )
        for name in ("devices", "num_nodes")
    ),
    Rule(
        lambda it: it.run is None,
        "run",
        "must be given, the directory or the signature of a finished run; or runs=<a sweep>.",
    ),
)


@dataclass(frozen=True)
class ApplicationSettings:
    """The configuration of a command on a trained model.

    Args:
        application: What is done with the model, with the command's own arguments.
        run: The directory of the finished run.
        seed: Of the noise, in place of the run's; None for the run's.
        accelerator: Where the model is, `cpu` or `gpu`.
        tracker: Where metrics are shown.
    """

    application: Application
    run: Path
    seed: int | None
    accelerator: str
    tracker: Any

    @classmethod
    def of(cls, cfg: DictConfig) -> "ApplicationSettings":
        """The settings that a configuration holds.

        Raises:
            UserError: If the configuration is wrong, or the run is not a finished training.
        """
        own = parameters_of(cfg, "")
        check_root(cfg, ApplicationConfig, "_target_", *own)
        check_rules(ROOT_RULES, trainer=cfg.trainer, run=cfg.run)
        node = OmegaConf.masked_copy(cfg, ["_target_", *(name for name in own if name in cfg)])
        application = instantiate(node, "", Application)
        tracker = instantiate(cfg.logger, "logger", Tracking)
        run = find_run(cfg.run, cfg.output_dir)
        definition = result_of(run).definition
        if "dataset._target_" not in definition or "run" in definition:
            raise UserError(f"run={cfg.run} is no training, but was made of one.")
        return cls(application, run, cfg.seed, cfg.trainer.accelerator, tracker)

    @property
    def device(self) -> torch.device:
        """Where the model is.

        Raises:
            UserError: If there is no GPU and one is asked for.
        """
        if self.accelerator == "gpu" and not torch.cuda.is_available():
            raise UserError("trainer.accelerator=gpu: there is no GPU here; use cpu.")
        return torch.device("cuda" if self.accelerator == "gpu" else "cpu")
