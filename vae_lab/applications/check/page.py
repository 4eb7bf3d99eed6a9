"""The page of a check."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from vae_lab.checks.finding import Finding
from vae_lab.files.markdown import markdown_table


def page(
    declared: Mapping[str, str],
    findings: Mapping[str, Sequence[Finding]],
    measured: Path | None,
    unmeasured: str,
    drawn: Path | None,
) -> str:
    """The page, in Markdown: the verdict, what fails, what holds, and what was left out."""
    lines = ["# " + verdict([each for of_part in findings.values() for each in of_part]), ""]
    for part, of_part in findings.items():
        lines += [f"## {part}", "", f"{declared[part]}.", ""]
        for status, title in {"failed": "Fails", "passed": "Holds", "left out": "Left out"}.items():
            if rows := _rows([each for each in of_part if each.status == status]):
                lines += [f"### {title}", "", markdown_table(("check", "with", "measured"), rows), ""]
    if drawn:
        lines += [f"![Mean gradients along the true ones](figures/{drawn.name})", ""]
    if measured:
        lines += [f"Beside others, variance, bias and cost: `{measured}/table.md`.", ""]
    if unmeasured:
        lines += [f"Not measured beside others: {unmeasured}", ""]
    return "\n".join(lines)


def _rows(findings: Sequence[Finding]) -> list[tuple[str, str, str]]:
    """A row for each check and outcome, with all models and settings that have it."""
    subjects: dict[tuple[str, str], list[str]] = {}
    for each in findings:
        subjects.setdefault((each.check, each.detail), []).append(each.subject)
    return [(check, "; ".join(alike), detail) for (check, detail), alike in subjects.items()]


def verdict(findings: Sequence[Finding]) -> str:
    """The verdict in a line."""
    judged = [each for each in findings if each.status != "left out"]
    failed = sum(each.status == "failed" for each in judged)
    if failed:
        return f"FAILED: {failed} of {len(judged)} checks"
    return f"passed: {len(judged)} checks" if judged else "nothing could be checked"
