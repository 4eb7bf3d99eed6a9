"""From the files of a sweep's runs to tables: one row per run, one row per setting."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from scipy.stats import t as student

from vae_lab.errors import UserError
from vae_lab.files.markdown import markdown_table
from vae_lab.files.writing import write_atomically
from vae_lab.runs.code import UNKNOWN, listed, mixtures
from vae_lab.runs.frame import frame, scalar
from vae_lab.runs.result import Result, result_of
from vae_lab.sweep.manifest import Entry, Manifest

MIXTURES = {
    "provenance.vae_lab": "versions of vae_lab",
    "provenance.libraries.torch": "versions of torch",
    "provenance.device": "devices",
    "provenance.threads": "numbers of threads",
}


class Results(NamedTuple):
    """The results of a sweep so far.

    Args:
        manifest: What it consists of.
        runs: A row for each finished run: its value on each axis, all metrics, timing, provenance, and the
            flattened configuration.
        settings: A row for each combination of the scientific axes, see `by_setting`.
        missing: The runs without a result, with their state and their error.
        notes: What a reader must know of the code behind the results, and of runs that ended early.
    """

    manifest: Manifest
    runs: pl.DataFrame
    settings: pl.DataFrame
    missing: list[tuple[Entry, str, str]]
    notes: list[str]

    @property
    def counts(self) -> str:
        """How many runs there are, in words."""
        total = len(self.manifest.entries)
        return f"{len(self.runs)} of {total} runs" if self.missing else f"{total} run{'s' * (total != 1)}"

    @property
    def warnings(self) -> list[str]:
        """Caveats of the table: results that were not obtained alike."""
        mixed = [
            f"The runs mix {description}: {', '.join(str(value) for value in values)}."
            for column, description in MIXTURES.items()
            if column in self.runs.columns
            and len(values := self.runs[column].unique(maintain_order=True).to_list()) > 1
        ]
        return [*mixed, *self.notes]


def collect(manifest: Manifest) -> Results:
    """Reads the results of a sweep from its runs' `metrics.json` alone, finished or not."""
    rows, missing, judged_by = [], [], []
    codes, early = {}, []
    for entry in manifest.entries:
        try:
            result = result_of(entry.directory)
        except UserError:
            missing.append((entry, *entry.state()))
            continue
        rows.append(_row(entry, result))
        codes[entry.label] = result.code
        early += [entry.label] if result.metrics.get("samples", 0) < result.get("budget", 0) else []
        judged_by.append(result.get("metric") or f"test/{result.get('selection')}")
    runs = frame(rows)
    manifest = manifest._replace(metric=manifest.metric or _metric(runs, judged_by))
    settings = by_setting(manifest, runs) if rows and manifest.metric in runs.columns else pl.DataFrame()
    notes = mixtures(codes)
    if early:
        notes.append(f"Runs that ended before their budget: {listed(early)}.")
    return Results(manifest, runs, settings, missing, notes)


