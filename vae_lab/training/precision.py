"""Precisions in which networks may be trained, and log-densities are right."""

from typing import Any

ALIASES = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true"}
ON_CPU = ("32-true", "bf16-mixed", "64-true")
ON_GPU = (*ON_CPU, "16-mixed")


def check_precision(precision: Any, accelerator: str) -> None:
    """Refuses a precision that the device lacks, or in which log-densities would be rounded to 3 digits.

    Raises:
        ValueError: If it is none of those that serve.

    Example:
        >>> check_precision("bf16-true", "gpu")
        Traceback (most recent call last):
        ValueError: precision must be 32-true, bf16-mixed, 64-true or 16-mixed, got bf16-true.
    """
    choices = ON_CPU if accelerator == "cpu" else ON_GPU
    if ALIASES.get(str(precision), str(precision)) not in choices:
        where = " on a CPU" if accelerator == "cpu" else ""
        named = f"{', '.join(choices[:-1])} or {choices[-1]}"
        raise ValueError(f"precision must be {named}{where}, got {precision}.")
