"""Gives a sweep random malformed overrides, and looks whether each is refused before any job starts.

Each trial is a multirun of three jobs of which the last, at least, cannot run: an unknown key or option, a
value of the wrong type or out of its range, or words that are no override at all. It must end in a non-zero
status, one line that is no traceback, and an empty folder.

    python benchmarks/malformed.py [--trials 1000] [--seed 0]
"""

import argparse
import contextlib
import io
import os
import random
import shutil
import string
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from vae_lab.cli import main as vae_lab

KEYS = [
    "model.latent_dim", "model.encoder.hidden", "model.decoder.activation", "optimizer.lr",
    "dataset.batch_size", "dataset.validation_size", "trainer.max_epochs", "trainer.precision",
    "evaluation.importance_samples", "estimator.num_samples", "estimator.kl", "seed",
]  # fmt: skip
COUNTS = [
    "model.latent_dim", "dataset.batch_size", "trainer.max_epochs", "evaluation.importance_samples",
    "estimator.num_samples",
]  # fmt: skip
GROUPS = [
    "model",
    "estimator",
    "dataset",
    "optimizer",
    "trainer",
    "noise",
    "model/likelihood",
    "model/posterior",
]
ENUMERATED = [
    "estimator.kl",
    "trainer.select",
    "dataset.binarize",
    "trainer.accelerator",
    "model.encoder.activation",
]


def word(chance: random.Random) -> str:
    """A word that names nothing."""
    return "".join(chance.choices(string.ascii_lowercase, k=chance.randint(3, 9))) + "zq"


def unknown_key(chance: random.Random) -> str:
    """A key that does not exist."""
    key = chance.choice(KEYS)
    place = chance.randrange(len(key))
    wrong = chance.choice([key + word(chance), key[:place] + "zq" + key[place:], word(chance)])
    return f"{wrong}=1,2,3"


def unknown_option(chance: random.Random) -> str:
    """An option that a group does not have."""
    return f"{chance.choice(GROUPS)}={word(chance)},{word(chance)}"


def wrong_type(chance: random.Random) -> str:
    """A word, a list or a mapping where a number belongs."""
    bad = chance.choice([word(chance), f"[{word(chance)}]", "{a:1}", "true", "null", "1.5"])
    return f"{chance.choice(COUNTS)}=1,2,{bad}"


def out_of_range(chance: random.Random) -> str:
    """A number that cannot be."""
    if chance.random() < 0.3:
        return f"optimizer.lr=0.1,0.01,{chance.choice(['-1', '-0.001', 'nan', 'inf', '-inf'])}"
    return f"{chance.choice(COUNTS)}=1,2,{-chance.randint(0, 99)}"


def not_enumerated(chance: random.Random) -> str:
    """A word where one of a few belongs."""
    return f"{chance.choice(ENUMERATED)}={word(chance)},{word(chance)}"


def no_override(chance: random.Random) -> str:
    """Words that Hydra's grammar does not have."""
    key = chance.choice(KEYS)
    endings = ["=[1,2", "={a:1", "='half", "", "=1]2", "=(1,2", "=a:b:[}"]
    return f"={key}" if chance.random() < 0.1 else key + chance.choice(endings)


KINDS: list[Callable[[random.Random], str]] = [
    unknown_key, unknown_option, wrong_type, out_of_range, not_enumerated, no_override,
]  # fmt: skip


def trial(override: str, folder: Path) -> str:
    """What was wrong with the refusal, or an empty string."""
    out, err = io.StringIO(), io.StringIO()
    arguments = ["train", "-m", "logger=none", "trainer.max_epochs=1"]
    if not override.startswith("trainer.max_epochs"):
        arguments += ["seed=0,1,2"] if not override.startswith("seed") else []
    else:
        arguments[-1:] = ["seed=0,1,2"]
    sys.argv = ["vae-lab", *arguments, override]
    status: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            vae_lab([*arguments, override])
        except SystemExit as end:
            status = end.code
        except BaseException as error:
            return f"{type(error).__name__}: {error}"
    text = err.getvalue() + (status if isinstance(status, str) else "")
    if status in (0, None):
        return "it was accepted"
    if "Traceback" in text:
        return "a traceback"
    if len(text.strip().splitlines()) != 1:
        return f"{len(text.strip().splitlines())} lines: {text}"
    left = [str(path) for path in folder.rglob("*")]
    return f"left on disk: {left}" if left else ""


def main() -> None:
    """Prints how many were refused, and every one that was not as it should be."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    refused: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        for number in range(arguments.trials):
            kind = chance.choice(KINDS)
            override = kind(chance)
            wrong = trial(override, Path(name))
            refused[kind.__name__] += not wrong
            if wrong:
                print(f"{number}: {override}: {wrong}", flush=True)
                shutil.rmtree("outputs", ignore_errors=True)
        os.chdir("/")
    print(f"{sum(refused.values())} of {arguments.trials} refused by one message, nothing left on disk")
    print(", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(refused.items())))


if __name__ == "__main__":
    main()
