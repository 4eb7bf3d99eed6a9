"""The inputs of the fuzzer: command lines, and what lies where they run, from a seed and a number."""

import random
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from companions import COMPANIONS
from omegaconf import OmegaConf

from vae_lab.config.commands import COMMANDS
from vae_lab.files.paths import CONF, SWEEPS

FAST = [
    "logger=none", "trainer.max_samples=200", "trainer.evaluate_at=end", "evaluation.importance_samples=2",
]  # fmt: skip
OF_RUN = {
    "evaluate": ["measures.importance_samples=[1,2]", "measures.gap=0"],
    "generate": ["number=4"],
    "explore": ["max_data=50", "steps=3"],
    "embed": ["max_train=50", "repeats=1"],
    "impute": ["missing=0.5", "max_data=5", "max_train=50", "steps=2", "importance_samples=5"],
    "outliers": ["against=digits", "max_data=20", "importance_samples=2"],
}
TRAINING_GROUPS = (
    "callbacks", "dataset", "estimator", "estimator/baseline", "evaluation", "evaluation/fit", "model",
    "model/decoder", "model/encoder", "model/likelihood", "model/network", "model/posterior", "model/prior",
    "noise", "optimizer", "optimizer/schedule", "trainer",
)  # fmt: skip
GRADIENTS = ["logger=none", "estimators=pathwise", "probe.num_replicates=4"]
WITHOUT_FILES = (
    "mnist",
    "fashion_mnist",
    "binarized_mnist",
    "frey_face",
    "frey_face_1500",
    "omniglot",
    "cifar10",
)
NUMBERS = [
    "-1", "0", "1", "2", "3", "1.5", "-0.0", "1e-300", "1e300", "1e12", "100000000000000000000", "2147483648",
    "4294967296", "9223372036854775808", "nan", "inf", "-inf", ".5", "1_000", "0x10", "1e", "07",
]  # fmt: skip
WORDS = [
    "", "null", "true", "false", "none", "auto", "~", "''", '""', "a b", "'a b'", "???", "é",
    "\N{GRINNING FACE}",
    "\u202e", "a" * 3000, "$HOME", "${seed}", "${oc.env:HOME}", "${nope}", "${model}", "${", "a:b", "a,b",
    "a=b",
    "\\", "%s", "{0}", "\x07", "a\nb", "\t", "--seed", "best", "last", "cpu", "gpu", "tpu",
]  # fmt: skip
LISTS = [
    "[]", "[1]", "[1,2]", "[a]", "[[1]]", "[null]", "[-1]", "[0]", "[1e300]", "[1", "1]", "{}", "{a:1}",
    "{a:",
    "[{a:1}]", "{_target_:builtins.print}", "{_target_:torch.optim.SGD}", "{a:{b:[1]}}", "[nan]",
]  # fmt: skip
SWEPT = [
    "1,2",
    "a,b",
    "range(1,3)",
    "choice(1,2)",
    "glob(*)",
    "interval(0,1)",
    "1,",
    ",1",
    "tag(a,1,2)",
    "1,null",
]
PATHS = [
    ".", "..", "../..", "./", "notes.md", "photos", "paper", "outputs", "outputs/runs",
    "outputs/runs/mine", "/",
    "/etc", "/nope/nope", "~", "~/out", "RUN", "outputs/runs/RUN", "faces.npy", "''", "a/../../..",
    "'a b'", "é",
    "\N{GRINNING FACE}", "a" * 300, "'a=b'", "link", "'(x)'", "'x,y'", "/dev/null", "/proc/self", "a\nb",
]  # fmt: skip
OPTIONS_OF_HYDRA = [
    "hydra.output_subdir=null", "hydra.output_subdir=x", "hydra/job_logging=disabled",
    "hydra/job_logging=none",
    "hydra/hydra_logging=disabled", "hydra.job.chdir=true", "hydra.job.chdir=false", "hydra.mode=MULTIRUN",
    "hydra.mode=RUN", "hydra.mode=x", "hydra/launcher=basic", "hydra/sweeper=basic", "hydra/launcher=nope",
    "hydra.launcher.slots=0", "hydra.launcher.slots=1", "hydra.launcher.slots=-1", "hydra.launcher.threads=0",
    "hydra.launcher.threads=-1", "hydra.launcher.threads=a", "hydra.launcher.jobs_per_gpu=0",
    "hydra.verbose=true",
    "hydra.job.name=x", "hydra.job.config_name=x", "hydra.job.env_set={A:1}",
    "hydra.runtime.output_dir=paper",
    "hydra.sweep.subdir=x", "hydra.sweep.dir=paper", "hydra.run.dir=paper", "hydra.searchpath=[file://paper]",
    "hydra.searchpath=[file:///nope]", "hydra.help.template=x", "+hydra.x=1", "hydra=1",
    "hydra.callbacks={a:1}",
    "hydra.job.num=1", "hydra.launcher=null", "hydra/launcher=slurm",
]  # fmt: skip
FLAGS = [
    "-m", "--multirun", "--cfg", "--cfg=job", "--cfg=x", "--help", "-h", "--hydra-help", "--version",
    "--info",
    "--info=x", "--resolve", "--package=model", "-p=model", "--run", "-r", "--config-name=x",
    "--config-path=paper",
    "-cn=evaluate", "-cd=paper", "--config-dir=nope", "--shell-completion", "-sc=install=bash",
    "--epochs", "-x",
    "--", "-", "--experimental-rerun=x",
]  # fmt: skip
TRUNCATED = [
    ": > {}", "truncate -s 10 {}", "truncate -s -20 {}", "head -c 300 /dev/urandom > {}", "rm -r {}",
    "rm -r {} && mkdir {}", "printf 'null' > {}", "printf '[]' > {}", "printf '\\n' >> {}",
    "printf '1,2,3\\n' >> {}",
    "printf 'x' | dd of={} bs=1 seek=40 conv=notrunc status=none", "rm -r {} && ln -s /nope {}",
    "rm -r {} && ln -s ../../../../notes.md {}", "chmod 0 {}",
]  # fmt: skip
OF_RESULT = [
    "metrics.json", "metrics.csv", ".hydra/config.yaml", ".hydra", ".hydra/overrides.yaml",
    "checkpoints/last.ckpt",
    "checkpoints", "figures",
]  # fmt: skip
LEFT_BESIDE = [
    "touch '{}/.lease-1 (conflicted copy)'", "touch {}/.lease-1~", "touch {}/.lease-x", "touch {}/.lease-1",
    "touch -d '+2 hours' {}/.lease-3", "mkdir {}/.lease-2", "touch {}/.draft-x", "touch {}/failure.json",
    "chmod a-w {}", "printf '{{}}' > {}/manifest.json", "touch $(printf '{}/\\377')", "mkdir {}/failure.json",
]  # fmt: skip
DATA = [
    "notes.md", "photos", "paper", "empty", "nope.npy", "outputs", ".", "/dev/null", "thesis/.git", "link",
] + [
    f"data/{name}"
    for name in (
        "empty.npy", "text.npy", "strings.npy", "objects.npy", "complex.npy", "nan.npy", "inf.npy",
        "negative.npy",
        "one.npy", "zero_rows.npy", "scalar.npy", "five_dims.npy", "bytes.npy", "huge_header.npy",
        "parts.npz",
        "no_train.npz", "shapes.npz", "junk.npz", "labels.npz", "bool.npy", "big_endian.npy", "fortran.npy",
        "image.png", "junk.png", "images_of_sizes", "broken_images", "one_image", "training_testing",
        "nested",
    )
]  # fmt: skip


