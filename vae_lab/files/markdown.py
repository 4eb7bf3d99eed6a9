"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def markdown_table(columns: Sequence[str], rows: Iterable[Iterable[str]], to_the_right: bool = False) -> str:
    """A table in Markdown, without a newline at its end.

    Args:
        columns: The headings.
        rows: The cells of each row.
        to_the_right: Whether all columns but the first are aligned to the right, as numbers are.

    Example:
        >>> print(markdown_table(["estimator", "variance"], [["iwae", "0.5"]], to_the_right=True))
        | estimator | variance |
        |---|---:|
        | iwae | 0.5 |
    """
    rule = "---:|" if to_the_right else "---|"
    lines = [f"| {' | '.join(cells)} |" for cells in (columns, *rows)]
    return "\n".join([lines[0], f"|---|{rule * (len(columns) - 1)}", *lines[1:]])
