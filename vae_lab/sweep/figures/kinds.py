"""Kinds of figures of a sweep, each drawn by a function that is imported when it is needed."""

from importlib import import_module
from pathlib import Path

from vae_lab.errors import UserError, did_you_mean
from vae_lab.sweep.table import Results

# Where each is drawn, by a function of the results and a folder that gives the paths of what it wrote.
FIGURES = {
    "against": "vae_lab.sweep.figures.against:draw_against",
    "curves": "vae_lab.sweep.figures.curves:draw_curves",
    "gradients": "vae_lab.sweep.figures.measurements:draw_gradients",
    "manifolds": "vae_lab.sweep.figures.models:draw_manifolds",
    "outliers": "vae_lab.sweep.figures.outliers:draw_outliers",
    "samples": "vae_lab.sweep.figures.models:draw_samples",
    "snr": "vae_lab.sweep.figures.measurements:draw_snr",
    "burda2016_table1": "vae_lab.reproductions.burda2016.table1:table1",
    "model_zoo": "vae_lab.reproductions.model_zoo:model_zoo",
    "kingma2014_figure2": "vae_lab.reproductions.kingma2014.figure2:figure2",
    "kingma2014_figure3": "vae_lab.reproductions.kingma2014.figure3:figure3",
    "mohamed2020": "vae_lab.reproductions.mohamed2020.figures:figures2_and_3",
}


def check_figure(kind: str | None) -> None:
    """Checks the figure that a sweep's file or the command line names.

    Raises:
        UserError: If there is no such kind of figure.
    """
    if kind is not None and kind not in ("default", *FIGURES):
        raise UserError(f"sweep.figure={kind} is not a kind of figure{did_you_mean(kind, FIGURES)}")


def draw_figure(results: Results, folder: Path) -> list[Path]:
    """Draws the figure that the sweep's file names; gives the paths.

    Raises:
        UserError: If there is no such kind of figure.
    """
    kind = results.manifest.figure
    if results.runs.is_empty() or kind is None:
        return []
    check_figure(kind)
    module, _, function = FIGURES[kind].partition(":")
    paths: list[Path] = getattr(import_module(module), function)(results, folder)
    return paths
