"""Commands of the command line; torch is imported inside the task only."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple


class Command(NamedTuple):
    """One command.

    Args:
        summary: What the usage says of it.
        module: Which carries it out, below this package.
        has_configuration: Whether its words are Hydra's, of `conf/<name>.yaml`; else they are names.
    """

    summary: str
    module: str
    has_configuration: bool = True


COMMANDS = {
    "train": Command("train one configuration and measure it, or several with -m key=a,b", "train"),
    "evaluate": Command(
        "measure how good a trained model is, or several: bounds, log-likelihood, latent space", "application"
    ),
    "generate": Command(
        "draw new data from a trained model, each beside the nearest training datum", "application"
    ),
    "explore": Command(
        "show the latent space of a trained model: traversals, interpolations, codes in a plane",
        "application",
    ),
    "embed": Command(
        "write the codes of data, and measure how good they are as a representation", "application"
    ),
    "impute": Command("fill in missing pixels by a trained model, and measure how well", "application"),
    "gradients": Command(
        "measure variance, bias and cost of gradient estimators at a state of a model", "gradients"
    ),
    "outliers": Command("detect outliers by scores of a trained model", "application"),
    "sweep": Command(
        "run a question from sweeps/ to its table and its figure; alone: list the questions", "sweep", False
    ),
    "status": Command("show how the runs of a sweep stand, here or at SLURM", "status", False),
    "figures": Command("collect and draw again the finished runs of a sweep", "figures", False),
}


def main_of(name: str) -> Callable[..., Any]:
    """The function that carries out a command, with the words of `sys.argv` or a configuration."""
    if COMMANDS[name].module == "application":
        return _module(name).command(name)
    return _module(name).main


def check_of(name: str) -> Callable[[Any], None]:
    """The function that raises `UserError` if a configuration cannot make a result; it writes nothing."""
    check: Callable[[Any], None] = _module(name).check
    return check


def _module(name: str) -> Any:
    return import_module(f"{__name__}.{COMMANDS[name].module}")
