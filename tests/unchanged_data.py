"""Computes what must stay as it is: configurations, jobs of sweeps, numbers of small runs, printed tables.

`python tests/unchanged_data.py [kind ...]` writes it anew into `tests/unchanged`, which is right only for a
change that is meant. Each file consists of sections, whose titles are what to do again: the words of a
command line, or the name of a sweep.
"""

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from functools import cache
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path
from unittest import mock

import torch
from conftest import composed, environment
from omegaconf import OmegaConf

from vae_lab.files.paths import CONF, SWEEPS
from vae_lab.sweep.axes import ROLES, axes, points

STORED = Path(__file__).parent / "unchanged"
TITLE = "== "

COMMANDS = ("train", "gradients", "evaluate", "generate", "explore", "embed", "impute", "outliers")
WITHOUT_CONFIGURATION = ("sweep", "new", "status", "runs", "figures")
PACKS = (  # words, and groups whose options are composed together, one of each
    (
        "gradients",
        ("model", "dataset", "noise", "logger", "callbacks", "estimators", "probe", "hydra/launcher"),
    ),
    (
        "train",
        (
            *(f"model/{part}" for part in ("encoder", "decoder", "likelihood", "posterior", "prior")),
            *("estimator", "optimizer", "trainer", "evaluation", "hydra/sweeper"),
        ),
    ),
    ("train estimator=score_function", ("estimator/baseline", "optimizer/schedule", "evaluation/fit")),
    ("train model=autoregressive", ("model/network",)),
    ("train", ("experiment",)),
    ("evaluate", ("measures",)),
)
MANY = 12  # jobs; of more, the first, the last and a checksum of all

SHORT = "logger=none trainer.max_samples=2000 trainer.evaluate_at=end trainer.progress=false"
SMALL = f"{SHORT} evaluation.importance_samples=10"
BINARY = "model/posterior=bernoulli model/prior=bernoulli model.latent_dim=16"
TRAIN = f"train {SMALL}"
RUNS = (
    TRAIN,
    f"train estimator=score_function estimator/baseline=running_mean {SMALL}",
    f"train estimator=iwae {SMALL}",
    f"train estimator=vimco {BINARY} {SMALL}",
    f"train estimator=disarm {BINARY} {SMALL}",
    f"train estimator=rebar {BINARY} {SMALL}",
    f"train estimator=wake_sleep {SMALL}",
    f"train estimator=miwae dataset.missing=0.3 {SMALL}",
    f"train estimator=autoencoder {SHORT}",
    f"train model/posterior=hierarchical model/prior=hierarchical estimator.kl=sampled {SMALL}",
    f"train model/posterior=student_t {SMALL}",
    f"train model=autoregressive {SHORT}",
    "train model=ppca dataset.binarize=none logger=none",
    "train model=gaussian_mixture dataset.binarize=none logger=none",
)
SWEEP = "sweep smoke optimizer.lr=0.001 seed=0,1 model.latent_dim=2 trainer.max_epochs=1"
GRADIENTS = "gradients run=RUN at=0 estimators=pathwise probe.num_replicates=20 probe.warm_up=0 logger=none"
TABLES = (
    TRAIN,
    "evaluate run=RUN measures.importance_samples=[20] measures.gap=5 logger=none",
    "generate run=RUN number=16 logger=none",
    "explore run=RUN max_data=100 logger=none",
    "embed run=RUN max_train=200 repeats=2 logger=none",
    "impute run=RUN missing=0.5 steps=5 importance_samples=20 max_data=20 max_train=100 logger=none",
    "outliers run=RUN against=validation max_data=50 importance_samples=5 logger=none",
    GRADIENTS,
    SWEEP,
    "status smoke",
    "figures smoke",
    "sweep",
)


def machine():
    """The machine as far as last digits depend on it."""
    cpu = Path("/proc/cpuinfo")
    vendor = re.search(r"vendor_id\s*:\s*(\S+)", cpu.read_text() if cpu.is_file() else "")
    parts = (torch.backends.cpu.get_cpu_capability(), platform.machine(), vendor[1] if vendor else "")
    return " ".join([*(f"{name} {version(name)}" for name in ("torch", "numpy", "scikit-learn")), *parts])


def read(kind):
    """The stored sections of a kind, by their titles."""
    text = (STORED / kind).read_text().removesuffix("\n")
    sections = f"\n{text}".split(f"\n{TITLE}")[1:]
    return {title: body for title, _, body in (section.partition("\n") for section in sections)}


def write(kind, sections):
    """Stores the sections of a kind."""
    text = "\n".join(f"{TITLE}{title}\n{body}" for title, body in sections.items())
    (STORED / kind).write_text(f"{text}\n")


def titles_of_configurations():
    """Each command, and its words with options of groups, so that each option is there once."""
    yield from COMMANDS
    for command, groups in PACKS:
        options = [
            [f"{group}={path.stem}" for path in sorted((CONF / group).glob("*.yaml"))] for group in groups
        ]
        yield from (" ".join([command, *filter(None, words)]) for words in zip_longest(*options))


def configuration(title):
    """The lines of a command's configuration; of options, those that differ from the one without them."""
    command, *words = title.split()
    now, without = flat(command, *words), flat(command) if words else {}
    lines = [f"{key}: {value}" for key, value in sorted(now.items()) if without.get(key) != value]
    return "\n".join([*lines, *(f"{key} is gone" for key in sorted(without.keys() - now.keys()))])


