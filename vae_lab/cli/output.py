"""The output of a finished run in the terminal."""

import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vae_lab.files.writing import near
from vae_lab.numerics.percent import percent
from vae_lab.runs.code import notes_on
from vae_lab.runs.result import Result
from vae_lab.sweep.show import plain_console

EXPECTED = {"test/elbo", "test/reconstruction", "test/kl", "test/log_likelihood"}  # of most models


EVIDENCE = 0.05  # a p-value below which an estimator is considered biased

LOG_LIKELIHOODS = {"exact": "exact", "predictive": "of the predictive density"}

EVALUATED = {  # in this order; K, G and A stand for the numbers of samples, and of data of gap and annealing
    "elbo_sampled_kl": "KL from the samples",
    "elbo_analytic_kl": "KL in closed form",
    "log_likelihood": "L_K, K = {K:,}",
    "exact_log_likelihood": "in closed form, or a sum",
    "log_likelihood_ais": "annealed, {A} data",
    "annealing_gain": "that less L_K, same data",
    "simulated_lower": "annealed, simulated data",
    "simulated_upper": "in reverse, same data",
    "simulated_gap": "between these two",
    "bits_per_dimension": "of the log-likelihood",
    "approximation_gap": "the family's, {G} data",
    "amortization_gap": "the encoder's, same data",
    "effective_sample_size": "of {K:,} samples",
    "kl": "the rate: the next two",
    "mutual_information": "of x and z under q",
    "marginal_kl": "aggregate q to prior",
    "mmd": "aggregate q to prior",
    "active_units": "of {D}",
    "active_units_1": "in the first layer",
    "active_units_2": "in the second",
}


def show_done(message: str, result: Result) -> None:
    """Says that a result is there already, and what differs now from what made it."""
    print(f"{message}; rerun=true repeats the run.")
    for note in notes_on(result):
        print(f"note: {note}")


def show(result: Result, directory: Path) -> None:
    """Prints the short table of a run's result."""
    metrics, config = result.metrics, result.definition
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="dim")
    beta = config.get("estimator.beta", 1)
    rows = [
        (
            "test ELBO",
            "test/elbo",
            "nats per datum" + (f", beta = 1 (trained with {beta})" if beta != 1 else ""),
        ),
        ("reconstruction", "test/reconstruction", "mean of log p(x|z)"),
        ("KL", "test/kl", config.get("estimator.kl", "")),
        (
            "log-likelihood",
            "test/log_likelihood",
            LOG_LIKELIHOODS.get(
                result["log_likelihood"],
                f"importance-weighted, K = {config.get('evaluation.importance_samples')}",
            ),
        ),
        ("log-likelihood", "test/log_likelihood_hmc", "from posterior samples by HMC"),
        ("amortization gap", "test/amortization_gap", "bound with q fitted to each datum less the test ELBO"),
        ("accuracy", "test/accuracy", "share of the labels that are predicted"),
        ("exact log-likelihood", "test/exact_log_likelihood", "of the distribution that the data come from"),
    ]
    asked = config.get("evaluation.importance_samples") is not None
    has_bound = result["selection"] != "log_likelihood"
    for label, key, note in rows:
        if key in metrics:
            table.add_row(label, f"{metrics[key]:.2f}", note)
        elif has_bound and key in EXPECTED and not (key == "test/log_likelihood" and not asked):
            table.add_row(label, "n/a", f"not defined for {result['estimator']}")
    if "test/active_units" in metrics:
        table.add_row("active units", str(metrics["test/active_units"]), f"of {config['model.latent_dim']}")
    timing = result["timing"]
    if "samples_per_second" in timing:
        speed = f"samples/s, {metrics['samples']:,} samples"
        table.add_row("training", f"{timing['samples_per_second']:,.0f}", speed)
    else:
        table.add_row("fit", f"{timing['training_seconds']:,.1f}", f"seconds, {metrics['samples']:,} data")
    console = plain_console()
    console.print(table)
    for note in [*result.notes, *result.get("doubts", [])]:
        console.print(f"note: {note}", style="yellow", soft_wrap=True)
    console.print(f"in {near(directory)}", soft_wrap=True)


