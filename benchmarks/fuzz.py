"""Gives the command line inputs from a grammar, and judges what it does with each.

Each runs in a child of its own, in a folder of its own that holds files of a user and a few finished runs.
Whatever the input, there may be no traceback, no file of the user's touched, no process left, and no more
than ten seconds of processor time; what is refused ends in one message and leaves nothing behind. What is
accepted trains for two steps.

    python benchmarks/fuzz.py [--inputs 10000] [--seed 0] [--jobs 2] [--log fuzz-0.jsonl] [--only 17]

The verdicts are added to the log as they come, and an interrupted run goes on from it.
"""

import argparse
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from typing import Any

from forked import Ended, open_before, run, shut_in, side_by_side, usual_environment
from grammar import FAST, Input, draw

from vae_lab.files.markdown import markdown_table

SCRATCH = Path("a", "user", "here")  # so deep that `../..` still leads to files of the user
BEGUN = ("metrics.csv", "failure.json", "checkpoints", "train.log", "output.log")  # of a run that has begun
LIMIT = 10.0


def environment(home: Path, more: dict[str, str]) -> dict[str, str]:
    """The variables of a user, without those that are given as empty."""
    return {name: value for name, value in (usual_environment(home) | more).items() if value}


def template(top: Path) -> str:
    """Makes the folder that every input gets a copy of; gives the signature of the run in it."""
    here = top / SCRATCH
    subprocess.run([sys.executable, str(Path(__file__).with_name("users_files.py")), str(here)], check=True)
    streams, home = top.parent, here / "home"
    known = {
        "folder": here,
        "environment": environment(home, {}),
        "streams": streams,
        "cut_after": 1e9,
        "limit": 1e9,
    }
    for words in (["train", *FAST], ["train", "-m", *FAST, "seed=0,1", "sweep.name=mine"]):
        ended = run(words, **known)
        assert ended.status == 0, ended.stderr
    (signature,) = {path.name for path in (here / "outputs" / "runs").iterdir()} - _of_seed_1(here) - {"mine"}
    (here / "outputs" / "runs" / signature / "my_notes.md").write_text("to keep\n")
    (here / "outputs" / "sweeps" / "mine" / "paper_table.csv").write_text("to keep\n")
    return signature


def _of_seed_1(here: Path) -> set[str]:
    configurations = (here / "outputs" / "runs").glob("*/.hydra/config.yaml")
    return {path.parent.parent.name for path in configurations if "\nseed: 1\n" in path.read_text()}


def tree(top: Path) -> dict[str, str]:
    """The content of a folder: of each path its kind, or a hash of its content."""
    found = {}
    for folder, names, files in os.walk(os.fsencode(top)):
        for name in names + files:
            path = os.path.join(folder, name)
            found[os.fsdecode(os.path.relpath(path, os.fsencode(top)))] = _content(path)
    return found


def _content(path: bytes) -> str:
    if os.path.islink(path):
        return "link to " + os.fsdecode(os.readlink(path))
    if os.path.isdir(path):
        return "a folder"
    if not os.path.isfile(path):
        return "something else"
    try:
        with open(path, "rb") as file:
            return hashlib.md5(file.read()).hexdigest()
    except PermissionError:
        return f"{os.path.getsize(path)} bytes"


def faults(drawn: Input, ended: Ended, before: dict[str, str], after: dict[str, str]) -> list[str]:
    """The faults of an outcome."""
    wrong = []
    new = sorted(path for path in after.keys() - before.keys() if not _is_cache(path))
    touched = sorted(
        path for path, content in before.items() if after.get(path) != content and not _is_cache(path)
    )
    if ended.late:
        wrong.append(f"did not end: {ended.late}")
    elif ended.status < 0:
        wrong.append(f"killed by signal {-ended.status}")
    said = ended.stderr.strip()
    if "Traceback (most recent call last)" in ended.stdout + said:
        wrong.append("traceback: " + (said or ended.stdout.strip()).splitlines()[-1][:200])
    refused = ended.status > 0 and not ended.interrupted
    if refused and not said:
        wrong.append("refused without a word")
    if drawn.must_refuse and ended.status == 0:
        wrong.append("accepted")
    began = any(Path(path).name in BEGUN for path in new + touched) or _is_summary(said)
    if refused and not began and "Traceback" not in said and (extra := _more_than_one_message(said)):
        wrong.append(f"more than one message: {extra}")
    if refused and not began and (new or touched):
        wrong.append(f"refused, but left behind: {', '.join((new + touched)[:5])}")
    if users := [path for path in touched if _is_users(path)]:
        wrong.append(f"touched the user's files: {', '.join(users[:5])}")
    if strange := [path for path in new if Path(path).name == "executed"]:
        wrong.append(f"executed what a file says: {strange[0]}")
    if ended.orphans:
        wrong.append(f"left a process: {ended.orphans[0][:150]}")
    if re.search(r"\w+Warning: ", ended.stderr):
        wrong.append("warning: " + re.findall(r"\w+Warning: .*", ended.stderr)[0][:150])
    return wrong


def _is_summary(said: str) -> bool:
    """Whether runs that have failed are named, as a damaged one is, beside which the others are drawn."""
    return any(re.match(r"vae-lab \w+: .*each alone:", line) for line in said.splitlines())


def _more_than_one_message(said: str) -> str:
    return "" if len(said.splitlines()) == 1 or _is_summary(said) else said[:300]


