"""Runs the commands that README and docs show, and compares what they print with what stands there.

A block of code is run as it stands, in one folder for all pages, unless a comment before it, which nobody
sees who reads the rendered page, says otherwise:

    <!-- cost: 20 minutes -->             the commands of the block take too long for the tests
    <!-- cost of runs=: 1 hour -->        those of its commands that hold `runs=` do
    <!-- output of: vae-lab ... -->       the block is what this command prints
    <!-- needs: SLURM -->                 it runs on other machines alone
    <!-- excerpt -->                      it is part of something else

Each line that stands there must be printed, in order; `...` stands for any lines. Words, signatures and whole
numbers must be the same, and for this program all other digits too. The tests run on other processors also,
where a number with decimals may differ by 5 % or two units of its last digit. Speeds, times and sizes of
files, `123 samples/s`, `2026-01-31 12:00`, `1.2 MB` and the column `ms`, are not compared. `RUN` and
`<signature>` are the run trained last.

    python benchmarks/documents.py [PAGE ...] [--all] [--update]
"""

import argparse
import math
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import forked
import numpy as np
import scipy.io
from forked import usual_environment
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
MARK = re.compile(r"<!-- (cost|output of|needs|excerpt)(?: of (\S+))?(?:: (.*))? -->")
DECIMAL = re.compile(r"-?\d+\.\d+(?:e[-+]\d+)?")
SIGNATURE = re.compile(r"outputs/runs/([0-9a-f]{12})")


@dataclass
class Block:
    """A block of code in a page.

    Args:
        page: The file.
        line: Number of its first line, from 0.
        language: As the fence says.
        lines: What it holds.
        marks: What the comments before it say: kind, part of the commands that are meant, and text.
    """

    page: Path
    line: int
    language: str
    lines: list[str]
    marks: list[tuple[str, str, str]]

    def mark(self, kind: str) -> str | None:
        """The text of a comment of a kind; empty where there is none."""
        return next((text for name, _, text in self.marks if name == kind), None)


@dataclass
class Step:
    """A step to be run: a command line, or the Python of a block.

    Args:
        block: Where it stands.
        text: The command, or the program.
        shown: The lines that stand under it, by their numbers in the page.
        cost: Why it is not run by the tests, if it is not.
    """

    block: Block
    text: str
    shown: dict[int, str] = field(default_factory=dict)
    cost: str | None = None

    @property
    def is_python(self) -> bool:
        """Whether it is Python."""
        return self.block.language == "python"

    @property
    def words(self) -> list[str]:
        """The words after `vae-lab`; none for other commands."""
        words = shlex.split(self.text.replace("pip install uv && uv run ", ""), comments=True)
        return words[1:] if words[:1] == ["vae-lab"] else []


def pages() -> list[Path]:
    """README, then all pages of docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of code of a page."""
    lines = page.read_text().splitlines()
    start = None
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if start is None:
            start = number
            continue
        marks = []
        above = start - 1
        while above >= 0 and (match := MARK.fullmatch(lines[above])):
            marks.append((match[1], match[2] or "", match[3] or ""))
            above -= 1
        yield Block(page, start + 1, lines[start][3:], lines[start + 1 : number], marks)
        start = None


def steps(page: Path) -> Iterator[Step]:
    """The steps of a page, in order.

    Raises:
        ValueError: If a block is neither run nor marked.
    """
    for block in blocks(page):
        if block.language == "yaml" or block.mark("excerpt") is not None:
            continue
        if (command := block.mark("output of")) is not None:
            shown = dict(enumerate(block.lines, start=block.line))
            yield _priced(Step(block, command, shown))
        elif block.language == "python":
            yield _priced(Step(block, "\n".join(block.lines)))
        elif _is_commands(block):
            yield from _commands(block)
        else:
            raise ValueError(
                f"{page.name}, line {block.line}: no command makes this block, and no mark says why"
            )


