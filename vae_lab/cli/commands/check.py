"""`vae-lab check`."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from vae_lab.cli.output import CheckProgress, show_check, show_done
from vae_lab.config import schema
from vae_lab.config.explain import exit_if_explained
from vae_lab.files.paths import CONF
from vae_lab.runs import signature
from vae_lab.runs.directory import RunDirectory
from vae_lab.runs.failure import record
from vae_lab.runs.result import result_of

PARTS = ("estimator", "dataset", "model.likelihood", "model.posterior", "model.encoder", "model.decoder")

schema.register_schemas()
signature.register_signature()


def with_parts(words: Sequence[str]) -> list[str]:
    """The words of a command, with the parts that they name.

    Example:
        >>> with_parts(["estimator=rloo", "estimator.num_samples=2", "seed=1"])
        ['estimator=rloo', 'estimator.num_samples=2', 'seed=1', 'parts=[estimator]']
    """
    keys = [re.split(r"[=@]", word.lstrip("+~"), maxsplit=1)[0].replace("/", ".") for word in words]
    named = [part for part in PARTS if any(key == part or key.startswith(f"{part}.") for key in keys)]
    return [*words, f"parts=[{','.join(named)}]"] if named and "parts" not in keys else [*words]


def check(cfg: DictConfig) -> None:
    """Raises `UserError` if the configuration cannot make a check; writes nothing."""
    from vae_lab.applications.check.settings import CheckSettings

    CheckSettings.of(cfg)


@hydra.main(config_path=str(CONF), config_name="check", version_base="1.3")
def _main(cfg: DictConfig) -> None:
    hydra_config = HydraConfig.get()
    path = Path(hydra_config.runtime.output_dir)
    try:
        directory = RunDirectory(path, cfg, list(hydra_config.overrides.task))
        if (result := directory.kept()) is None:
            from vae_lab.applications.check.judge import judge  # imports torch
            from vae_lab.applications.check.settings import CheckSettings

            settings = CheckSettings.of(cfg)
            with CheckProgress() as progress:
                judge(settings, directory, progress)
        else:
            show_done("This part is checked already", result)
        result = result_of(path)
        show_check(result, path)
    except Exception as error:
        record(error, path, "check")
        if hydra_config.mode == RunMode.RUN:
            exit_if_explained(error, "check")
        raise
    if result.metrics["failed"] and hydra_config.mode == RunMode.RUN:
        sys.exit(1)


def main() -> None:
    """Judges the parts that a command names; exit status 1 if one is not as it declares."""
    sys.argv = [sys.argv[0], *with_parts(sys.argv[1:])]
    _main()