def _is_cache(path: str) -> bool:
    return str(SCRATCH / "home" / ".cache") in path or str(SCRATCH / "home" / ".config") in path


def _is_users(path: str) -> bool:
    """Whether it is not of the runs and sweeps that were made here."""
    below = Path(path).relative_to(SCRATCH) if Path(path).is_relative_to(SCRATCH) else Path("elsewhere")
    products = (
        below.parts[:2] in (("outputs", "runs"), ("outputs", "sweeps")) and "mine" not in below.parts[2:3]
    )
    if below.parts[:2] == ("outputs", "sweeps"):
        products = below.name != "paper_table.csv"
    return not products or below.name.startswith("my_")


def try_one(seed: int, number: int, master: Path, signature: str, work: Path) -> dict[str, Any]:
    """Runs one input in a copy of the master's folder, and judges it."""
    drawn = draw(seed, number)
    subprocess.run(["chmod", "-R", "u+rwX", str(work / "top")], check=False, stderr=subprocess.DEVNULL)
    shutil.rmtree(work / "top", ignore_errors=True)
    subprocess.run(["cp", "-a", str(master), str(work / "top")], check=True)
    here = work / "top" / SCRATCH
    words = [part.replace("RUN", signature) for part in drawn.words]
    lines = [line.replace("RUN", signature).replace("{python}", sys.executable) for line in drawn.before]
    for line in lines:
        subprocess.run(["sh", "-c", line], cwd=here, check=False, stderr=subprocess.DEVNULL)
    before = tree(work / "top")
    given = environment(here / "home", drawn.environment)
    ended = run(
        words, here, given, streams=work, limit=LIMIT, begun=lambda: any(work.glob("top/**/.lease-*"))
    )
    after = tree(work / "top")
    shell = [*lines, shlex.join([*(f"{k}={v}" for k, v in drawn.environment.items()), "vae-lab", *words])]
    return {
        "number": number,
        "kind": drawn.kind,
        "command": "; ".join(shell),
        "status": ended.status,
        "interrupted": ended.interrupted,
        "processor": round(ended.processor, 2),
        "wall": round(ended.wall, 2),
        "faults": faults(drawn, ended, before, after),
        "stderr": ended.stderr[-3000:],
    }


def serve(seed: int, numbers: list[int], top: Path, log: int, loud: bool) -> None:
    """Tries inputs one after another, in a process of its own."""
    master, work = top / "master", top / "work"
    for folder in (master / SCRATCH, work):
        folder.mkdir(parents=True)
    signature = template(master)
    for number in numbers:
        verdict = try_one(seed, number, master, signature, work)
        os.write(log, (json.dumps(verdict) + "\n").encode())
        for fault in verdict["faults"]:
            print(f"{number}: {verdict['command'][:300]}\n    {fault}", flush=True)
        if loud:
            print(json.dumps(verdict, indent=2), flush=True)


def report(log: Path, seed: int) -> None:
    """Prints the counts by class, and each kind of fault with the commands that show it."""
    verdicts = [json.loads(line) for line in log.read_text().splitlines()]
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    by_fault: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for verdict in verdicts:
        ended = "interrupted" if verdict["interrupted"] else "refused" if verdict["status"] else "accepted"
        by_kind[verdict["kind"]].update([ended, "inputs", *(["faults"] if verdict["faults"] else [])])
        for fault in verdict["faults"]:
            by_fault[re.sub(r"\d+|'[^']*'", "_", fault)[:80]].append(verdict | {"fault": fault})
    columns = ("inputs", "refused", "accepted", "interrupted", "faults")
    counted = [*sorted(by_kind.items()), ("all", sum(by_kind.values(), Counter()))]
    rows = [[kind, *(str(counts[column]) for column in columns)] for kind, counts in counted]
    print(f"\n{markdown_table(['class', *columns], rows, to_the_right=True)}")
    if not verdicts:
        return
    longest = max(verdicts, key=lambda verdict: verdict["processor"])
    print(f"\nseed {seed}; at most {longest['processor']} s of processor time (number {longest['number']})")
    for cases in sorted(by_fault.values(), key=len, reverse=True):
        print(f"\n{len(cases)} times: {cases[0]['fault']}")
        for case in cases[:5]:
            print(f"  {case['number']}: {case['command'][:400]}")


def main() -> None:
    """Tries the inputs that the log lacks, then reports on all of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--log", type=Path, help="fuzz-<seed>.jsonl")
    parser.add_argument("--only", type=int, help="the number of one input, which is shown in full")
    arguments = parser.parse_args()
    log = arguments.log or Path(f"fuzz-{arguments.seed}.jsonl")
    log = Path(os.devnull) if arguments.only is not None else log.absolute()
    descriptor = open_before(log)
    scratch = shut_in()
    done = {json.loads(line)["number"] for line in log.read_text().splitlines()} if log.is_file() else set()
    wanted = [arguments.only] if arguments.only is not None else range(arguments.inputs)
    numbers = [number for number in wanted if number not in done]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    jobs = min(arguments.jobs, len(numbers))
    since = time.monotonic()
    shares = [(numbers[job::jobs], scratch / str(job)) for job in range(jobs)]
    loud = arguments.only is not None
    side_by_side([partial(serve, arguments.seed, *share, descriptor, loud) for share in shares])
    print(f"{len(numbers)} inputs in {time.monotonic() - since:.0f} s with {jobs} at a time")
    if arguments.only is None:
        report(log, arguments.seed)


if __name__ == "__main__":
    main()
