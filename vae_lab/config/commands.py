"""The commands, each with what the command line, a signature and the fork server know of it."""

from typing import NamedTuple


class Command(NamedTuple):
    """One command.

    Args:
        summary: Its line in the usage.
        module: The module of `vae_lab.cli.commands` that carries it out.
        has_configuration: Whether its words are Hydra's, of `conf/<name>.yaml`; else they are names.
        not_defining: Keys of its configuration that define no result, beside those of every command.
        files: Keys that may name a user's own files, which enter a signature by what they hold. Files of a
            dataset enter by their checksums or by what lies at its path; of other data nothing is known but
            where they lie.
    """

    summary: str
    module: str
    has_configuration: bool = True
    not_defining: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()


def _application(summary: str, *files: str, not_defining: frozenset[str] = frozenset()) -> Command:
    return Command(summary, "application", True, not_defining | {"runs"}, frozenset(files))


COMMANDS = {
    "train": Command("train one configuration and measure it, or several with -m key=a,b", "train"),
    "evaluate": _application(
        "measure how good a trained model is, or several: bounds, log-likelihood, latent space"
    ),
    "generate": _application("draw new data from a trained model, each beside the nearest training datum"),
    "explore": _application(
        "show the latent space of a trained model: traversals, interpolations, codes in a plane", "between"
    ),
    "embed": _application(
        "write the codes of data, and measure how good they are as a representation",
        "data",
        not_defining=frozenset({"out"}),
    ),
    "impute": _application(
        "fill in missing pixels by a trained model, and measure how well", "data", "missing"
    ),
    "gradients": Command(
        "measure variance, bias and cost of gradient estimators at a state of a model",
        "gradients",
        not_defining=frozenset({"num_samples"}),  # which its estimators refer to
    ),
    "check": Command("judge a part of your own by what it declares, such as check estimator=mine", "check"),
    "outliers": _application("detect outliers by scores of a trained model", "against"),
    "sweep": Command(
        "run a question from sweeps/ to its table and its figure; alone: list the questions", "sweep", False
    ),
    "new": Command("begin a part of your own: the class, its option and its test", "new", False),
    "status": Command("show how the runs of a sweep stand, here or at SLURM", "status", False),
    "runs": Command("list runs by conditions, show one, compare two, delete some", "runs", False),
    "figures": Command("collect and draw again the finished runs of a sweep", "figures", False),
}
