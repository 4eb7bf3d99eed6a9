"""The settings of a check: its configuration is read here, and nowhere below."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import nn

from vae_lab.applications.gradients.settings import GradientsSettings
from vae_lab.checks.dataset import check_dataset
from vae_lab.checks.estimator import check_estimator
from vae_lab.checks.finding import Finding
from vae_lab.checks.likelihood import check_likelihood
from vae_lab.checks.network import check_network
from vae_lab.checks.posterior import check_posterior
from vae_lab.config.instantiate import instantiate
from vae_lab.config.options import options_of
from vae_lab.config.schema import CheckConfig
from vae_lab.datasets.base import SplitDataset
from vae_lab.errors import UserError, did_you_mean
from vae_lab.estimators.base import Estimator, Needs
from vae_lab.estimators.multi_sample import MultiSampleEstimator
from vae_lab.models.distributions.posterior import Posterior
from vae_lab.models.likelihoods.base import Likelihood
from vae_lab.runs.directory import RunDirectory
from vae_lab.runs.signature import signature
from vae_lab.training.build_model import sized
from vae_lab.training.settings import check_root

KINDS_OF_KL = ("analytic", "sampled", "entropy")
NUMBERS_OF_SAMPLES = (1, 2, 5)
BETA = 2.5
DISCRETE_NEEDS = {Needs.DISCRETE_LATENTS, Needs.BINARY_LATENTS, Needs.FEW_VALUES}
DISCRETE_MODEL = ("model/posterior=bernoulli", "model/prior=bernoulli")
Findings = Callable[[], Iterator[Finding]]


@dataclass(frozen=True)
class BesideOthers:
    """The measurement of an estimator beside others.

    Args:
        settings: Of the measurement.
        directory: Where its result is, or will be.
        name: The estimator's among those measured.
    """

    settings: GradientsSettings
    directory: RunDirectory
    name: str


@dataclass(frozen=True)
class CheckSettings:
    """The configuration of a check.

    Args:
        findings: The checks of each part, by its key.
        declared: What each part declares, in a sentence, by its key.
        measurement: Of an estimator beside others; None if none is asked for.
    """

    findings: dict[str, Findings]
    declared: dict[str, str]
    measurement: BesideOthers | None

    @classmethod
    def of(cls, cfg: DictConfig) -> "CheckSettings":
        """The settings that a configuration holds.

        Raises:
            UserError: If the configuration is wrong, or names no part that can be checked.
        """
        check_root(cfg, CheckConfig)
        parts = _parts(cfg)
        settings = {part: PARTS[part](cfg) for part in parts}
        return cls(
            {part: findings for part, (findings, _) in settings.items()},
            {part: declared for part, (_, declared) in settings.items()},
            _measurement(cfg) if "estimator" in parts and cfg.beside is not None else None,
        )


def _parts(cfg: DictConfig) -> list[str]:
    parts = cfg.parts if OmegaConf.is_list(cfg.parts) else [cfg.parts]
    for part in parts:
        if part is None:
            raise UserError("check needs a part to judge, such as estimator=mine.")
        if part not in PARTS:
            raise UserError(
                f"parts must hold parts that can be checked, got {part!r}{did_you_mean(str(part), PARTS)}"
            )
    return [str(part) for part in parts]


def _of_estimator(cfg: DictConfig) -> tuple[Findings, str]:
    node = cfg.estimator

    def make(**changes: Any) -> Estimator:
        estimator: Estimator = instantiate(OmegaConf.merge(node, changes), "estimator", Estimator)
        return estimator

    return partial(check_estimator, make, _variants(node)), _declared(make())


def _variants(node: DictConfig) -> list[dict[str, Any]]:
    """Changes of the arguments that estimators share, one at a time."""
    choices: dict[str, tuple[Any, ...]] = {
        "kl": KINDS_OF_KL, "num_samples": NUMBERS_OF_SAMPLES, "beta": (BETA,)
    }  # fmt: skip
    return [
        {name: value}
        for name, values in choices.items()
        for value in values
        if name in node and node[name] != value
    ]


def _declared(estimator: Estimator) -> str:
    bias = f"biased: {estimator.bias}" if estimator.bias else "unbiased"
    needs = ", ".join(need.value for need in Needs if need in estimator.requires)
    return f"{type(estimator).__name__}: target {estimator.target}, {bias}; needs {needs}"


def _measurement(cfg: DictConfig) -> BesideOthers:
    """The measurement of the estimator beside a set of others, on the model and the data of the check."""
    estimator: Estimator = instantiate(cfg.estimator, "estimator", Estimator)
    others, words = _others(estimator)
    if cfg.beside != "auto":
        others = str(cfg.beside)
        if others not in (known := options_of("estimators")):
            raise UserError(
                f"beside must be auto, null or a set, got {others!r}{did_you_mean(others, known)}"
            )
    states = list(cfg.at) if OmegaConf.is_list(cfg.at) else [cfg.at]
    budget = max((state for state in states if isinstance(state, int)), default=0)
    whole = compose(
        "gradients",
        [
            *words,
            f"estimators={others}",
            "logger=none",
            "trainer.evaluate_at=end",
            f"trainer.max_samples={max(budget, 1)}",
        ],
    )
    taken = ["dataset", "seed", "noise", "output_dir"] + ([] if words and _is_default(cfg) else ["model"])
    with open_dict(whole):
        whole.at = states
        for key in taken:
            whole[key] = _plain(cfg[key])
        option = HydraConfig.get().runtime.choices.get("estimator")
        name = option if option and option not in whole.estimators else "checked"
        whole.estimators = {name: _plain(cfg.estimator), **_plain(whole.estimators)}
    path = Path(cfg.output_dir) / "gradients" / signature(whole)
    return BesideOthers(GradientsSettings.of(whole), RunDirectory(path, whole), name)


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _others(estimator: Estimator) -> tuple[str, list[str]]:
    """The set of estimators beside which one is measured, and the model that it needs."""
    if estimator.requires & DISCRETE_NEEDS:
        return "discrete", [*DISCRETE_MODEL, "estimator=rloo"]
    if isinstance(estimator, MultiSampleEstimator):
        return "importance_weighted", [f"num_samples={max(2, estimator.num_samples)}"]
    return "single_sample", []


def _is_default(cfg: DictConfig) -> bool:
    """Whether the model has continuous latent variables, as it has unless the command says otherwise."""
    target = str(OmegaConf.select(cfg, "model.posterior._target_", default=""))
    return not target.endswith((".Bernoulli", ".Categorical"))


def _of_dataset(cfg: DictConfig) -> tuple[Findings, str]:
    def make() -> SplitDataset:
        dataset: SplitDataset = instantiate(cfg.dataset, "dataset", SplitDataset)
        return dataset

    return partial(check_dataset, make), type(make()).__name__


def _of_model(part: str, cfg: DictConfig) -> tuple[Findings, str]:
    key = f"model.{part}"
    node = OmegaConf.select(cfg, key)
    if node is None:
        raise UserError(f"{key} is none of this model's parts; choose another model.")
    checks: dict[str, tuple[Callable[..., Iterator[Finding]], Any]] = {
        "likelihood": (check_likelihood, Likelihood),
        "posterior": (check_posterior, Posterior),
        "encoder": (partial(check_network, roles=("encoder",)), nn.Module),
        "decoder": (partial(check_network, roles=("decoder",)), nn.Module),
    }
    check, kind = checks[part]

    def make(**sizes: Any) -> Any:
        return sized(node, key, kind, sizes)

    return partial(check, make), str(node["_target_"]).rsplit(".", 1)[-1]


PARTS: dict[str, Callable[[DictConfig], tuple[Findings, str]]] = {
    "estimator": _of_estimator,
    "dataset": _of_dataset,
    **{
        f"model.{part}": partial(_of_model, part)
        for part in ("likelihood", "posterior", "encoder", "decoder")
    },
}
