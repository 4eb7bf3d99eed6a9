"""The ranges of the numbers and words of a configuration: what lies outside is a slip, and no run dies of it.

What a class refuses by itself, such as a width of 0, is not repeated here.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from vae_lab.errors import UserError, shortened

LARGEST = 1e30  # that single precision can square without losing sight of it
COUNT = 10**6
SAMPLES = 1e15  # training samples

# The largest value of an argument of this package, by its name.
MAXIMUM: Mapping[str, float] = {
    "latent_dim": 10**5,
    "hidden": 10**5,
    "layer_dims": 10**5,
    "data_dim": 10**5,
    "channels": 10**4,
    "num_blocks": 1000,
    "num_transforms": 1000,
    "context": 10**5,
    "num_components": 10**5,
    "num_categories": 10**5,
    "levels": 2**16,
    "num_samples": COUNT,
    "num_groups": COUNT,
    "num_auxiliary": COUNT,
    "importance_samples": 10**7,
    "num_chains": 10**4,
    "num_leapfrog": 10**4,
    "num_starts": 10**7,
    "burn_in": COUNT,
    "num_temperatures": COUNT,
    "num_steps": 10**7,
    "num_replicates": COUNT,
    "updates_per_batch": 10**4,
    "batch_size": 10**9,
    "num_workers": 256,
    "num_nodes": 4096,
    "beta": 1e6,
    "free_bits": 1e4,
    "temperature": 1e3,
    "final_temperature": 1e3,
    "warm_up": SAMPLES,
    "annealing": SAMPLES,
    "cycles": COUNT,
    "df": 1e6,
    "checkpoint_seconds": 1e9,
    "number": COUNT,
    "steps": 10**5,
    "reach": 100,
    "samples": 10**5,
    "repeats": 10**4,
    "imputations": 10**4,
}
MINIMUM: Mapping[str, float] = {"split_seed": 0, "tolerance": 0}
# Shares and the like, of torch's classes too: at least the first, below the second.
BELOW: Mapping[str, tuple[float, float]] = {"momentum": (0, 1), "gamma": (1e-6, 10), "T_max": (1, SAMPLES)}


def check_range(value: Any, name: str, full_key: str, of_package: bool) -> None:
    """Checks the numbers and words in a value, also in lists and mappings.

    Args:
        value: What the configuration gives.
        name: Of the argument.
        full_key: Its dotted key, for messages.
        of_package: Whether the argument is that of a class of this package, which the table is about.

    Raises:
        UserError: If a number is not finite or too large for what it says, or a word is empty.
    """
    for each in _parts(value):
        if isinstance(each, str) and not each.strip():
            raise UserError(f"{full_key} must not be empty.")
        if isinstance(each, str) and {"\n", "\r", "\0"} & set(each):
            raise UserError(f"{full_key} must be on one line, got {shortened(repr(each))}.")
        if isinstance(each, int | float) and not isinstance(each, bool):
            _check_number(each, name, full_key, of_package)


def _parts(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [part for item in value.values() for part in _parts(item)]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [part for item in value for part in _parts(item)]
    return [value]


def _check_number(value: float, name: str, full_key: str, of_package: bool) -> None:
    whole = isinstance(value, int)
    if not whole and not math.isfinite(value):
        raise UserError(f"{full_key} must be finite, got {value}.")
    most = MAXIMUM.get(name, 2**53 if whole else LARGEST) if of_package else LARGEST
    if value > most:
        raise UserError(f"{full_key} must be at most {_limit(most)}, got {_shown(value)}.")
    if of_package and value < MINIMUM.get(name, value):
        raise UserError(f"{full_key} must be at least {MINIMUM[name]:g}, got {_shown(value)}.")
    if value < -LARGEST or (whole and value < -(2**53)):
        raise UserError(f"{full_key} must be a number that is nearer to 0, got {_shown(value)}.")
    if 0 < abs(value) < 1 / LARGEST:
        raise UserError(f"{full_key} must be 0 or at least {1 / LARGEST:g}, got {value}.")
    if name in BELOW and not of_package and not BELOW[name][0] <= value < BELOW[name][1]:
        low, high = BELOW[name]
        raise UserError(f"{full_key} must be at least {low:g} and below {high:g}, got {value}.")


def _limit(most: float) -> str:
    return f"{most:,.0f}" if most < 10**9 else f"{most:g}"


def _shown(value: float) -> str:
    return shortened(str(value), 24)
