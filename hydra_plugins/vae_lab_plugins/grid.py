"""The sweeper `hydra/sweeper=grid`."""

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class GridSweeper(Sweeper):
    """Runs every combination of the axes of a sweep's file and of the command line, and draws what it found.

    What is done already is not started again, and what cannot run stops the sweep before it begins.
    """

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.config = config
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        from vae_lab.sweep.run import run_sweep

        assert self.hydra_context is not None
        assert self.config is not None
        run_sweep(self.config, self.hydra_context, self.launcher, arguments)