@dataclass
class Input:
    """An input to be tried.

    Args:
        kind: Of the grammar.
        words: What stands after `vae-lab`; RUN is the signature of the trained run.
        before: Shell lines that change the folder before.
        environment: Variables beside the usual ones; an empty one is removed.
        must_refuse: Whether it cannot be accepted.
    """

    kind: str
    words: list[str]
    before: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    must_refuse: bool = False


def draw(seed: int, number: int) -> Input:
    """The input of a number."""
    chance = random.Random(f"{seed} {number}")
    (kind,) = chance.choices(list(KINDS), list(KINDS.values()))
    drawn = kind(chance)
    drawn.kind = kind.__name__.replace("_", " ")
    return drawn


@cache
def leaves() -> dict[str, Any]:
    """Every key of every option of every group, with its value, by its dotted name."""
    found: dict[str, Any] = {}
    for path in sorted(CONF.rglob("*.yaml")):
        group = path.parent.relative_to(CONF).as_posix().replace("/", ".")
        if group.startswith("hydra"):
            continue
        _collect(_loaded(path), "" if group in (".", "experiment") else group, found)
    return found


def _loaded(path: str | Path) -> Any:
    """The content of a file of the configuration."""
    return OmegaConf.to_container(OmegaConf.load(CONF / path))


