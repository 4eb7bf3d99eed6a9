"""The progress of a training in the terminal."""

import time
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

REFRESH_SECONDS = 0.2


class Progress(pl.Callback):
    """A bar with samples, validation metric and time left in a terminal; a line per tenth elsewhere.

    Args:
        metric: Which metric to show.
        batch_size: Global batch size.
    """

    def __init__(self, metric: str, batch_size: int) -> None:
        self.metric = metric
        self.batch_size = batch_size
        self.console = Console(stderr=True)
        self.bar: Bar | None = None
        self._shown_at = 0.0
        self._tenth = 0

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        if trainer.global_step:
            self.console.print(f"continuing at {self._samples(trainer):,} samples", highlight=False)
        if not self.console.is_terminal:
            return
        self.bar = Bar(
            TextColumn("training"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} / {task.total:,.0f} samples"),
            TextColumn("{task.fields[metric]}"),
            TimeRemainingColumn(),
            console=self.console,
            auto_refresh=False,
            transient=True,
        )
        total = trainer.max_steps * self.batch_size
        self.bar.add_task("training", total=total, completed=self._samples(trainer), metric="")
        self.bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        now = time.monotonic()
        if now - self._shown_at < REFRESH_SECONDS or not trainer.is_global_zero:
            return
        self._shown_at = now
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=self._samples(trainer), refresh=True)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if not trainer.is_global_zero or trainer.state.fn != "fit":
            return
        value = trainer.callback_metrics.get(self.metric)  # none without a validation part
        text = "" if value is None else f"{self.metric} {float(value):.2f}"
        tenth = 10 * trainer.global_step // trainer.max_steps
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], metric=text, refresh=True)
        elif tenth > self._tenth:
            self._tenth = tenth
            self.console.print(
                f"{self._samples(trainer):,} / {trainer.max_steps * self.batch_size:,} samples  {text}",
                highlight=False,
            )

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        self._stop()
        if isinstance(exception, KeyboardInterrupt) and trainer.is_global_zero:
            self.console.print("interrupted; the same command continues from the last checkpoint.")

    def _stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _samples(self, trainer: pl.Trainer) -> int:
        return trainer.global_step * self.batch_size
