"""The base of applications of a trained model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from vae_lab.trained.model import TrainedModel

Progress = Callable[[int, int], None]  # called with how many are done, and of how many


@dataclass(frozen=True)
class Shown:
    """A table for the terminal, in words and numbers as they are printed; the first column names the rows."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Outcome:
    """The outcome of an application of a trained model.

    Args:
        metrics: By name.
        metric: The name of the one by which a sweep judges, the higher the better.
        shown: What the terminal shows.
        notes: Caveats.
        details: Further entries of `metrics.json`.
        checkpoints: Those of other runs that it depends on.
    """

    metrics: dict[str, float]
    metric: str
    shown: Shown | None = None
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    checkpoints: list[Path] = field(default_factory=list)


class Application:
    """Something to do with a trained model; its arguments are root keys of the command's configuration.

    Attributes:
        needs_pixels: Whether the model must describe pixels.
        needs_density: Whether autoencoders, which have no p(x), are left out where it goes over a sweep.
    """

    needs_pixels: ClassVar[bool] = True
    needs_density: ClassVar[bool] = True

    def prepare(self, model: TrainedModel) -> Any:
        """The data that it needs, with everything checked that can be; writes nothing.

        Raises:
            ValueError: If the model cannot serve; the message begins with the argument.
            UserError: If data cannot be read.
        """
        raise NotImplementedError

    def __call__(self, model: TrainedModel, prepared: Any, folder: Path, progress: Progress) -> Outcome:
        """Does it, and leaves tables and figures (PNG) in the folder."""
        raise NotImplementedError
