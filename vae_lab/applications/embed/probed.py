"""Results of a probe of codes, by name and as a table."""

from vae_lab.applications.base import Shown
from vae_lab.applications.embed.figures import NAMES
from vae_lab.applications.embed.probing_codes import Probed

CLASSIFIER_NAMES = {"linear": "linear", "knn": "neighbours"}


def metrics_of(probed: Probed) -> dict[str, float]:
    """Such as `accuracy/linear/code/100`, and its standard error over the draws of the labels."""
    every = max(score.labels for score in probed.scores)
    metrics = {"accuracy/chance": probed.chance}
    for score in probed.scores:
        name = f"{score.classifier}/{score.features}/{'all' if score.labels == every else score.labels}"
        metrics[f"accuracy/{name}"] = score.mean
        if score.standard_error is not None:
            metrics[f"standard_error/{name}"] = score.standard_error
    return metrics


def table_of(probed: Probed) -> Shown:
    """A row for each classifier and features, a column for each number of labels."""
    sizes = sorted({score.labels for score in probed.scores})
    rows: dict[str, list[str]] = {}
    for score in sorted(probed.scores, key=lambda score: score.labels):
        row = rows.setdefault(f"{CLASSIFIER_NAMES[score.classifier]} on {NAMES[score.features]}", [])
        error = "" if score.standard_error is None else f" ± {score.standard_error:.3f}"
        row.append(f"{score.mean:.3f}{error}")
    rows["chance"] = [f"{probed.chance:.3f}" for _ in sizes]
    head = [f"{count:,} labels" for count in sizes[:-1]]
    return Shown(
        ("accuracy ± s.e.", *head, f"all {sizes[-1]:,}"), [(name, *row) for name, row in rows.items()]
    )
