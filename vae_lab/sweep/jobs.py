"""A job: one run of a command, composed when it is submitted, started by a line that can be pasted."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hydra.core.config_loader import ConfigLoader
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from vae_lab.config.overrides import literal
from vae_lab.files.writing import near
from vae_lab.runs.directory import RunDirectory
from vae_lab.runs.names import FAILURE
from vae_lab.runs.result import Result
from vae_lab.runs.signature import signature

_composed: dict[tuple[str, ...], "Job"] = {}


class Job(NamedTuple):
    """One run of a command.

    Args:
        label: What distinguishes it from the others of its sweep.
        command: Such as `train`.
        overrides: From which it was composed.
        cfg: Its configuration, resolved.
        directory: Where its results go.
    """

    label: str
    command: str
    overrides: list[str]
    cfg: DictConfig
    directory: Path

    @property
    def signature(self) -> str:
        """The signature of the configuration."""
        return signature(self.cfg)

    @property
    def line(self) -> list[str]:
        """The words of the command that runs it from its frozen configuration."""
        return line(self.command, self.directory)

    @property
    def is_one_process(self) -> bool:
        """Whether its trainer starts no further processes."""
        return self.cfg.trainer.devices in (1, "1") and self.cfg.trainer.num_nodes == 1

    @property
    def num_devices(self) -> int:
        """Devices that its trainer uses on a node; 1 where it leaves that open."""
        devices = self.cfg.trainer.devices
        if OmegaConf.is_list(devices):
            return len(devices)
        return int(devices) if str(devices).isdigit() and int(devices) > 0 else 1

    def with_hydra(self, node: DictConfig) -> DictConfig:
        """Its configuration with Hydra's own node, as Hydra would compose it from `line`.

        Args:
            node: The one that the jobs of a sweep share.
        """
        own = {
            "mode": RunMode.RUN,
            "run": {"dir": str(self.directory).replace("${", "\\${")},
            "output_subdir": None,
            "overrides": {"task": self.overrides},
        }
        cfg = self.cfg.copy()
        with open_dict(cfg):
            cfg.hydra = node
            OmegaConf.set_readonly(cfg.hydra, False)
            cfg.hydra.merge_with(own)
        return cfg

    def is_done(self) -> bool:
        """Whether its result is there and not to be replaced.

        Raises:
            UserError: If the directory holds the result of another configuration.
        """
        return RunDirectory(self.directory, self.cfg).kept() is not None

    def has_result(self) -> bool:
        """Whether its result is there."""
        return self.result() is not None

    def result(self) -> Result | None:
        """Its result, if that is there."""
        return RunDirectory(self.directory, self.cfg).measured()

    def freeze(self) -> None:
        """Writes the configuration that it will run from."""
        RunDirectory(self.directory, self.cfg, self.overrides).claim()
        (self.directory / FAILURE).unlink(missing_ok=True)


def compose(loader: ConfigLoader, master: DictConfig, overrides: Sequence[str], label: str = "") -> Job:
    """The job that overrides stand for; composed once, as long as the process lives."""
    key = tuple(overrides)
    if key not in _composed:
        _composed[key] = _compose(loader, master, list(overrides), label)
    return _composed[key]


def _compose(loader: ConfigLoader, master: DictConfig, overrides: list[str], label: str) -> Job:
    full = loader.load_sweep_config(master, overrides)
    with open_dict(full.hydra):
        full.hydra.job.num = full.hydra.job.id = 0
    directory = Path(os.path.abspath(Path(full.hydra.sweep.dir, full.hydra.sweep.subdir)))
    command = str(full.hydra.job.config_name)
    with open_dict(full):
        del full["hydra"]
    cfg = OmegaConf.create(OmegaConf.to_container(full, resolve=True))
    assert isinstance(cfg, DictConfig)
    return Job(label or " ".join(overrides), command, overrides, cfg, directory)


def line(command: str, directory: Path) -> list[str]:
    """The words after `vae-lab` that run a job from the frozen configuration in its directory."""
    frozen = ["--config-path", str(directory / ".hydra"), "--config-name", "config"]
    return [command, *frozen, f"hydra.run.dir={literal(str(directory))}", "hydra.output_subdir=null"]


def pasted(command: str, directory: Path) -> str:
    """That line as one types it in the folder where one is."""
    return shlex.join(["vae-lab", *line(command, near(directory))])