def _collect(node: Any, above: str, found: dict[str, Any]) -> None:
    for name, value in node.items():
        key = f"{above}.{name}" if above else str(name)
        if name == "defaults" or key.startswith("hydra"):
            continue
        if isinstance(value, dict):
            _collect(value, key, found)
        found[key] = value


@cache
def groups() -> dict[str, list[str]]:
    """The options of every group."""
    found: dict[str, list[str]] = {}
    for path in sorted(CONF.rglob("*.yaml")):
        group = path.parent.relative_to(CONF).as_posix()
        if group not in (".", "hydra/launcher", "hydra/sweeper") and path.stem not in WITHOUT_FILES:
            found.setdefault(group, []).append(path.stem)
    return found


def word(chance: random.Random) -> str:
    """A word that names nothing."""
    return "".join(chance.choices(string.ascii_lowercase, k=chance.randint(3, 9))) + "zq"


def value(chance: random.Random, key: str = "") -> str:
    """A value, one of its own kind or a hostile one."""
    own = leaves().get(key)
    pools = [
        NUMBERS,
        NUMBERS,
        WORDS,
        LISTS,
        SWEPT,
        PATHS,
        [str(own)],
        [str(chance.choice(list(leaves().values())))],
    ]
    if isinstance(own, bool):
        pools += [["true", "false"]] * 4
    elif isinstance(own, int | float):
        pools += [NUMBERS] * 4
    chosen = chance.choice(chance.choice(pools))
    return chosen if chance.random() < 0.9 else word(chance)


def command(chance: random.Random) -> list[str]:
    """The beginning of a command line that would run in a second."""
    name = chance.choices(["train", "gradients", *OF_RUN], [8, 1, *[1] * len(OF_RUN)])[0]
    if name == "train":
        return ["train", *FAST]
    if name == "gradients":
        return ["gradients", *GRADIENTS]
    return [name, "run=RUN", "logger=none", *OF_RUN[name]]


def keys_of(name: str) -> list[str]:
    """The keys that a command may have, most of them."""
    of_training = (
        "model",
        "estimator",
        "dataset",
        "optimizer",
        "trainer",
        "noise",
        "evaluation",
        "callbacks",
    )
    if name in ("train", "gradients"):
        return [key for key in leaves() if key.startswith((*of_training, "seed", "rerun", "probe"))]
    own = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    shared = ["run", "runs", "seed", "rerun", "trainer.accelerator", "trainer.devices", "output_dir"]
    return [str(key) for key in own if key not in ("defaults", "hydra")] + shared


def values(chance: random.Random) -> Input:
    """Keys that exist, with all sorts of values."""
    words = command(chance)
    for _ in range(chance.choice([1, 1, 2])):
        key = chance.choice(keys_of(words[0]))
        sign = chance.choices(["", "+", "++", "~"], [12, 1, 1, 1])[0]
        words.append(f"{sign}{key}={value(chance, key)}")
    return Input("", words)


def values_of_options(chance: random.Random) -> Input:
    """Keys of any option, chosen with what it needs, with all sorts of values."""
    group = chance.choice([group for group in groups() if group in TRAINING_GROUPS])
    option = f"{group}={chance.choice(groups()[group])}"
    needed = COMPANIONS.get(option, [])
    words = ["train", *(FAST[:1] if "model=ppca" in needed else FAST), *needed]
    words += [option] if option not in words else []
    found: dict[str, Any] = {}
    package = "optimizer" if group == "optimizer/schedule" else group.replace("/", ".")
    _collect(_loaded(f"{option.replace('=', '/')}.yaml"), package, found)
    plain = [key for key in found if not key.endswith("_") or chance.random() < 0.2]
    key = chance.choice(plain or ["seed"])
    hostile = chance.choice(
        chance.choice([NUMBERS, NUMBERS, LISTS, WORDS, ["null", "true"], [str(leaves().get(key))]])
    )
    return Input("", [*words, f"{key}={hostile}"])


