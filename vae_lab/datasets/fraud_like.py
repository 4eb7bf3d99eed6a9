"""A simulated table of payments with a few frauds, as an array for `dataset=array`.

`python -m vae_lab.datasets.fraud_like fraud.npz` writes it.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

SIZES = {"train": 20_000, "validation": 2_000, "test": 5_000}
FRAUDS = 0.02  # share
FACTORS, FEATURES, HIDDEN = 6, 20, 32


def fraud_like(seed: int = 0) -> dict[str, np.ndarray]:
    """Payments of 20 standardised features, with labels: 0 for honest ones, 1 for frauds.

    The features of an honest payment depend on six factors through a random network, with noise. A fraud has
    a random half of its features from one payment and the others from another: each feature alone looks as
    it should, so that only their dependence tells.
    """
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(FACTORS, HIDDEN)) / FACTORS**0.5
    second = rng.normal(size=(HIDDEN, FEATURES)) * 2 / HIDDEN**0.5
    arrays: dict[str, np.ndarray] = {}
    for name, size in SIZES.items():
        payments, others = (_honest(rng, size, first, second) for _ in range(2))
        is_fraud = rng.random(size) < FRAUDS
        taken = rng.permuted(np.tile(np.arange(FEATURES) < FEATURES // 2, (size, 1)), axis=1)
        x = np.where(is_fraud[:, None] & taken, others, payments)
        arrays |= {name: x.astype(np.float32), f"{name}_labels": is_fraud.astype(np.int64)}
    mean, std = arrays["train"].mean(0), arrays["train"].std(0)
    return arrays | {name: (arrays[name] - mean) / std for name in SIZES}


def _honest(rng: np.random.Generator, size: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    factors = rng.normal(size=(size, FACTORS))
    return np.tanh(2 * factors @ first) @ second + 0.3 * rng.normal(size=(size, FEATURES))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m vae_lab.datasets.fraud_like FILE.npz")
    arrays: Any = fraud_like()
    np.savez(Path(sys.argv[1]).with_suffix(".npz"), **arrays)
