"""Kills sweeps of every kind of run at random moments, until they are done, and compares what they leave.

A round starts a sweep again and again. Each time SIGKILL, SIGTERM or SIGINT goes, at random moments, to the
sweep, its server or one of its jobs; at last the sweep is left alone. Then all must be as after a sweep
that nobody disturbed: the files, the numbers and the weights bit for bit. In between, no result may vanish or
be made twice, and no process may be left.

    python benchmarks/kill.py [--kills 1000] [--seed 0] [--jobs 2] [--log kill-0.jsonl] [--only NAME ...]

Next comes always the kind of run with the fewest kills. Each round is added to the log as it ends, and an
interrupted run goes on from it. The checkout must not change meanwhile: results tell its state, and each
command reads the code afresh.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from forked import family, open_before, orphans, shut_in, side_by_side, start, usual_environment
from results_of import difference, done

from vae_lab.files.markdown import markdown_table

SIGNALS = {signal.SIGKILL: 3, signal.SIGTERM: 1, signal.SIGINT: 1}
KILLS_OF_A_ROUND = 10
BY_ITSELF = 0.05  # of the starts have an interpreter of their own, whose imports can be hit too
PATIENCE = 300.0  # seconds by the clock for a sweep that nobody disturbs
EMPTY = 5  # rounds without a kill, one after another, after which a kind of run is given up

TINY = ["logger=none", "evaluation.importance_samples=2", "trainer.checkpoint_seconds=0.02"]
SHORT = [*TINY, "trainer.max_samples=1500", "trainer.evaluate_at=500"]
TRAINED = ["train", "-m", *SHORT, "seed=0,1", "sweep.name=mine"]


class Sweep(NamedTuple):
    """A kind of run that is disturbed.

    Args:
        words: The command, after `vae-lab`.
        before: The commands that make what it needs.
        at_a_time: How many invocations run side by side.
    """

    words: list[str]
    before: list[list[str]] = []
    at_a_time: int = 1


SWEEPS = {
    "selection": Sweep(
        ["train", "-m", *SHORT, "trainer.select=last,best", "trainer.checkpoint_at=[500,1000]"]
    ),
    "estimators": Sweep(["train", "-m", *SHORT, "estimator=nvil,lax,rloo"]),
    "wake-sleep": Sweep(["train", "-m", *SHORT, "estimator=wake_sleep", "seed=0,1"]),
    "schedules": Sweep(
        ["train", "-m", *SHORT, "trainer.alternate=true", "optimizer=adam,adagrad",
         "optimizer/schedule=cosine", "optimizer.schedule.T_max=20"]
    ),
    "curves": Sweep(
        ["train", "-m", *SHORT, "evaluation.test_curve=true", "evaluation.train_curve=100",
         "noise=antithetic,sobol", "estimator.num_samples=2"]
    ),
    "missing data": Sweep(
        ["train", "-m", *SHORT, "estimator=miwae", "dataset.missing=0.3", "dataset.binarize=none,fixed"]
    ),
    "probed": Sweep(["train", "-m", *SHORT, "callbacks=estimator_probe", "seed=0,1"]),
    "Monte Carlo EM": Sweep(
        ["train", "-m", "logger=none", "trainer.max_samples=1500", "trainer.evaluate_at=end",
         "estimator=monte_carlo_em",
         "model.latent_dim=2", "model/encoder=none", "evaluation=marginal_likelihood",
         "evaluation.marginal_likelihood.num_data=10", "seed=0,1"]
    ),
    "fitted": Sweep(
        ["train", "-m", "logger=none", "model=ppca,independent_pixels,gaussian_mixture,bernoulli_mixture"]
    ),
    "finite mixture": Sweep(["train", "-m", "logger=none", "model=finite_mixture", "seed=0,1,2"]),
    "autoregressive": Sweep(
        ["train", "-m", *SHORT[:1], *SHORT[2:], "model=autoregressive", "estimator=maximum_likelihood",
         "evaluation=exact", "seed=0,1"]
    ),
    "longer": Sweep(
        [*TRAINED[:-1], "sweep.name=longer", "trainer.max_samples=2500"], [TRAINED]
    ),
    "shorter and longer": Sweep(["train", "-m", *SHORT, "trainer.max_samples=1000,2000,3000"]),
    "again": Sweep([*TRAINED, "rerun=true"], [TRAINED]),
    "side by side": Sweep(TRAINED, at_a_time=2),
    "named": Sweep(["sweep", "smoke", *TINY, "trainer.max_epochs=1", "optimizer.lr=0.001"]),
    "single": Sweep(["train", *SHORT, "trainer.select=best"]),
    "evaluate": Sweep(
        ["evaluate", "runs=mine", "logger=none", "measures=annealed", "measures.importance_samples=[1,5]",
         "measures.gap=5", "measures.fit.num_steps=5", "measures.annealed_data=5",
         "measures.annealed.num_temperatures=10", "measures.annealed.num_chains=2"], [TRAINED]
    ),
    "generate": Sweep(["generate", "runs=mine", "logger=none", "number=4"], [TRAINED]),
    "explore": Sweep(["explore", "runs=mine", "logger=none", "max_data=100"], [TRAINED]),
    "embed": Sweep(["embed", "runs=mine", "logger=none", "max_train=100", "repeats=1"], [TRAINED]),
    "impute": Sweep(
        ["impute", "runs=mine", "logger=none", "missing=0.5", "max_data=20", "max_train=50", "steps=5",
         "importance_samples=5"], [TRAINED]
    ),
    "outliers": Sweep(
        ["outliers", "runs=mine", "logger=none", "against=digits", "max_data=20", "importance_samples=2"],
        [TRAINED]
    ),
    "gradients": Sweep(
        ["gradients", "-m", *TINY, "estimators=pathwise", "probe.num_replicates=4", "at=[0,500]", "seed=0,1"]
    ),
}  # fmt: skip


class Laboratory:
    """A folder in which one sweep after another is disturbed.

    Args:
        top: In which it lies, with what is kept beside it.
        seed: Of what is drawn at random.
    """

    def __init__(self, top: Path, seed: int) -> None:
        self.here = top / "here"
        self.kept = top / "kept"
        self.streams = top
        self.seed = seed
        self.environment = usual_environment(top / "home")
        self.seconds: dict[str, float] = {}

    def prepare(self, name: str) -> None:
        """Makes what a sweep needs, and what it leaves undisturbed."""
        sweep = SWEEPS[name]
        shutil.rmtree(self.here, ignore_errors=True)
        if self._before(name).exists():
            shutil.copytree(self._before(name), self.here, symlinks=True)
        else:
            self.here.mkdir()
            for words in sweep.before:
                self._undisturbed(words)
            shutil.copytree(self.here, self._before(name), symlinks=True)
        since = time.monotonic()
        self._undisturbed(sweep.words)
        self.seconds[name] = time.monotonic() - since
        shutil.copytree(self.here, self.kept / name, symlinks=True)

    def round(self, name: str, number: int) -> dict[str, Any]:
        """Disturbs a sweep, and records the outcome."""
        if name not in self.seconds:
            self.prepare(name)
        since = processor_seconds()
        chance = random.Random(f"{self.seed} {number}")
        shutil.rmtree(self.here)
        shutil.copytree(self._before(name), self.here, symlinks=True)
        told = Counter({"lost": 0, "twice": 0})
        left: list[str] = []
        killed: Counter[str] = Counter()
        statuses: list[int] = []
        while killed.total() < KILLS_OF_A_ROUND:
            statuses.append(self._disturbed(name, chance, killed, told))
            left += orphans(10.0)
            told["starts"] += 1
            if statuses[-1] == 0 and not SWEEPS[name].words[-1].startswith("rerun"):
                break  # all done between two kills
        before = done(self.here)
        status, said = self._start_and_wait(SWEEPS[name].words)
        self._compare(before, told, again=name == "again")
        wrong = [f"the last invocation ended with {status}: {said[-400:]}"] if status else []
        wrong += self._apart(lambda: difference(self.kept / name, self.here))
        return {
            "number": number, "name": name, "kills": dict(killed), **told, "orphans": left,
            "different": wrong, "processor": processor_seconds() - since,
        }  # fmt: skip

    def _disturbed(self, name: str, chance: random.Random, killed: Counter[str], told: Counter[str]) -> int:
        """Starts a sweep and kills of it until it ends; gives its status."""
        sweep, before = SWEEPS[name], done(self.here)
        words, extra = list(sweep.words), 0.0
        if name == "again" and chance.random() < 0.3:
            words.remove("rerun=true")
        if chance.random() < BY_ITSELF:
            command = [sys.executable, "-m", "vae_lab", *words]
            process = subprocess.Popen(
                command, cwd=self.here, env=self.environment, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
            pids, extra = [process.pid], 6.0
        else:
            pids = [start(words, self.here, self.environment, self.streams) for _ in range(sweep.at_a_time)]
        statuses: dict[int, int] = {}
        while len(statuses) < len(pids):
            until = time.monotonic() + chance.uniform(
                0.0, extra + chance.choice((0.5, 1.0)) * self.seconds[name]
            )
            while time.monotonic() < until and len(statuses) < len(pids):
                time.sleep(0.01)
                _collect(pids, statuses)
            running = [pid for pid in pids if pid not in statuses]
            if not running or killed.total() >= KILLS_OF_A_ROUND:
                continue
            victims = family(chance.choice(running))
            victim = victims[0] if chance.random() < 0.5 else chance.choice(victims)
            (kind,) = chance.choices(list(SIGNALS), list(SIGNALS.values()))
            try:
                os.kill(victim, kind)
            except ProcessLookupError:
                continue
            killed[kind.name] += 1
            time.sleep(0.02)
            before = self._compare(before, told, again=name == "again")
        self._compare(before, told, again=name == "again")
        return max(map(abs, statuses.values()))

    def _compare(self, before: dict[str, Any], told: Counter[str], again: bool) -> dict[str, Any]:
        """Counts results that have vanished, or that were there and have been made once more."""
        after = done(self.here)
        told["lost"] += len(before.keys() - after.keys())
        if not again:
            told["twice"] += sum(after.get(name, mark) != mark for name, mark in before.items())
        return after

    def _undisturbed(self, words: list[str]) -> None:
        status, said = self._start_and_wait(words)
        if status:
            raise RuntimeError(f"vae-lab {' '.join(words)}: {said}")

    def _start_and_wait(self, words: list[str]) -> tuple[int, str]:
        pid = start(words, self.here, self.environment, self.streams)
        statuses: dict[int, int] = {}
        until = time.monotonic() + PATIENCE
        while pid not in statuses:
            time.sleep(0.01)
            _collect([pid], statuses)
            if time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
        left = orphans(10.0)
        return statuses[pid], (self.streams / "stderr").read_text() + " ".join(left)

    def _before(self, name: str) -> Path:
        """Runs that a sweep needs, kept; several sweeps may need the same."""
        first = next(other for other, sweep in SWEEPS.items() if sweep.before == SWEEPS[name].before)
        return self.kept / f"before {first}"

    def _apart(self, what: Any) -> list[str]:
        """Calls a function in a child, which may import libraries that start threads."""
        reading, writing = os.pipe()
        if os.fork() == 0:
            try:
                answer = what()
            except BaseException as error:
                answer = [f"{type(error).__name__}: {error}"]
            with os.fdopen(writing, "w") as file:
                json.dump(answer, file)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as file:
            answer = json.load(file)
        os.wait()
        return answer


def _collect(pids: list[int], statuses: dict[int, int]) -> None:
    for pid in pids:
        if pid not in statuses:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                statuses[pid] = os.waitstatus_to_exitcode(status)


def processor_seconds() -> float:
    """Processor time of this process and of all its descendants that have ended."""
    return sum(os.times()[:4])


def serve(seed: int, kills: int, numbers: Iterator[int], earlier: Counter[str], top: Path, log: int) -> None:
    """Disturbs sweeps one after another, in a process of its own, until it has killed so often.

    Args:
        seed: Of what is drawn at random.
        kills: How many there shall be.
        numbers: Of the rounds.
        earlier: How many kills each kind of run has had.
        top: A folder to work in.
        log: The file that each round is written to.
    """
    top.mkdir()
    (top / "home").mkdir()
    laboratory, wanted = Laboratory(top, seed), kills
    empty: Counter[str] = Counter()
    for number in numbers:
        if kills <= 0 or not earlier:
            break
        name = min(earlier, key=earlier.__getitem__)
        try:
            told = laboratory.round(name, number)
        except (RuntimeError, OSError, shutil.Error) as error:
            told = {"number": number, "name": name, "untried": str(error)}
        killed = sum(told.get("kills", {}).values())
        kills, earlier[name] = kills - killed, earlier[name] + killed
        empty[name] = 0 if killed else empty[name] + 1
        if "untried" in told or empty[name] == EMPTY:
            del earlier[name]
        os.write(log, (json.dumps(told) + "\n").encode())
        print(
            f"{time.strftime('%H:%M:%S')} {wanted - kills} of {wanted}, {number}: {summary(told)}", flush=True
        )


def summary(told: dict[str, Any]) -> str:
    """One round in a line, and what was wrong in further ones."""
    if "untried" in told:
        return f"{told['name']} cannot be made ready: {told['untried']}"
    kills = ", ".join(f"{count} {name}" for name, count in told["kills"].items()) or "no kill"
    line = f"{told['name']}: {kills} in {told['starts']} invocations"
    wrong = [f"{told[key]} {key}" for key in ("lost", "twice") if told[key]]
    return "\n    ".join(
        [line, *wrong, *(f"left: {name[:200]}" for name in told["orphans"]), *told["different"]]
    )


def report(log: Path, seed: int) -> None:
    """Prints the counts by kind of run."""
    rounds = [json.loads(line) for line in log.read_text().splitlines()]
    by_name: dict[str, Counter[str]] = defaultdict(Counter)
    for told in rounds:
        counts = {"untried": 1} if "untried" in told else {
            "rounds": 1, "kills": sum(told["kills"].values()), "invocations": told["starts"],
            "lost": told["lost"], "twice": told["twice"], "orphans": len(told["orphans"]),
            "different": bool(told["different"]),
        }  # fmt: skip
        by_name[told["name"]].update(counts)
    columns = ("rounds", "invocations", "kills", "lost", "twice", "orphans", "different", "untried")
    counted = [*sorted(by_name.items()), ("all", sum(by_name.values(), Counter()))]
    rows = [[name, *(str(counts[column]) for column in columns)] for name, counts in counted]
    print(f"\nseed {seed}\n\n{markdown_table(['kind of run', *columns], rows, to_the_right=True)}")
    for told in rounds:
        if any(told.get(key) for key in ("untried", "different", "orphans", "lost", "twice")):
            print(f"{told['number']}: {summary(told)}")


def main() -> None:
    """Adds rounds to the log until it has so many kills, then reports on all of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--log", type=Path, help="kill-<seed>.jsonl")
    parser.add_argument("--only", nargs="+", help="kinds of run", choices=SWEEPS)
    arguments = parser.parse_args()
    log = (arguments.log or Path(f"kill-{arguments.seed}.jsonl")).absolute()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    descriptor = open_before(log)
    scratch = shut_in()
    known = [json.loads(line) for line in log.read_text().splitlines()]
    names = arguments.only or list(SWEEPS)
    had = Counter(dict.fromkeys(names, 0))
    for told in known:
        had[told["name"]] += sum(told.get("kills", {}).values())
    kills = max(arguments.kills - had.total(), 0)
    first = 1 + max((told["number"] for told in known), default=-1)
    since, before = time.monotonic(), processor_seconds()
    tasks = []
    for job in range(arguments.jobs):
        mine = names[job :: arguments.jobs] or names
        numbers = count(first + job, arguments.jobs)
        share = (kills + job) // arguments.jobs
        earlier = Counter({name: had[name] for name in mine})
        tasks.append(partial(serve, arguments.seed, share, numbers, earlier, scratch / str(job), descriptor))
    side_by_side(tasks)
    used, passed = processor_seconds() - before, time.monotonic() - since
    print(f"{kills} kills asked for: {passed:.0f} s by the clock, {used:.0f} s of processor time")
    report(log, arguments.seed)


if __name__ == "__main__":
    main()
