"""The types of the root keys; every group below them is plain YAML."""

from dataclasses import dataclass, field
from typing import Any, Literal

from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from vae_lab.errors import UserError

# Groups of a training, which are none where a model fits itself; and all whose option is a node.
TRAINING_GROUPS = ("estimator", "optimizer", "trainer", "evaluation")
GROUPS = ("dataset", "model", "noise", "logger", "callbacks", *TRAINING_GROUPS)


@dataclass
class SweepConfig:
    """The settings of a sweep in a file of `sweeps/`; an axis maps its key to its values.

    Args:
        name: Of the sweep.
        command: Which runs, such as `train` or `outliers`.
        scientific: Axes that the question compares.
        nuisance: Axes of which the best value on the validation split is taken for each of those.
        repeats: Axes over which is averaged.
        only: Labels to which an axis is restricted.
        figure: Kind of figure, one of `FIGURES` in `vae_lab.sweep.figures.kinds`; `default` is `gradients`
            for that command and `against` for the others.
        metric: What the table and the figure are about; the bound on the test part unless given.
        models: Name of another sweep, of trainings, which is run first and whose runs this one goes over.
        without_data: Overrides to run with where the data's files are absent.
        anew: Whether the sweep of this name is to consist of the runs that are asked for alone; otherwise it
            grows by them.
    """

    name: str | None = None
    command: str = "train"
    scientific: dict[str, Any] = field(default_factory=dict)
    nuisance: dict[str, Any] = field(default_factory=dict)
    repeats: dict[str, Any] = field(default_factory=dict)
    only: dict[str, Any] = field(default_factory=dict)
    figure: str | None = "default"
    metric: str | None = None
    models: str | None = None
    without_data: list[str] = field(default_factory=list)
    anew: bool = False


@dataclass
class TrainConfig:
    """Root keys of `conf/train.yaml`; any other is refused, in a file and on the command line."""

    dataset: Any = MISSING
    model: Any = MISSING
    estimator: Any = MISSING
    noise: Any = MISSING
    optimizer: Any = MISSING
    trainer: Any = MISSING
    evaluation: Any = MISSING
    logger: Any = MISSING
    callbacks: Any = MISSING
    sweep: SweepConfig = field(default_factory=SweepConfig)
    seed: int = 0
    rerun: Any = False
    output_dir: str = "outputs"


@dataclass
class GradientsConfig(TrainConfig):
    """Root keys of `conf/gradients.yaml`: those of the training that makes the model, and the probe's."""

    estimators: Any = MISSING
    probe: Any = MISSING
    num_samples: int = 5
    run: str | None = None
    at: Any = 0


@dataclass
class CheckConfig(TrainConfig):
    """Root keys of `conf/check.yaml`: those of the experiment whose parts are judged, and which are."""

    parts: Any = None
    beside: str | None = "auto"
    at: Any = 0


@dataclass
class ApplicationConfig:
    """Root keys that every command on a trained model has, beside the arguments of its `_target_`."""

    run: str | None = None
    runs: Any = None
    seed: int | None = None
    trainer: Any = MISSING
    logger: Any = MISSING
    sweep: SweepConfig = field(default_factory=SweepConfig)
    rerun: Any = False
    output_dir: str = "outputs"


def rerun(cfg: DictConfig) -> bool | Literal["code"]:
    """Whether a result that is done is asked for again: never, in any case, or if other code made it.

    Raises:
        UserError: If the value is none of these.
    """
    value = cfg.rerun
    if type(value) is not bool and value != "code":
        raise UserError(f"rerun must be false, true or code, got {value}.")
    return value


def register_schemas() -> None:
    """Makes the schemas known to Hydra."""
    start = {"_target_": "vae_lab.cli.start.Start"}
    own = HydraConf(output_subdir=None, callbacks={"start": start})  # what a run leaves is written by the run
    ConfigStore.instance().store(group="hydra", name="config", node=own, provider="vae_lab")
    ConfigStore.instance().store(name="train_schema", node=TrainConfig)
    ConfigStore.instance().store(name="gradients_schema", node=GradientsConfig)
    ConfigStore.instance().store(name="check_schema", node=CheckConfig)
    typed = OmegaConf.structured(ApplicationConfig)
    of_run = OmegaConf.create({name: typed._get_node(name) for name in typed})  # a command adds its own keys
    ConfigStore.instance().store(name="application_schema", node=of_run)