def nearby_values(chance: random.Random) -> Input:
    """Values of a key that the default configuration has."""
    key = chance.choice(
        [
            "model.latent_dim", "model.encoder.hidden", "optimizer.lr", "dataset.batch_size",
            "trainer.max_samples",
            "dataset.validation_size", "trainer.max_epochs", "trainer.precision", "trainer.devices", "seed",
            "evaluation.importance_samples", "estimator.num_samples", "estimator.kl", "trainer.evaluate_at",
            "trainer.checkpoint_at", "trainer.checkpoint_seconds", "trainer.select", "trainer.accelerator",
            "trainer.options", "trainer.strategy", "trainer.num_nodes", "dataset.binarize", "rerun",
            "output_dir",
            "model.encoder.activation", "model.decoder.hidden", "dataset.leave_out", "dataset.missing",
            "logger",
        ]
    )  # fmt: skip
    return Input("", ["train", *FAST, f"{key}={value(chance, key)}"])


def options(chance: random.Random) -> Input:
    """Options of groups, as they come together by chance."""
    words = command(chance)
    for _ in range(chance.choice([1, 2, 3])):
        group = chance.choice(list(groups()))
        words.append(f"{group}={chance.choice(groups()[group])}")
    return Input("", words)


def wrong_words(chance: random.Random) -> Input:
    """Overrides that cannot be: unknown keys and options, wrong types, and what is no override."""
    count = chance.choice(
        ["model.latent_dim", "dataset.batch_size", "trainer.max_epochs", "estimator.num_samples"]
    )
    group = chance.choice(
        ["model", "estimator", "dataset", "optimizer", "trainer", "noise", "model/likelihood"]
    )
    enumerated = chance.choice(["estimator.kl", "trainer.select", "dataset.binarize", "trainer.accelerator"])
    key = chance.choice(list(leaves()))
    bad = chance.choice(
        [
            f"{key}{word(chance)}=1", f"{word(chance)}=1", f"{group}={word(chance)}",
            f"{count}={word(chance)}",
            f"{count}=[{word(chance)}]", f"{count}={{a:1}}", f"{count}=1.5",
            f"{count}={-chance.randint(1, 99)}",
            f"optimizer.lr={chance.choice(['-1', 'nan', 'inf', '-inf', 'a'])}",
            f"{enumerated}={word(chance)}",
            key + chance.choice(["=[1,2", "={a:1", "='half", "", "=1]2", "=(1,2", "=a:b:[}"]), f"={key}",
        ]
    )  # fmt: skip
    several = ["-m", "seed=0,1,2"] if chance.random() < 0.3 else []
    fast = [word for word in FAST if "max_samples" not in word] if "max_epochs" in bad else FAST
    return Input("", ["train", *fast, *several, bad], must_refuse=True)


def misspelled(chance: random.Random) -> Input:
    """A command line with letters lost, doubled or strange, or words lost or doubled."""
    words = command(chance)
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(words))
        text = words[place]
        letter = chance.randrange(len(text) + 1)
        words[place : place + 1] = chance.choice(
            [
                [text[:letter] + text[letter + 1 :]],
                [text[:letter] + chance.choice(string.printable) + text[letter:]],
                [], [text, text], [text[::-1]], [text.upper()], [text.replace("=", " ")],
                [text.replace("=", " =")],
                [text.replace("_", "-")], [f"--{text}"], [*text.split("=")], [text.rpartition(".")[2]],
            ]
        )  # fmt: skip
        words = words or [""]
    return Input("", words)


def flags(chance: random.Random) -> Input:
    """Flags, Hydra's and others."""
    words = command(chance) if chance.random() < 0.7 else [chance.choice(list(COMMANDS))]
    for _ in range(chance.choice([1, 1, 2])):
        flag = chance.choice(FLAGS)
        words[chance.randint(1, len(words)) :] += [flag] if chance.random() < 0.5 else flag.split("=", 1)
    return Input("", words)


def no_command(chance: random.Random) -> Input:
    """Words that are no command, or a command without the words that it needs."""
    first = chance.choice(
        ["version", "help", "Train", "trian", "--version", "", word(chance), *COMMANDS, *WORDS]
    )
    rest = chance.choice([[], [], [value(chance)], ["run=RUN"], ["RUN"], ["--help"]])
    return Input("", [first, *rest])


