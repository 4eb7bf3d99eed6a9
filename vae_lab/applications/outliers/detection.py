"""Quality of a score as a detector of outliers."""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score

from vae_lab.numerics.intervals import degrees_of_freedom, student_t_quantile

ACCEPTED = 0.95  # share of the inliers
MIN_OUT_OF_ORDER = 0.5  # of the fewer kind; with less out of order, intervals are too short


class Detection(NamedTuple):
    """The quality of a score as a detector, whatever its scale.

    Args:
        auroc: The probability that an outlier scores higher than an inlier: 0.5 by chance, 1 at best.
        auroc_error: Its standard error; nan where all pairs are in order or tied, which do not tell.
        auroc_low: The lower end of its 95 % interval; nan where too few pairs are out of order to tell.
        auroc_high: The upper end.
        aupr: Average precision with outliers as what is looked for; their share among the data by chance.
        fpr95: The share of outliers that pass where 95 % of the inliers do: 0.95 by chance, 0 at best.
    """

    auroc: float
    auroc_error: float
    auroc_low: float
    auroc_high: float
    aupr: float
    fpr95: float


def detection(inliers: np.ndarray, outliers: np.ndarray) -> Detection:
    """Judges a score, the higher for outliers.

    References:
        Comparing the areas under two or more correlated receiver operating characteristic curves (DeLong,
        DeLong & Clarke-Pearson, 1988), for the standard error; The statistical evaluation of medical tests
        for classification and prediction (Pepe, 2003), section 5.2, for the interval on the logit axis;
        Enhancing the reliability of out-of-distribution image detection in neural networks (Liang, Li &
        Srikant, 2018), section 4.2, for the rate at 95 %.

    Args:
        inliers: Scores of data like those that were trained on, at least two; infinities are the farthest.
        outliers: Scores of the others, at least two.

    Raises:
        ValueError: If a score is not a number.

    Example:
        >>> detection(np.array([0.0, 1.0, 2.0]), np.array([3.0, 4.0]))
        Detection(auroc=1.0, auroc_error=nan, auroc_low=nan, auroc_high=nan, aupr=1.0, fpr95=0.0)
    """
    scores = np.concatenate([inliers, outliers])
    if np.isnan(scores).any():
        raise ValueError("scores must be numbers, got nan.")
    ranks = rankdata(scores)  # which infinities have too
    is_outlier = np.repeat([0, 1], [len(inliers), len(outliers)])
    low, high = ranks[: len(inliers)], ranks[len(inliers) :]
    threshold = np.quantile(low, ACCEPTED, method="higher")
    return Detection(
        *auroc_with_interval(low, high),
        aupr=float(average_precision_score(is_outlier, ranks)),
        fpr95=float((high <= threshold).mean()),
    )


def auroc_with_interval(low: np.ndarray, high: np.ndarray) -> tuple[float, float, float, float]:
    """The AUROC, its standard error, and the ends of its 95 % interval; nan what is unknown.

    Args:
        low: Scores of the inliers, finite.
        high: Those of the outliers.
    """
    auroc, error, degrees = _delong(low, high)
    return auroc, error, *_interval(auroc, error, degrees, min(len(low), len(high)))


def _delong(low: np.ndarray, high: np.ndarray) -> tuple[float, float, float]:
    """The mean of each datum's own share of well-ordered pairs, its standard error and degrees of freedom."""
    ranks = rankdata(np.concatenate([low, high]))
    of_high = (ranks[len(low) :] - rankdata(high)) / len(low)
    of_low = 1 - (ranks[: len(low)] - rankdata(low)) / len(high)
    auroc = float(of_high.mean())
    parts = [(each.var(ddof=1) / len(each), degrees_of_freedom(each)) for each in (of_high, of_low)]
    variance = sum(part for part, _ in parts)
    if not variance > 0:
        return auroc, math.nan, math.nan
    return auroc, float(variance**0.5), float(variance**2 / sum(part**2 / degrees for part, degrees in parts))


def _interval(auroc: float, error: float, degrees: float, fewer: int) -> tuple[float, float]:
    """A 95 % interval, symmetric on the logit axis so that it stays between 0 and 1.

    Args:
        auroc: The area.
        error: Its standard error.
        degrees: Of freedom, of that.
        fewer: Number of the inliers or the outliers, whichever are fewer.
    """
    spread = auroc * (1 - auroc)
    if math.isnan(error) or fewer * min(auroc, 1 - auroc) < MIN_OUT_OF_ORDER:
        return math.nan, math.nan
    half = student_t_quantile(degrees) * error / spread
    return float(expit(logit(auroc) - half)), float(expit(logit(auroc) + half))
