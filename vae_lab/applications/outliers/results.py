"""Tables, pictures, metrics and caveats of the detection of outliers."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from vae_lab.applications.base import Shown
from vae_lab.applications.outliers.detection import Detection
from vae_lab.applications.outliers.scorer import Subset
from vae_lab.applications.outliers.scores import LIKELIHOOD_SCORES, WEIGHT_DIAGNOSTICS
from vae_lab.figures.images import image_grid
from vae_lab.inference.weights import doubts, tolerated

NUM_EXTREMES = 25
CONSEQUENCE = "their likelihoods may be too low, and more importance_samples tell"

Scores = Mapping[str, np.ndarray]


def scores_table(
    subsets: Mapping[str, Subset], scored: Mapping[str, Scores], names: Sequence[str]
) -> pl.DataFrame:
    """A row for each datum: its kind, its index there, file and label, and its scores.

    Args:
        subsets: The data, by kind.
        scored: Their scores.
        names: The scores that are columns.
    """
    return pl.concat([_rows(kind, subset, scored[kind], names) for kind, subset in subsets.items()])


def _rows(kind: str, subset: Subset, scores: Scores, names: Sequence[str]) -> pl.DataFrame:
    indices, files, labels = subset.indices.tolist(), subset.data.names, subset.data.split.labels
    nothing = [None] * len(indices)
    columns: dict[str, Any] = {
        "kind": [kind] * len(indices),
        "index": indices,
        "file": nothing if files is None else [files[index] for index in indices],
        "label": nothing if labels is None else labels[subset.indices].tolist(),
    }
    types: Any = {"file": pl.String, "label": pl.Int64}
    return pl.DataFrame(columns | {name: scores[name] for name in names}, schema_overrides=types)


def draw_extremes(subsets: Mapping[str, Subset], scores: Scores, path: Path) -> None:
    """Draws the most and the least likely data.

    Args:
        subsets: The data, by kind.
        scores: One score of each kind.
        path: The file.
    """
    groups = []
    for kind, subset in subsets.items():
        order = subset.indices[torch.from_numpy(np.argsort(scores[kind], kind="stable"))]
        for end, indices in {"most": order[:NUM_EXTREMES], "least": order.flip(0)[:NUM_EXTREMES]}.items():
            groups.append((f"{subset.data.name}\n{end} likely", subset.data.split.x[indices]))
    image_grid(groups, path, columns=5)


def metrics(detections: Mapping[str, Detection]) -> dict[str, float]:
    """The metrics by name; those that are unknown are left out."""
    named: dict[str, float] = {}
    for name, each in detections.items():
        named |= {f"auroc/{name}": each.auroc, f"aupr/{name}": each.aupr, f"fpr95/{name}": each.fpr95}
        if not math.isnan(each.auroc_error):
            named[f"standard_error/auroc/{name}"] = each.auroc_error
        if not math.isnan(each.auroc_low):
            named |= {f"low/auroc/{name}": each.auroc_low, f"high/auroc/{name}": each.auroc_high}
    return named


def shown(detections: Mapping[str, Detection]) -> Shown:
    """The table for the terminal."""
    rows = [
        (name, f"{each.auroc:.3f}", _interval(each), f"{each.aupr:.3f}", f"{each.fpr95:.3f}")
        for name, each in detections.items()
    ]
    return Shown(("score", "AUROC", "95 % interval", "AUPR", "FPR95"), rows)


def _interval(quality: Detection) -> str:
    """The 95 % interval of the AUROC; a dash where it is unknown."""
    return "-" if math.isnan(quality.auroc_low) else f"{quality.auroc_low:.3f} to {quality.auroc_high:.3f}"


def caveats(scored: Mapping[str, Scores], names: Collection[str], num_samples: int) -> list[str]:
    """Caveats on the importance weights by which likelihoods are estimated.

    Args:
        scored: The scores of each kind of data, and the diagnostics of the weights.
        names: The scores that are wanted.
        num_samples: `K`, importance weights of a datum.
    """
    if not set(names) & set(LIKELIHOOD_SCORES):
        return []
    return [
        f"{kind}s{by}: {caveat}"
        for kind, scores in scored.items()
        for prefix, by in {"": "", "background/": " by the background"}.items()
        for caveat in _caveat(scores, prefix, num_samples)
    ]


def _caveat(scores: Scores, prefix: str, num_samples: int) -> Iterator[str]:
    """The caveat on the weights of one model, if there are some and too many are in doubt."""
    sizes, in_doubt = (scores.get(f"{prefix}{name}") for name in WEIGHT_DIAGNOSTICS)
    if sizes is None or in_doubt is None or not in_doubt.mean() > tolerated(num_samples):
        return
    yield doubts(float(in_doubt.mean()), float(sizes.mean()), num_samples, CONSEQUENCE)