def show_evaluation(result: Result, directory: Path) -> None:
    """Prints what was measured of a trained model, with the two standard errors of each mean."""
    settings = result.definition
    split, numbers = settings["split"], settings["measures.importance_samples"]
    most = max(numbers, default=0)
    sizes = {
        "K": most,
        "G": settings["measures.gap"],
        "A": settings["measures.annealed_data"],
        "D": result.config.get("model.latent_dim"),
    }
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(f"{split} data", style="bold", no_wrap=True)
    for name in ("mean", "s.e. data", "s.e. MC"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", style="dim")
    for name in EVALUATED:
        if name == "log_likelihood":
            for num_samples in sorted(set(numbers) - {most}):
                _add_measure(table, result, split, f"L_{num_samples}", "")
        note = EVALUATED[name].format(**sizes)
        if name == "log_likelihood":
            note = LOG_LIKELIHOODS.get(result["log_likelihood"], note)
        _add_measure(table, result, split, name, note)
    console = plain_console()
    console.print(table)
    for note in result.notes:
        console.print(f"note: {note}", style="yellow", soft_wrap=True)
    console.print(f"in {near(directory)}", soft_wrap=True)


def _add_measure(table: Table, result: Result, split: str, name: str, note: str) -> None:
    metrics = result.metrics
    if (value := metrics.get(f"{split}/{name}")) is None:
        return
    errors = (metrics.get(f"{kind}/{name}") for kind in ("standard_error", "monte_carlo_error"))
    data, samples = (f"{error:.3f}" if error else "" for error in errors)
    shown = f"{value:.0f}" if name.startswith("active") else f"{value:,.3f}"
    unknown = name in result.get("unknown_errors", [])
    table.add_row(name, shown, data, "unknown" if unknown else samples, note)


def show_use(result: Result, directory: Path) -> None:
    """Prints the result of an application of a trained model."""
    console = plain_console()
    if shown := result["shown"]:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for index, name in enumerate(shown["columns"]):
            table.add_column(
                escape(name),
                style="bold" if index == 0 else None,
                justify="left" if index == 0 else "right",
            )
        for row in shown["rows"]:
            table.add_row(*map(escape, row))
        console.print(table)
    for note in result.notes:
        console.print(f"note: {note}", style="yellow", soft_wrap=True, markup=False)
    console.print(f"in {near(directory)}", soft_wrap=True)


def show_gradients(directory: Path) -> None:
    """Prints the encoder's part of a measurement of gradient estimators, a table for each state."""
    import polars as pl  # here, since a training needs none

    table = pl.read_parquet(directory / "gradients.parquet").filter(pl.col("group") == "encoder")
    console = plain_console()
    for _, part in table.group_by("state", maintain_order=True):
        first = part.row(0, named=True)
        console.print(
            f"gradient of the encoder after {first['samples']:,} training samples, minibatches of "
            f"{first['batch_size']}, {first['num_replicates']} replicates",
            style="bold",
            soft_wrap=True,
        )
        console.print(_gradient_table(part.to_dicts()))
    console.print(f"in {near(directory)}", soft_wrap=True)


def _gradient_table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    targets = {row["target"] for row in rows}
    table.add_column("estimator", style="bold", no_wrap=True)
    if len(targets) > 1:
        table.add_column("target", no_wrap=True)
    for name in ("variance", "95 %", "x decoder", "SNR", "bias z", "ms"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        first = [row["estimator"], row["target"]] if len(targets) > 1 else [row["estimator"]]
        if row["status"] != "ok":
            table.add_row(*first, row["status"], style="yellow")
            continue
        table.add_row(
            *first,
            f"{row['variance']:.3g}",
            _margin(row),
            f"{row['variance_times_evaluations']:.3g}",
            f"{row['snr']:.3g}",
            f"{row['bias_z']:.1f}" + _mark(row),
            f"{1e3 * row['seconds']:.2f}",
        )
    marks = {_mark(row) for row in rows if row["status"] == "ok"}
    legend = {
        "*": "* biased, as declared",
        "!": f"! biased by evidence: p below {percent(EVIDENCE)} for all rows together",
    }
    if captions := [text for mark, text in legend.items() if mark in marks]:
        table.caption = "\n".join(captions)
        table.caption_justify = "left"
    return table


def _margin(row: dict[str, Any]) -> str:
    """How far the 95 % interval of a variance reaches above it; a dash where too few replicates tell."""
    if not row["variance"]:
        return ""
    margin = 100 * (row["variance_high"] / row["variance"] - 1)
    return f"±{margin:.0f} %" if math.isfinite(margin) else "-"


def _mark(row: dict[str, Any]) -> str:
    """Whether an estimator is biased by its own word, or by evidence."""
    if row["declared_bias"]:
        return "*"
    return "!" if row["bias_p"] < EVIDENCE else ""


class CheckProgress:
    """A line on the terminal with the check that has just been made; none where there is no terminal."""

    def __enter__(self) -> "CheckProgress":
        self._status = Console(stderr=True).status("checking") if sys.stderr.isatty() else None
        if self._status:
            self._status.start()
        return self

    def __call__(self, part: str, finding: Any) -> None:
        """Shows a finding."""
        if self._status:
            self._status.update(f"{part}: {escape(finding.check)}, {escape(finding.subject)}")

    def __exit__(self, *_: object) -> None:
        if self._status:
            self._status.stop()


def show_check(result: Result, directory: Path) -> None:
    """Prints the verdict of a check: each check with how often it holds, what fails, and the measurement."""
    console = plain_console()
    for part, findings in result["findings"].items():
        console.print(f"{part}: {result['declared'][part]}", soft_wrap=True, markup=False)
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for name in ("check", "holds", "left out"):
            table.add_column(name, justify="left" if name == "check" else "right", no_wrap=True)
        for check in dict.fromkeys(each["check"] for each in findings):
            counts = Counter(each["status"] for each in findings if each["check"] == check)
            judged = counts["passed"] + counts["failed"]
            holds = f"{counts['passed']} of {judged}" if judged else "-"
            style = "red" if counts["failed"] else None
            table.add_row(check, holds, str(counts["left out"] or ""), style=style)
        console.print(table)
        for each in findings:
            if each["status"] == "failed":
                text = f"{each['check']}, {each['subject']}: {each['detail']}"
                console.print(f"fails: {text}", style="red", soft_wrap=True, markup=False)
    if result["measured"] and Path(result["measured"]).is_dir():
        show_gradients(Path(result["measured"]))
    if result["unmeasured"]:
        console.print(
            f"note: not measured beside others: {result['unmeasured']}",
            style="yellow",
            soft_wrap=True,
            markup=False,
        )
    console.print(f"page in {near(directory / 'check.md')}", soft_wrap=True)
    failed, passed = (int(result.metrics[name]) for name in ("failed", "passed"))
    judged = failed + passed
    verdict = f"FAILED: {failed} of {judged} checks" if failed else f"passed: {judged} checks"
    console.print(verdict, style="bold red" if failed else "bold green")
