"""Figures of what the models of a sweep generate."""

from pathlib import Path

from vae_lab.sweep.table import Results
from vae_lab.trained import figures


def draw_manifolds(results: Results, folder: Path) -> list[Path]:
    """Draws the manifold of each model with a latent space of two dimensions."""
    path = folder / "figure.png"
    figures.manifolds(_done(results), path)
    return [path]


def draw_samples(results: Results, folder: Path) -> list[Path]:
    """Draws samples of each model."""
    path = folder / "figure.png"
    figures.samples(_done(results), path)
    return [path]


def _done(results: Results) -> list[Path]:
    return [entry.directory for entry in results.manifest.entries if entry.is_done]
