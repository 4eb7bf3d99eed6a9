"""Training that stops at what is not finite: which term or parameter was first, and what helps there."""

import math
from typing import Any

import pytorch_lightning as pl

from vae_lab.errors import UserError


class NotFiniteError(UserError):
    """The objective or a parameter became NaN or infinite."""


def check_parameters(module: pl.LightningModule) -> None:
    """Checks every parameter, where the terms of the objective have been checked.

    Raises:
        NotFiniteError: If one is NaN or infinite.
    """
    for name, parameter in module.named_parameters():
        if not bool(parameter.isfinite().all()):
            step = module.global_step
            raise NotFiniteError(_message(step, f"the parameter {name}", _of_gradient(module)))


def of_term(module: Any, step: int, name: str, value: float) -> NotFiniteError:
    """The error of a term that was the first of its step to be NaN or infinite."""
    return NotFiniteError(_message(step, f"the term {name} ({value})", _help(module, name, value)))


def _message(step: int, part: str, advice: str) -> str:
    return (
        f"training stopped at step {step}: {part} is not finite. The last good checkpoint is kept; {advice}."
    )


def _help(module: Any, name: str, value: float) -> str:
    if name == "surrogate":
        return _of_gradient(module)
    shorter = f"use a lower optimizer.lr than {module.optimizer.lr:g}"
    likelihood = module.model.likelihood
    if math.isinf(value) and name != "kl" and likelihood is not None and likelihood.learns_scale:
        return (
            f"the scale that {type(likelihood).__name__} learns has no bound: use "
            f"model/likelihood=gaussian_fixed, or {shorter.removeprefix('use ')}"
        )
    if name == "kl":
        return f"q(z|x) has become too wide or too narrow: {shorter}"
    return f"the step before made parameters too large: {shorter}"


def _of_gradient(module: pl.LightningModule) -> str:
    """Help where the terms are finite and the gradient is not."""
    double = str(module.trainer.precision).startswith("64")
    return f"its objective is: use another estimator{'' if double else ', or trainer.precision=64-true'}"