def in_sentences(page: Path) -> list[str]:
    """The command lines that stand within sentences and tables."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    return [
        " ".join(found.split()) for found in re.findall(r"`(vae-lab [^`]+|python benchmarks/[^`]+)`", text)
    ]


def _is_commands(block: Block) -> bool:
    first = block.lines[0]
    return first.startswith(("$ ", "vae-lab ", "pip ", "python "))


def _commands(block: Block) -> Iterator[Step]:
    prompt = "$ " if block.lines[0].startswith("$ ") else ""
    step: Step | None = None
    goes_on = False
    for number, line in enumerate(block.lines, start=block.line):
        if goes_on and step:
            step.text += " " + line.strip().removesuffix("\\")
        elif line.startswith(prompt) and (prompt or line.strip()):
            if step:
                yield _priced(step)
            step = Step(block, line.removeprefix(prompt).removesuffix("\\"))
        elif step:
            step.shown[number] = line
        goes_on = line.endswith("\\")
    if step:
        yield _priced(step)


def _priced(step: Step) -> Step:
    for kind, part, text in step.block.marks:
        if kind in ("cost", "needs") and part in step.text:
            step.cost = f"needs {text}" if kind == "needs" else text
    return step


Same = Callable[[str, str], bool]
Runner = Callable[[list[str], str | None], str]


class Pages:
    """The steps of the pages, run in one folder.

    Args:
        run: Runs the words after `vae-lab`, or a program, and gives what was printed.
    """

    def __init__(self, run: Runner) -> None:
        self.run = run
        self.last = ""

    def train(self) -> None:
        """Trains the README's first run, of which all pages speak."""
        self.last = SIGNATURE.findall(self.run(["train"], None))[-1]

    def printed(self, step: Step) -> list[str]:
        """The lines that a step prints."""
        if step.is_python and step.block.mark("output of") is None:
            return self.run([], step.text).splitlines()
        words = [re.sub(r"<signature>|<run>|\bRUN\b", self.last, word) for word in step.words]
        if not words:
            return []
        text = self.run(words, None)
        if words[0] == "train" and (found := SIGNATURE.findall(text)):
            self.last = found[-1]
        return text.splitlines()

    def differences(self, step: Step, printed: list[str], same: Same = str.__eq__) -> list[str]:
        """The lines that stand in the page and were not printed, in order.

        Args:
            step: What was run.
            printed: What it printed.
            same: Whether two lines say the same.
        """
        missing, place = [], 0
        header = ""
        for number, line in step.shown.items():
            if line.strip() in ("", "..."):
                continue
            header = line if line.rstrip().endswith(" ms") else header
            wanted = masked(line, header)
            at = next(
                (n for n in range(place, len(printed)) if same(masked(printed[n], header), wanted)), None
            )
            if at is None:
                missing.append(f"{step.block.page.name}:{number + 1}: {line}")
            else:
                place = at + 1
        return missing


def masked(line: str, header: str = "") -> str:
    """A line with speeds and times left out, and one space for several."""
    line = re.sub(r"[\d,.]+ +samples/s", "# samples/s", line)
    line = re.sub(r"[\d.]+ (?:bytes|kB|MB|GB)\b", "# bytes", line)
    line = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "#", line)
    if header and line.strip() != header.strip():
        line = re.sub(r"[\d.]+\s*$", "#", line)
    return " ".join(line.split())


def nearly(one: str, other: str) -> bool:
    """Whether two lines are the same but for rounding: a number with decimals may differ by 5 %, or by two
    units of its last digit.
    """
    if DECIMAL.sub("#", one) != DECIMAL.sub("#", other):
        return False
    pairs = zip(DECIMAL.findall(one), DECIMAL.findall(other), strict=True)
    return all(abs(float(a) - float(b)) <= max(0.05 * abs(float(b)), 2.01 * _unit(b)) for a, b in pairs)


def _unit(number: str) -> float:
    """One of the last digit of a number as it is written, such as 0.001 or 1e-07."""
    digits, _, power = number.partition("e")
    return 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))


def updated(step: Step, printed: list[str]) -> dict[int, str]:
    """The lines that should be shown: those that were printed under the same names."""
    replaced: dict[int, str] = {}
    place = 0
    for number, line in step.shown.items():
        name = _name(line)
        at = next((n for n in range(place, len(printed)) if _name(printed[n]) == name), None)
        if line.strip() not in ("", "...") and at is not None:
            replaced[number], place = printed[at].rstrip(), at + 1
    return replaced


