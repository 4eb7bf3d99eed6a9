"""A named sweep: the jobs that a file of `sweeps/` stands for, and where their results lie."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from vae_lab.errors import UserError, did_you_mean
from vae_lab.orchestration.signature import signature
from vae_lab.paths import CONF, ROOT, SWEEPS

FOLDERS = {"train": "runs", "gradients": "gradients"}


class Job(NamedTuple):
    """One run of a sweep.

    Args:
        point: The value of each axis.
        overrides: What its command line gives.
        directory: Where its results go.
    """

    point: dict[str, str]
    overrides: list[str]
    directory: Path

    @property
    def is_done(self) -> bool:
        """Whether its result is there."""
        return (self.directory / "metrics.json").is_file()


class Sweep:
    """A question of `sweeps/` with what the command line changes in it.

    A value on the command line replaces an axis of the same key; commas make it an axis again.

    Args:
        name: The file's name.
        overrides: Hydra overrides from the command line.

    Raises:
        UserError: If there is no such sweep.
    """

    def __init__(self, name: str, overrides: Sequence[str]) -> None:
        names = [path.stem for path in sorted(SWEEPS.glob("*.yaml"))]
        if name not in names:
            raise UserError(f"{name} is not a sweep{did_you_mean(name, names)}")
        self.name = name
        self.settings: Any = OmegaConf.load(SWEEPS / f"{name}.yaml").sweep
        self.command = str(self.settings.command)
        self.axes = {key: [str(value) for value in values] for key, values in self.settings.axes.items()}
        self.fixed: list[str] = []
        for override in overrides:
            key, _, value = override.partition("=")
            self.axes.pop(key, None)
            if "," in value and not value.startswith(("[", "{")):
                self.axes[key] = value.split(",")
            else:
                self.fixed.append(override)
        self.notice = ""
        self.directory = Path()

    def jobs(self) -> list[Job]:
        """Every combination of the axes, each composed, so that a mistake shows before the first starts."""
        common = [f"hydra.searchpath=[file://{ROOT}]", f"+sweeps={self.name}"]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            first = self._compose([*common, *self.fixed])
            self.directory = Path(first.output_dir) / "sweeps" / self.name
            chosen = any(override.startswith("dataset=") for override in self.fixed) or "dataset" in self.axes
            if not chosen and not _has_data(first) and "without_data" in self.settings:
                self.notice = f"the files of {first.dataset._target_} are not in {first.dataset.root}: " + (
                    f"the sweep runs with {' '.join(self.settings.without_data)} instead."
                )
                common += [str(override) for override in self.settings.without_data]
            jobs = []
            for values in product(*self.axes.values()):
                point = dict(zip(self.axes, values, strict=True))
                overrides = [
                    *common,
                    *self.fixed,
                    *(f"{key}={value}" for key, value in point.items()),
                ]
                cfg = self._compose(overrides)
                folder = Path(cfg.output_dir) / FOLDERS[self.command] / signature(cfg)
                jobs.append(Job(point, overrides, folder))
        return jobs

    def _compose(self, overrides: list[str]) -> DictConfig:
        return compose(self.command, overrides)


def question(path: Path) -> str:
    """The question with which a sweep's file begins."""
    comments = [line.lstrip("# ") for line in path.read_text().splitlines() if line.startswith("#")]
    return next(comment for comment in comments if not comment.startswith("@"))


def _has_data(cfg: DictConfig) -> bool:
    if "files" not in cfg.dataset:
        return True
    root = Path(cfg.dataset.root).expanduser()
    return all((root / str(name)).is_file() for name in cfg.dataset.files)
