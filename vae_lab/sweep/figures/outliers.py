"""The figure of a sweep over scores of outliers."""

from pathlib import Path

from vae_lab.applications.outliers.figures.of_sweep import auroc_table
from vae_lab.sweep.table import Results


def draw_outliers(results: Results, folder: Path) -> list[Path]:
    """Draws AUROC of each score for each question."""
    if results.settings.is_empty():
        return []
    path = folder / "figure.png"
    auroc_table(results.settings, results.manifest.axes("scientific"), path)
    return [path]