def _name(line: str) -> str:
    """The beginning of a line, up to its first number."""
    match = re.match(r"\s*([^\d±-]*)", line)
    return " ".join(match[1].split()[:2]) if match else ""


def update(page: Path, replaced: dict[int, str]) -> None:
    """Rewrites lines of a page."""
    lines = page.read_text().splitlines()
    for number, line in replaced.items():
        lines[number] = line
    page.write_text("\n".join(lines) + "\n")


def put_files(folder: Path) -> None:
    """Puts into a folder what the commands of the pages are given: pictures, masks, and archives in small.

    Among them is the checkpoint of the README's first run, which must be there.
    """
    chance = np.random.default_rng(0)
    for name in ("a.png", "b.png", "hole.png"):
        Image.fromarray(255 * chance.integers(0, 2, (8, 8), dtype="uint8")).save(folder / name)
    for name in ("some", "FreyFace", "BinarizedMNIST", "photos"):
        (folder / name).mkdir()
    for number in range(20):
        Image.fromarray(chance.integers(0, 256, (8, 8, 3), dtype="uint8")).save(
            folder / f"photos/{number}.png"
        )
    np.save(folder / "faces.npy", chance.random((300, 8, 8)).astype("float32"))
    rows = chance.normal(size=(300, 4))
    np.savetxt(folder / "measurements.csv", rows, delimiter=",", header="a,b,c,d", comments="")
    scipy.io.savemat(folder / "frey_rawface.mat", {"ff": np.zeros((560, 1965), dtype="uint8")})
    for part in ("train", "valid", "test"):
        np.savetxt(folder / f"binarized_mnist_{part}.amat", np.zeros((2, 784), dtype="uint8"), fmt="%d")
    (checkpoint,) = folder.glob("outputs/runs/*/checkpoints/last.ckpt")
    shutil.copy(checkpoint, folder / "some")


def in_folder(folder: Path) -> Runner:
    """Runs commands as a user does, in a folder."""
    environment = usual_environment(folder / "home") | {"VAE_LAB_DATA": os.environ.get("VAE_LAB_DATA", "")}
    without_limit = {"cut_after": math.inf, "limit": math.inf, "patience": math.inf}

    def run(words: list[str], program: str | None) -> str:
        if program is None:
            ended = forked.run(words, folder, environment, streams=folder, **without_limit)
            status, out, err = ended.status, ended.stdout, ended.stderr
        else:
            command = [sys.executable, "-c", program]
            process = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
            status, out, err = process.returncode, process.stdout, process.stderr
        return f"{out}\nENDED WITH {status}: {err[-1000:]}" if status else out

    return run


def _children() -> float:
    """Seconds of processor time of what has been run."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Runs the pages, the marked blocks too with --all, and prints what differs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("pages", nargs="*", type=Path)
    parser.add_argument("--all", action="store_true", help="also what is marked with its cost")
    parser.add_argument("--update", action="store_true", help="write what was printed into the pages")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        shown = Pages(in_folder(Path(name)))
        chosen = [path.resolve() for path in arguments.pages] or pages()
        shown.train()
        put_files(Path(name))
        for page in chosen:
            for step in steps(page):
                if step.cost and (not arguments.all or step.cost.startswith("needs")):
                    continue
                before = _children()
                printed = shown.printed(step)
                missing = shown.differences(step, printed)
                failed = [line for line in printed if line.startswith("ENDED WITH")]
                spent, first = _children() - before, step.text.splitlines()[0][:90]
                print(f"{page.name}:{step.block.line}: {first} ({spent:.0f} s)", flush=True)
                for line in [*missing, *failed]:
                    print(f"    {line}", flush=True)
                if missing and arguments.update:
                    update(page, updated(step, printed))
                if missing:
                    print("    printed:\n" + "\n".join(f"      {line}" for line in printed), flush=True)


if __name__ == "__main__":
    main()