def columns(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the columns that hold what was measured in runs."""
    return list(
        dict.fromkeys(
            name
            for result in results
            for name in (*result["metrics"], *(f"timing.{each}" for each in result.get("timing", {})))
        )
    )


def by_setting(manifest: Manifest, runs: pl.DataFrame) -> pl.DataFrame:
    """One row for each combination of the scientific axes, in the manifest's order.

    The values of the nuisance axes are those with the highest mean of the metric on the validation split (of
    the ELBO there, for a metric that only the test has), never on the test split, among those with the most
    repeats. Then follow the metric's mean over the repeats, its 95 % interval by Student's t, the number of
    repeats, and the means of the other metrics of that part.
    """
    scientific, nuisance = manifest.axes("scientific"), manifest.axes("nuisance")
    chosen_by = manifest.metric.replace("test/", "validation/")
    chosen_by = chosen_by if chosen_by in runs.columns else "validation/elbo"
    if nuisance and chosen_by not in runs.columns:
        raise UserError(f"sweep.nuisance: nothing on the validation split to choose {nuisance[0]} by.")
    choice = pl.col(chosen_by).mean() if nuisance else pl.lit(0.0)
    part = manifest.metric.rpartition("/")[0]
    others = [name for name in runs.columns if name.startswith(f"{part}/") and name != manifest.metric]
    keys = [*scientific, *nuisance]
    value = pl.col(manifest.metric)
    summaries = [
        value.mean().alias(manifest.metric),
        value.std().alias("_std"),
        value.count().alias("repeats"),
        choice.alias("_chosen_by"),
        *(pl.col(name).mean() for name in sorted(others)),
    ]
    table = runs.group_by(keys, maintain_order=True).agg(summaries) if keys else runs.select(summaries)
    if nuisance:  # the best of those with the most repeats: of a diverging value a lucky seed may be left
        table = table.with_row_index("_order").sort(
            "repeats", "_chosen_by", descending=True, nulls_last=True, maintain_order=True
        )
        table = table.unique(scientific, keep="first", maintain_order=True) if scientific else table.head(1)
        table = table.sort("_order")
    half = _half_interval(table["_std"], table["repeats"])
    table = table.with_columns((value - half).alias("low"), (value + half).alias("high"))
    first = [*keys, manifest.metric, "low", "high", "repeats"]
    return table.select(*first, *sorted(others))


def over_repeats(table: pl.DataFrame, keys: list[str], value: str) -> pl.DataFrame:
    """Columns `mean`, `low` and `high` of a value over the rows that share the keys."""
    column = pl.col(value)
    summary = table.group_by(keys, maintain_order=True).agg(
        column.mean().alias("mean"), column.std().alias("_std"), column.count().alias("repeats")
    )
    half = _half_interval(summary["_std"], summary["repeats"])
    mean = pl.col("mean")
    return summary.with_columns((mean - half).alias("low"), (mean + half).alias("high")).drop("_std")


def settings_markdown(table: pl.DataFrame) -> str:
    """A table of settings in Markdown, a metric with its interval in one cell."""
    metric = table.columns[table.columns.index("low") - 1]
    names = [name for name in table.columns if name not in ("low", "high")]
    heads = [f"{name} (95 % interval)" if name == metric else name for name in names]
    rows = []
    for row in table.iter_rows(named=True):
        interval = f" ({row['low']:.2f} to {row['high']:.2f})" if row["repeats"] > 1 else ""
        rows.append([_cell(row[name]) + (interval if name == metric else "") for name in names])
    return markdown_table(heads, rows)


def write_table(results: Results, directory: Path) -> list[Path]:
    """Writes `runs.parquet`, `table.csv` and `table.md`; gives the paths of what there was to write."""
    if results.runs.is_empty():
        return []
    paths = [directory / "runs.parquet"]
    parquet = io.BytesIO()
    results.runs.write_parquet(parquet)
    write_atomically(paths[0], parquet.getvalue())
    if not results.settings.is_empty():
        paths += [directory / "table.csv", directory / "table.md"]
        write_atomically(paths[1], results.settings.write_csv())
        text = [f"# {results.manifest.name}", results.manifest.question, f"{results.counts}."]
        text += [*results.warnings, settings_markdown(results.settings), *_of_the_missing(results)]
        write_atomically(paths[2], "\n\n".join(part for part in text if part) + "\n")
    return paths


def _metric(runs: pl.DataFrame, judged_by: Sequence[str]) -> str:
    """The bound on the test part or, where no run has one, what the runs are judged by instead."""
    others = [name for name in judged_by if name in runs.columns]
    others.sort(key=lambda name: runs[name].null_count())  # one that all runs have, if there is one
    return "test/elbo" if "test/elbo" in runs.columns or not others else others[0]


def _of_the_missing(results: Results) -> list[str]:
    lines = [
        f"- {state}: {entry.label}" + (f": {error}" if error else "")
        for entry, state, error in results.missing
    ]
    return ["Missing:", "\n".join(lines)] if lines else []


def _row(entry: Entry, result: Result) -> dict[str, Any]:
    return {
        **entry.point,
        "signature": result.get("signature"),
        **result.metrics,
        **{f"timing.{name}": value for name, value in result.get("timing", {}).items()},
        **_flat({"code": UNKNOWN} | result.provenance, "provenance."),
        **{f"config.{name}": scalar(value) for name, value in result.config.items()},
    }


def _flat(node: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _half_interval(std: pl.Series, count: pl.Series) -> pl.Series:
    """Half of the 95 % interval of a mean; 0 where there is one value."""
    quantiles = {n: float(student.ppf(0.975, n - 1)) if n > 1 else 0.0 for n in count.unique().to_list()}
    factors = pl.Series([quantiles[n] for n in count], dtype=pl.Float64)
    return factors * std.fill_null(0.0) / count.cast(pl.Float64).clip(1).sqrt()


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    return "" if value is None else str(value)