def of_hydra(chance: random.Random) -> Input:
    """Hydra's own settings."""
    words = [*command(chance), *chance.sample(OPTIONS_OF_HYDRA, chance.choice([1, 1, 2]))]
    return Input("", words + (["-m", "seed=0,1"] if chance.random() < 0.2 else []))


def places(chance: random.Random) -> Input:
    """Directories of results where they do not belong."""
    words = command(chance)
    key = chance.choice(["hydra.run.dir", "output_dir", "hydra.run.dir", "rerun", "sweep.name", "out", "run"])
    path = chance.choice(PATHS)
    words += ["rerun=true", f"hydra.run.dir={path}"] if key == "rerun" else [f"{key}={path}"]
    if words[0] == "train" and (key == "sweep.name" or chance.random() < 0.1):
        words += ["-m", "seed=0,1", "model=ppca"] if chance.random() < 0.5 else ["-m", "seed=0,1"]
    elif words[0] == "train" and chance.random() < 0.4:
        words = [word for word in words if word not in FAST[1:]] + ["model=ppca"]
    return Input("", words)


def hostile_results(chance: random.Random) -> Input:
    """A run whose files are broken, and a command on it."""
    kind = chance.choice(["outputs/runs/RUN", "outputs/runs/RUN", "outputs/sweeps/mine", "outputs/runs/mine"])
    names = ["manifest.json", "runs.parquet", "table.csv"] if "sweeps" in kind else OF_RESULT
    path = f"{kind}/{chance.choice(names)}"
    before = [chance.choice(TRUNCATED).format(*[path] * 3)] if chance.random() < 0.75 else []
    before = before or [chance.choice(LEFT_BESIDE).format(kind)]
    before = [line.replace("{}", path) for line in before]
    same = ["train", *FAST]
    sweep = ["train", "-m", *FAST, "seed=0,1", "sweep.name=mine"]
    words = chance.choice(
        [command(chance), same, [*same, "rerun=true"], sweep, ["status", "mine"], ["figures", "mine"]]
    )
    if words[0] in OF_RUN and "sweeps" in kind:
        words = [word if word != "run=RUN" else "runs=mine" for word in words]
    if words == same and chance.random() < 0.3:
        words = ["train", *FAST[:1], "trainer.max_samples=400", *FAST[2:]]  # takes over from the shorter one
    return Input("", words, before)


def foreign_configuration(chance: random.Random) -> Input:
    """A run whose configuration names what it must not."""
    target = chance.choice(
        ["os.system", "builtins.open", "builtins.print", "subprocess.run", "joblib.load",
         "numpy.testing.runstring",
         "torch.hub.load", "nope.Nope", "torch.nn.Linear", "pathlib.Path.touch", "shutil.rmtree", "'', 1",
         "3"]
    )  # fmt: skip
    place = chance.choice(
        ["model", "dataset", "estimator", "noise", "evaluation", "callbacks.x", "optimizer.algorithm"]
    )
    line = f"{place}: {{_target_: {target}, command: touch executed, file: executed, mode: w}}".replace(
        ".x:", ":"
    )
    if "." in place:
        first, _, second = place.partition(".")
        line = f"{first}: {{{second}: {{_target_: {target}, file: executed, mode: w}}}}"
    path = "outputs/runs/RUN/.hydra/config.yaml"
    program = (
        f"import yaml; p = '{path}'; c = yaml.safe_load(open(p)); c.update(yaml.safe_load('''{line}''')); "
    )
    before = [f"{{python}} -c \"{program}yaml.safe_dump(c, open(p, 'w'))\""]
    words = command(chance)
    if words[0] in ("train", "gradients"):
        folder = ["--config-path", "outputs/runs/RUN/.hydra", "--config-name", "config"]
        words = ["train", *folder, "hydra.run.dir=outputs/runs/again"]
    return Input("", words, before)