@cache
def flat(command, *words):
    """A configuration as one dictionary with dotted keys, classes by their names."""
    cfg = composed(*words, command=command, return_hydra_config=True)
    hydra = {
        name: OmegaConf.to_container(cfg.hydra[name]) for name in ("launcher", "sweeper", "run", "sweep")
    }
    OmegaConf.set_struct(cfg, False)
    del cfg["hydra"]
    with mock.patch.dict(os.environ, VAE_LAB_DATA="DATA"):
        resolved = OmegaConf.to_container(cfg, resolve=True)
    return dict(_items(_by_name({**resolved, "hydra": hydra})))


def _items(node, prefix=""):
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from _items(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value, sort_keys=True)


def _by_name(node):
    if isinstance(node, dict):
        last = {"_target_": str(node["_target_"]).rpartition(".")[2]} if "_target_" in node else {}
        return {key: _by_name(value) for key, value in node.items()} | last
    return [_by_name(each) for each in node] if isinstance(node, list) else node


def titles_of_sweeps():
    """The names of the sweeps."""
    return sorted(path.stem for path in SWEEPS.glob("*.yaml"))


def sweep(name):
    """The roles, the jobs and the other settings of a sweep."""
    found = OmegaConf.to_container(OmegaConf.load(SWEEPS / f"{name}.yaml"))
    settings = found["sweep"]
    varied, _ = axes(settings, [])
    roles = [f"{axis.role} {axis.key}: {' | '.join(axis.values)}" for axis in varied]
    jobs = [" ".join(point.overrides) for point in points(varied)]
    digest = hashlib.sha256("\n".join(jobs).encode()).hexdigest()
    shown = jobs if len(jobs) <= MANY else [jobs[0], f"... {digest}", jobs[-1]]
    shared = {key: value for key, value in settings.items() if key not in ROLES}
    lines = [f"{key}: {value}" for key, value in sorted(_items({**found, "sweep": shared}))]
    return "\n".join([*roles, f"{len(jobs)} jobs", *shown, *lines])


def titles_of_help():
    """The pages of help."""
    yield from ("--help", *(f"{command} --help" for command in (*COMMANDS, *WITHOUT_CONFIGURATION)))


class Folder:
    """A folder in which command lines run, each once, and those first that it needs.

    Args:
        path: The folder.
        run: Runs `vae-lab` with some words in the folder `cwd`; gives the finished process.
    """

    def __init__(self, path, run):
        self.path, self.run, self.outputs = path, run, {}

    def output(self, title):
        """The printed lines of a command line, in which RUN stands for the signature of the run `TRAIN`."""
        if title not in self.outputs:
            if title in ("status smoke", "figures smoke"):
                self.output(SWEEP)
            words = title.replace("RUN", self.directory(TRAIN).name) if "RUN" in title else title
            process = self.run(*words.split(), cwd=self.path, env={"COLUMNS": "100"})
            assert process.returncode == 0, process.stderr
            self.outputs[title] = process.stdout
        return self.outputs[title]

    def directory(self, title):
        """Where the results of a command line are."""
        return self.path / re.search(r"^in (\S+)$", self.output(title), re.MULTILINE)[1]

    def table(self, title):
        """The printed lines without what differs from time to time and from place to place."""
        return masked(self.output(title))

    def numbers(self, title):
        """All numbers that a command line leaves, to the last digit."""
        directory = self.directory(title)
        if title.startswith("gradients"):
            import polars as pl

            rows = (
                pl.read_parquet(directory / "gradients.parquet")
                .drop("seconds", "variance_times_seconds", "run")
                .to_dicts()
            )
            return "\n".join(
                f"{number}.{key}: {value!r}" for number, row in enumerate(rows) for key, value in row.items()
            )
        metrics = json.loads((directory / "metrics.json").read_text())["metrics"]
        return "\n".join(f"{key}: {value!r}" for key, value in sorted(metrics.items()))


def masked(text):
    """A printed table with one blank between its columns, and without times, paths and signatures."""
    for pattern, mask in (
        (r"[ \t]+$", ""),
        (r"outputs/(runs|[a-z]+)/[0-9a-f]{12}", r"outputs/\1/SIGNATURE"),
        (r"\b(?=[0-9]*[a-f])[0-9a-f]{12}\b", "SIGNATURE"),
        (r"^(running|done \d+ of \d+): .*\n", ""),  # in the order in which jobs end
        (r"[\d,]+(\s+samples/s)", r"SPEED\1"),
        (r"[\d,.]+(\s+seconds)", r"SECONDS\1"),
        (r"^(.*[±].*\s)\d+\.\d\d$", r"\1MS"),
        (r"(vae_lab\.[a-z_0-9.]+\.)(?=[A-Z])", ""),
        (re.escape(str(Path.home())), "~"),
        (r" {2,}(?=\S)", "  "),
    ):
        text = re.sub(pattern, mask, text, flags=re.MULTILINE)
    return text.strip("\n")


def command_line(*arguments, cwd, env):
    """Runs `vae-lab` in a process of its own."""
    command = [str(Path(sys.executable).with_name("vae-lab")), *arguments]
    return subprocess.run(command, cwd=cwd, env=environment() | env, capture_output=True, text=True)


TITLES = {
    "configurations": titles_of_configurations,
    "sweeps": titles_of_sweeps,
    "help": titles_of_help,
    "numbers": lambda: (*RUNS, GRADIENTS),
    "tables": lambda: TABLES,
}


def main(kinds):
    """Writes the kinds anew."""
    os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp()
    STORED.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as path:
        folder = Folder(Path(path), command_line)
        computed = {
            "configurations": configuration,
            "sweeps": sweep,
            "help": folder.table,
            "numbers": folder.numbers,
            "tables": folder.table,
        }
        for kind in kinds or computed:
            write(kind, {title: computed[kind](title) for title in TITLES[kind]()})
    if not kinds or "numbers" in kinds:
        (STORED / "machine").write_text(f"{machine()}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
