"""Where the variances of gradient estimators cross: as measured, exactly, and as published."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import polars as pl
from scipy.optimize import brentq

from vae_lab.reproductions import exact_variances as exact
from vae_lab.reproductions import published
from vae_lab.runs.result import result_of
from vae_lab.sweep.manifest import Manifest

Z = 1.959964  # of a 95 % interval
VARIANCES: dict[str, Callable[[exact.CostFunction, exact.Parameter], float]] = {
    "score_function": exact.score_function,
    "optimal_scaling": exact.optimal_baseline,
    "reparameterized": exact.pathwise,
    "measure_valued": exact.measure_valued,
}
GROUPS: dict[exact.Parameter, str] = {  # at sigma = 1, where d/d log sigma = d/d sigma
    "mean": "outputs.mean",
    "std": "outputs.log_std",
}


def exact_variance(estimator: str, function: str, parameter: exact.Parameter, k: float) -> float:
    """That of one sample, at mu = sigma = 1."""
    return VARIANCES[estimator](exact.cost(function, k), parameter)


def measured_variances(manifest: Manifest) -> pl.DataFrame:
    """The variances of one sample as they were measured, beside the exact ones.

    Args:
        manifest: The sweep's, of measurements of `model=mohamed2020`, finished or not.
    """
    rows = []
    for entry in manifest.entries:
        path = entry.directory / "gradients.parquet"
        if not (entry.is_done and path.is_file()):
            continue
        config = result_of(entry.directory).config
        function, k = config["model.likelihood.function"], float(config["model.likelihood.k"])
        table = pl.read_parquet(path).filter(pl.col("estimator").is_in(list(VARIANCES)))
        for parameter, group in GROUPS.items():
            of_parameter = table.filter(pl.col("group") == group).to_dicts()
            rows += [_row(row, function, parameter, k) for row in of_parameter]
    return pl.DataFrame(rows).sort("function", "parameter", "estimator", "k") if rows else pl.DataFrame()


def _row(row: dict[str, Any], function: str, parameter: exact.Parameter, k: float) -> dict[str, Any]:
    names = ("variance", "variance_low", "variance_high")
    of = {"function": function, "parameter": parameter, "estimator": row["estimator"], "k": k}
    numbers = {name: row["num_samples"] * row[name] for name in names}
    return of | numbers | {"exact": exact_variance(row["estimator"], function, parameter, k)}


def crossings(measured: pl.DataFrame) -> pl.DataFrame:
    """A row for each published crossing: where the exact variances cross, and where the measured ones do.

    The exact k is found by root finding within 10 % of the published one; the measured one between the two
    points around that, with its standard error, or null if there are none.

    Args:
        measured: As `measured_variances` gives them.

    Raises:
        UserError: If the published numbers are missing or malformed.
    """
    rows = published.published_points("mohamed2020_crossings").rename({"k": "published"}).to_dicts()
    return pl.DataFrame([row | _crossing(measured, row) for row in rows], infer_schema_length=None)


def _crossing(measured: pl.DataFrame, row: dict[str, Any]) -> dict[str, Any]:
    def log_ratio(k: float) -> float:
        first, second = (
            exact_variance(row[each], row["function"], row["parameter"], k) for each in ("first", "second")
        )
        return math.log(first / second)

    near = row["published"]
    root = brentq(log_ratio, *sorted((0.9 * near, 1.1 * near)), xtol=1e-8)
    place, error = _interpolated(measured, row)
    return {"exact": root, "deviation": root / near - 1, "measured": place, "standard_error": error}


def _interpolated(measured: pl.DataFrame, row: dict[str, Any]) -> tuple[float | None, float | None]:
    """Where the measured log-ratio is 0 between the points around the published place, and its error."""
    frames = []
    for each in ("first", "second"):
        of = {name: row[name] for name in ("function", "parameter")} | {"estimator": row[each]}
        chosen = measured.filter(pl.col(name) == value for name, value in of.items())
        log_variance = pl.col("variance").log().alias(each)
        error = (pl.col("variance_high") / pl.col("variance_low")).log() / (2 * Z)
        frames.append(chosen.select("k", log_variance, error.alias(f"{each}_error")))
    both = frames[0].join(frames[1], on="k").sort("k").to_dicts()
    for low, high in pairwise(both):
        if low["k"] <= row["published"] <= high["k"]:
            return _between(low, high)
    return None, None


def _between(low: dict[str, float], high: dict[str, float]) -> tuple[float, float]:
    """Where the line between two log-ratios is 0, and the standard error of that."""
    ratios = [end["first"] - end["second"] for end in (low, high)]
    errors = [math.hypot(end["first_error"], end["second_error"]) for end in (low, high)]
    weight, width = ratios[0] / (ratios[0] - ratios[1]), high["k"] - low["k"]
    slope = (ratios[1] - ratios[0]) / width
    return low["k"] + weight * width, math.hypot((1 - weight) * errors[0], weight * errors[1]) / abs(slope)
