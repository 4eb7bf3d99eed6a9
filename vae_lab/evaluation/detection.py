"""How well a score tells outliers from inliers."""

import math
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score

ACCEPTED = 0.95  # share of the inliers


class Detection(NamedTuple):
    """What a score is worth, whatever its scale.

    Args:
        auroc: The probability that an outlier scores higher than an inlier: 0.5 by chance, 1 at best.
        auroc_error: Its standard error; nan where all pairs are in order or tied, which do not tell.
        aupr: Average precision with outliers as what is looked for; their share among the data by chance.
        fpr95: The share of outliers that pass where 95 % of the inliers do: 0.95 by chance, 0 at best.
    """

    auroc: float
    auroc_error: float
    aupr: float
    fpr95: float


def detection(inliers: np.ndarray, outliers: np.ndarray) -> Detection:
    """Judges a score, the higher for outliers.

    References:
        Comparing the areas under two or more correlated receiver operating characteristic curves (DeLong,
        DeLong & Clarke-Pearson, 1988), for the standard error; Enhancing the reliability of
        out-of-distribution image detection in neural networks (Liang, Li & Srikant, 2018), section 4.2, for
        the rate at 95 %.

    Args:
        inliers: Scores of data like those that were trained on, at least two; infinities are the farthest.
        outliers: Scores of the others, at least two.

    Raises:
        ValueError: If a score is not a number.

    Example:
        >>> detection(np.array([0.0, 1.0, 2.0]), np.array([3.0, 4.0]))
        Detection(auroc=1.0, auroc_error=nan, aupr=1.0, fpr95=0.0)
    """
    scores = np.concatenate([inliers, outliers])
    if np.isnan(scores).any():
        raise ValueError("scores must be numbers, got nan.")
    ranks = rankdata(scores)  # which infinities have too
    is_outlier = np.repeat([0, 1], [len(inliers), len(outliers)])
    low, high = ranks[: len(inliers)], ranks[len(inliers) :]
    threshold = np.quantile(low, ACCEPTED, method="higher")
    return Detection(
        auroc=float(roc_auc_score(is_outlier, ranks)),
        auroc_error=_delong(low, high),
        aupr=float(average_precision_score(is_outlier, ranks)),
        fpr95=float((high <= threshold).mean()),
    )


def _delong(low: np.ndarray, high: np.ndarray) -> float:
    """The standard error from the variance of each datum's own share of well-ordered pairs."""
    of_high = (rankdata(np.concatenate([low, high]))[len(low) :] - rankdata(high)) / len(low)
    of_low = 1 - (rankdata(np.concatenate([low, high]))[: len(low)] - rankdata(low)) / len(high)
    error = float((of_high.var(ddof=1) / len(high) + of_low.var(ddof=1) / len(low)) ** 0.5)
    return error or math.nan
