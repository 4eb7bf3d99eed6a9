"""Summary of a latent space: metrics, a table and notes."""

from collections.abc import Mapping

from torch import Tensor

from vae_lab.applications.base import Outcome, Shown
from vae_lab.applications.explore.view import MAX_DIMENSIONS, LatentView


def outcome(
    view: LatentView, in_plane: Mapping[str, float], labels: Tensor | None, notes: list[str]
) -> Outcome:
    """Outcome of the exploration of a latent space.

    Args:
        view: The latent space.
        in_plane: What was measured in the plane.
        labels: Of the codes, where there are any.
        notes: Caveats.
    """
    dimensions = view.codes.dimensions
    kl = [] if dimensions.kl is None else dimensions.kl.tolist()
    metrics = {"active_units": float(dimensions.active.sum())}
    metrics |= {f"kl_per_dimension/{index}": nats for index, nats in enumerate(kl)}
    shown = Shown(
        ("active dimensions", "KL in nats", "variance of mean"),
        [*_of_dimensions(view), *_of_plane(in_plane, labels)],
    )
    return Outcome(metrics | dict(in_plane), "active_units", shown, [*_notes(view), *notes])


def _of_dimensions(view: LatentView) -> list[tuple[str, str, str]]:
    kl, variances, _ = view.codes.dimensions
    count, of = int(view.codes.dimensions.active.sum()), len(variances)
    first = view.codes.dimensions.order(of)[: min(count, MAX_DIMENSIONS)]
    rows = [(f"  z_{d}", "" if kl is None else f"{kl[d]:.3f}", f"{variances[d]:.3f}") for d in first]
    more = [(f"  and {count - MAX_DIMENSIONS} more", "", "")] if count > MAX_DIMENSIONS else []
    return [*rows, *more, ("active units", str(count), f"of {of}")]


def _of_plane(in_plane: Mapping[str, float], labels: Tensor | None) -> list[tuple[str, str, str]]:
    rows = []
    if "explained_variance/1" in in_plane:
        first, second = (in_plane[f"explained_variance/{index}"] for index in (1, 2))
        rows.append(("explained variance", f"{first:.3f}", f"and {second:.3f}"))
    if "knn_accuracy" in in_plane and labels is not None:
        largest = float(labels.unique(return_counts=True)[1].max() / len(labels))
        rows.append(("k-NN accuracy", f"{in_plane['knn_accuracy']:.3f}", f"largest class {largest:.3f}"))
    return rows


def _notes(view: LatentView) -> list[str]:
    notes = []
    dimensions, vae = view.codes.dimensions, view.vae
    of = f"q(z|x) of {type(vae.posterior).__name__}"
    of = of if vae.prior.has_terms else f"p(z) of {type(vae.prior).__name__}"
    if not view.has_prior:
        notes.append("an autoencoder has no p(z): no KL, no contours; dimensions go by their variance")
    elif dimensions.kl is None:
        notes.append(f"log {of} is no sum over dimensions, which have no KL and go by the variance of means")
    if view.seen < view.vae.latent_dim:
        notes.append(
            f"the figures show the {view.seen} dimensions that the decoder sees, of {view.vae.latent_dim}"
        )
    if not bool(dimensions.active.any()):
        notes.append("posterior collapse: no latent dimension is active")
    return notes
