"""The figure of a check of gradients."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes

from vae_lab.checks.finding import Finding
from vae_lab.figures.style import figure

COLOURS = {"encoder": "#0b5cad", "model": "#3a8f5c"}
MARKERS = {"encoder": "o", "model": "s"}
FAILED = "#c44e2b"


def draw_lengths(findings: Mapping[str, Sequence[Finding]], path: Path) -> Path | None:
    """The mean gradient along the true one, for each model and setting, with 95 % intervals.

    Returns:
        The path; None if no gradient was compared.
    """
    rows = [each for part in findings.values() for each in part if each.comparison and each.comparison.ratios]
    if not rows:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    with figure(path, 6.0, 1.0 + 0.24 * len(rows)) as canvas:
        panel = canvas.subplots()
        panel.axvline(1.0, color="#8a8a8a", linewidth=1)
        for place, row in enumerate(reversed(rows)):
            _draw_row(panel, place, row)
        panel.set_yticks(range(len(rows)), [row.subject for row in reversed(rows)])
        panel.set_ylim(-0.6, len(rows) - 0.4)
        panel.set_xlabel("mean gradient along the true one, in its length, with 95 % interval")
        handles = [
            panel.plot([], [], MARKERS[name], color=colour, ms=4, label=f"parameters of the {name}")[0]
            for name, colour in COLOURS.items()
        ]
        canvas.legend(handles=handles, loc="outside upper center", ncols=2)
    return path


def _draw_row(panel: Axes, place: int, row: Finding) -> None:
    assert row.comparison is not None
    for offset, (name, colour) in zip((0.13, -0.13), COLOURS.items(), strict=True):
        if name in row.comparison.ratios:
            ratio, error = row.comparison.ratios[name], 1.96 * row.comparison.errors[name]
            shown = FAILED if row.status == "failed" else colour
            panel.errorbar(ratio, place + offset, xerr=error, fmt=MARKERS[name], color=shown, ms=4)
