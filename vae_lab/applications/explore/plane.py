"""Codes in a plane: their figure, their table and what is measured there."""

from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from vae_lab.applications.explore.density_regions import density_levels
from vae_lab.applications.explore.figures.aggregate_posterior import Contours, aggregate_posterior
from vae_lab.applications.explore.projection import Projected, Projection, knn_accuracy, project
from vae_lab.applications.explore.view import LatentView
from vae_lab.models.sampling import tensor_of

MASSES = (0.5, 0.95)  # of the regions of the prior
MOST_OF_PRIOR = (0.002, 0.998)  # quantiles of a dimension, between which the regions lie
GRID = 150  # points along each axis at which the density is known


def draw_plane(
    view: LatentView, labels: Tensor | None, projection: Projection, title: str, folder: Path
) -> tuple[dict[str, float], list[str]]:
    """Leaves `aggregate_posterior.png` and `coordinates.parquet`; gives metrics and notes.

    Two dimensions are drawn as they are, with the prior where there is one. One makes no figure.

    Args:
        view: The latent space.
        labels: Of the codes, where there are any.
        projection: Of more than two dimensions.
        title: Of the figure.
        folder: Where the files go.
    """
    plane = _plane(view, projection)
    _write(view, plane, labels, folder)
    metrics = {f"explained_variance/{index}": share for index, share in enumerate(plane.explained, start=1)}
    if labels is not None:
        metrics["knn_accuracy"] = knn_accuracy(plane.coordinates, labels)
    if view.seen == 1:
        return metrics, ["aggregate_posterior.png is left out: one latent dimension makes no plane"]
    contours = _contours(view, plane.coordinates) if view.vae.latent_dim == 2 and view.has_prior else None
    names = _axis_names(view, plane)
    aggregate_posterior(plane.coordinates, labels, names, title, contours, folder / "aggregate_posterior.png")
    return metrics, []


def _plane(view: LatentView, projection: Projection) -> Projected:
    z = view.codes.z[:, : view.seen]
    return project(z, projection, view.model.noise.seed) if view.seen > 2 else Projected(z.double())


def _write(view: LatentView, plane: Projected, labels: Tensor | None, folder: Path) -> None:
    columns = {"index": view.codes.numbers} | ({} if labels is None else {"label": labels})
    columns |= dict(zip(("first", "second"), plane.coordinates.T, strict=False))
    table = pl.DataFrame({name: column.numpy() for name, column in columns.items()})
    table.write_parquet(folder / "coordinates.parquet")


def _axis_names(view: LatentView, plane: Projected) -> tuple[str, str]:
    if view.seen == 2:
        return "z_0", "z_1"
    if not plane.explained:
        return "t-SNE, first", "t-SNE, second"
    first, second = (f"{100 * share:.0f} % of the variance" for share in plane.explained)
    return f"first principal component ({first})", f"second ({second})"


def _contours(view: LatentView, coordinates: Tensor) -> Contours:
    """The prior's regions, over all codes and most of the prior."""
    prior, like = view.vae.prior, tensor_of(view.vae)
    samples = view.prior_samples()
    quantiles = torch.tensor(MOST_OF_PRIOR, dtype=torch.float64)
    both = torch.cat([coordinates, samples.cpu().double().quantile(quantiles, dim=0)])
    first, second = (
        torch.linspace(low, high, GRID)
        for low, high in zip(both.amin(0).tolist(), both.amax(0).tolist(), strict=True)
    )
    with torch.no_grad():
        log_p = prior.log_prob(torch.cartesian_prod(first, second).to(like).unsqueeze(0))[0]
    levels = density_levels(prior, samples, MASSES)
    named = {level: f"{100 * mass:.0f} %" for level, mass in zip(levels, MASSES, strict=True)}
    return Contours(first, second, log_p.cpu().double().reshape(GRID, GRID).T, named)