def data_files(chance: random.Random) -> Input:
    """Data of every wrong kind."""
    path = chance.choice(DATA)
    words = ["train", *FAST, f"dataset={chance.choice(['array', 'image_folder'])}", f"dataset.path={path}"]
    words += ["dataset.size=8"] if "image_folder" in words[-2] else []
    words += (
        [f"model/likelihood={chance.choice(groups()['model/likelihood'])}"] if chance.random() < 0.7 else []
    )
    if chance.random() < 0.4:
        key = chance.choice([key for key in leaves() if key.startswith("dataset.")])
        words.append(f"{key}={value(chance, key)}")
    if chance.random() < 0.3:
        name = chance.choice(["embed", "impute", "outliers", "explore"])
        key = {"embed": "data", "impute": chance.choice(["data", "missing"]), "outliers": "against"}.get(name)
        given = f"{key}={path}" if key else f"between=[{path},{chance.choice(DATA)}]"
        words = [name, "run=RUN", "logger=none", *OF_RUN[name], given, *chance.choice([[], ["resize=true"]])]
    return Input("", words)


def sweeps(chance: random.Random) -> Input:
    """Sweeps, of a name or of axes, and what shows them."""
    name = chance.choice(
        [*(path.stem for path in SWEEPS.glob("*.yaml")), word(chance), "mine", "outputs/sweeps/mine"]
    )
    axis = chance.choice(["seed=0,1", "estimator=reparameterized,rloo", "model.latent_dim=2,3"])
    words = chance.choice(
        [
            ["sweep", name, value(chance)],
            ["sweep", "smoke", f"{chance.choice(list(leaves()))}={value(chance)}"],
            ["sweep", name, "--cfg", "job"], ["status", chance.choice([name, *PATHS])],
            ["sweep", chance.choice(WORDS)],
            ["figures", chance.choice([name, *PATHS])],
            ["train", "-m", *FAST, axis, f"seed={value(chance)}"],
            ["train", "-m", *FAST, axis, f"sweep.{chance.choice(['name', 'metric', 'x'])}={value(chance)}"],
            [chance.choice(list(OF_RUN)), "logger=none", f"runs={chance.choice(['mine', '[RUN]'])}"],
            [chance.choice(list(OF_RUN)), "logger=none", f"runs={value(chance)}"],
        ]
    )  # fmt: skip
    return Input("", words)


def completion(chance: random.Random) -> Input:
    """Questions of the shell for completion, and help."""
    line = (
        "vae-lab " + chance.choice([*COMMANDS, *WORDS]) + " " + chance.choice(["", "mod", "model=", *WORDS])
    )
    asked = chance.choice(
        ["query=bash", "query=fish", "query=zsh", "install=bash", "uninstall=bash", "x", ""]
    )
    words = (
        ["-sc", asked] if chance.random() < 0.7 else [chance.choice(list(COMMANDS)), "--help", value(chance)]
    )
    return Input("", words, environment={"COMP_LINE": line, "COMP_POINT": str(len(line))})


def environments(chance: random.Random) -> Input:
    """Users without a home, terminals without Unicode, odd folders of temporary files."""
    environment = chance.choice(
        [
            {"HOME": ""}, {"HOME": "/"}, {"HOME": "/nope"}, {"PYTHONIOENCODING": "ascii"}, {"COLUMNS": "1"},
            {"TMPDIR": "/nope"}, {"VAE_LAB_DATA": ""}, {"VAE_LAB_DATA": "/dev/null"},
            {"VAE_LAB_DATA": "notes.md"},
            {"HYDRA_FULL_ERROR": "0"}, {"TERM": "dumb"}, {"LANG": "C", "PYTHONIOENCODING": "latin-1"},
            {"OMP_NUM_THREADS": "x"}, {"WANDB_MODE": "online"}, {"XDG_CACHE_HOME": "/nope"},
        ]
    )  # fmt: skip
    words = chance.choice(
        [command(chance), ["sweep"], ["train", "-m", *FAST, "seed=0,1"], ["train", "seed=é"]]
    )
    return Input("", words, environment=environment)


KINDS: dict[Callable[[random.Random], Input], int] = {
    values: 16, values_of_options: 12, nearby_values: 10, options: 6, wrong_words: 10, misspelled: 8,
    flags: 4, no_command: 4, of_hydra: 6,
    places: 8, hostile_results: 8, foreign_configuration: 3, data_files: 6, sweeps: 6, completion: 3,
    environments: 2,
}  # fmt: skip
