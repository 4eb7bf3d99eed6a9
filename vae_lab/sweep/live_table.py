"""The progress of a running sweep: a live table in a terminal, a line per event elsewhere."""

import time
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vae_lab.sweep.launchers.pool import Task

REFRESH_SECONDS = 0.5
ROWS = 20  # of running and failed runs in the terminal


class LiveTable:
    """Shows tasks while they run.

    Args:
        name: Of the sweep.
        slots: How many run at a time.
        console: Where to.
    """

    def __init__(self, name: str, slots: int, console: Console | None = None) -> None:
        self.name = name
        self.slots = slots
        self.console = console or Console(highlight=False, markup=False)
        self.live: Live | None = None
        self._began = time.monotonic()
        self._shown_at = 0.0
        self._said: dict[int, str] = {}

    def __enter__(self) -> "LiveTable":
        if self.console.is_terminal:
            self.live = Live(console=self.console, auto_refresh=False, transient=True)
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()

    def show(self, tasks: Sequence[Task]) -> None:
        """Shows how the tasks stand."""
        if self.live is None:
            self._say(tasks)
        elif time.monotonic() - self._shown_at > REFRESH_SECONDS:
            self._shown_at = time.monotonic()
            self.live.update(self.table(tasks), refresh=True)

    def table(self, tasks: Sequence[Task]) -> Table:
        """The live table."""
        table = Table(box=None, padding=(0, 2, 0, 0), title=self.summary(tasks), title_justify="left")
        for name in ("state", "run", "progress", "metric", "time"):
            table.add_column(name, style="dim" if name == "state" else "", no_wrap=name != "metric")
        table.show_header = False
        shown = [task for task in tasks if task.state in ("running", "elsewhere")]
        failed = [task for task in tasks if task.state == "failed"]
        for task in shown[:ROWS]:
            progress = task.progress()
            samples, total = progress.get("samples", 0), progress.get("total") or 1
            value, metric = progress.get("value"), progress.get("metric", "")
            table.add_row(
                task.state,
                task.job.label,
                ProgressBar(total=total, completed=samples, width=24),
                "" if value is None else f"{metric} {value:.2f}",
                _clock(time.monotonic() - task.started) if task.state == "running" else "",
            )
        for task in failed[:ROWS]:
            table.add_row(Text("failed", style="red"), task.job.label, "", task.error, _clock(task.seconds))
        hidden = max(0, len(shown) - ROWS) + max(0, len(failed) - ROWS)
        if hidden:
            table.add_row("", f"and {hidden} more")
        return table

    def summary(self, tasks: Sequence[Task]) -> str:
        """One line: how many are done, running, failed, and the time left."""
        count = Counter(task.state for task in tasks)
        parts = [f"{count['done']} of {len(tasks)} done"]
        parts += [f"{count[state]} {state}" for state in ("running", "elsewhere", "failed") if count[state]]
        left = self.seconds_left(tasks)
        if left is not None:
            parts.append(f"about {_clock(left)} left")
        return f"{self.name}: {', '.join(parts)}"

    def seconds_left(self, tasks: Sequence[Task]) -> float | None:
        """An estimate from the runs that ended here, or from those that run; None without either."""
        times = [task.seconds for task in tasks if task.state == "done" and task.seconds]
        running = [task for task in tasks if task.state == "running"]
        fractions = []
        for task in running:
            progress = task.progress()
            fractions.append(progress.get("samples", 0) / (progress.get("total") or 1))
            if not times and fractions[-1] > 0.02:
                times = [(time.monotonic() - task.started) / fractions[-1]]
        waiting = sum(task.state == "waiting" for task in tasks)
        if not times or not (running or waiting):
            return None
        return sum(times) / len(times) * (waiting + len(running) - sum(fractions)) / self.slots

    def _say(self, tasks: Sequence[Task]) -> None:
        for index, task in enumerate(tasks):
            if task.state == self._said.get(index, "waiting"):
                continue
            self._said[index] = task.state
            done = sum(each.state == "done" for each in tasks)
            if task.state == "done" and task.seconds:
                self.console.print(
                    f"done {done} of {len(tasks)}: {task.job.label} ({_clock(task.seconds)})", soft_wrap=True
                )
            elif task.state == "failed":
                self.console.print(f"failed: {task.job.label}: {task.error}", soft_wrap=True, markup=False)
            elif task.state in ("running", "elsewhere"):
                self.console.print(f"{task.state}: {task.job.label}", soft_wrap=True)


def _clock(seconds: float) -> str:
    """Seconds as a clock shows them.

    Example:
        >>> _clock(75), _clock(7275)
        ('1:15', '2:01:15')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
