"""One check, from its settings to its page."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch

from vae_lab.applications.check.figures import draw_lengths
from vae_lab.applications.check.page import page
from vae_lab.applications.check.settings import BesideOthers, CheckSettings
from vae_lab.applications.gradients.measure import measure
from vae_lab.checks.finding import Finding
from vae_lab.errors import UserError
from vae_lab.files.ownership import written_whole
from vae_lab.runs.directory import RunDirectory
from vae_lab.training.run import quieten_libraries

Progress = Callable[[str, Finding], None]  # of a part's key and a finding


def judge(settings: CheckSettings, directory: RunDirectory, progress: Progress) -> None:
    """Checks every part, and measures an estimator beside others.

    Leaves `check.md`, a figure and, last, `metrics.json`.

    Args:
        settings: Of the check.
        directory: Of the result.
        progress: Called with every finding as it comes.

    Raises:
        UserError: If a measurement cannot be made.
    """
    quieten_libraries()
    with directory.once() as writing:
        if not writing.is_done:
            code = directory.code()
            entries = _judge(settings, directory, progress)
            writing.keep(entries, code, torch.device("cpu"))


def _judge(settings: CheckSettings, directory: RunDirectory, progress: Progress) -> dict[str, Any]:
    findings: dict[str, list[Finding]] = {}
    for part, of_part in settings.findings.items():
        findings[part] = []
        for finding in of_part():
            findings[part].append(finding)
            progress(part, finding)
    measured, unmeasured = _measured(settings.measurement)
    with written_whole(directory.path) as folder:
        drawn = draw_lengths(findings, folder / "figures" / "mean_gradient.png")
        text = page(settings.declared, findings, measured, unmeasured, drawn)
        (folder / "check.md").write_text(text)
    counts = Counter(each.status for part in findings.values() for each in part)
    return {
        "signature": directory.signature,
        "definition": directory.definition,
        "metrics": {name.replace(" ", "_"): counts[name] for name in ("passed", "failed", "left out")},
        "declared": settings.declared,
        "findings": {part: [_entry(each) for each in of_part] for part, of_part in findings.items()},
        "measured": str(measured) if measured else None,
        "unmeasured": unmeasured,
        "config": directory.config,
    }


def _entry(finding: Finding) -> dict[str, Any]:
    return {name: value for name, value in finding._asdict().items() if name != "comparison"}


def _measured(measurement: BesideOthers | None) -> tuple[Any, str]:
    """The folder of the measurement, or why there is none."""
    if measurement is None:
        return None, ""
    try:
        if measurement.directory.kept() is None:
            measure(measurement.settings, measurement.directory)
    except UserError as refusal:
        return None, str(refusal)
    return measurement.directory.path, ""
