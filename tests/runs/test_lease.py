import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vae_lab.errors import Busy, UserError
from vae_lab.runs import heartbeat, lease, lease_file

HOLD = """
import sys, time
from pathlib import Path
from vae_lab.errors import Busy
from vae_lab.runs import heartbeat, lease, lease_file
lease.EXPIRY_SECONDS, heartbeat.SILENCE_SECONDS, heartbeat.BEAT_SECONDS = 4.0, 2.0, 0.2
if sys.argv[3]:
    lease_file.machine = lambda: sys.argv[3]
try:
    with lease.hold(Path(sys.argv[1]), lambda: {"samples": 7}):
        print("held", flush=True)
        time.sleep(float(sys.argv[2]))
except Busy as error:
    print(error, flush=True)
"""


def holding(directory, seconds=60.0, machine=""):
    command = [sys.executable, "-c", HOLD, str(directory), str(seconds), machine]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def edit(path, **changes):
    path.write_text((json.dumps(json.loads(path.read_text()) | changes) + "\n").ljust(1024))


def leases(directory):
    return sorted(path.name for path in directory.glob(".*"))


@pytest.fixture
def soon(monkeypatch):
    """A lease that expires within a second."""
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 0.4)
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)


class Clock:
    """The time of a simulation."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(time, "clock_gettime", lambda _: self.now)
        monkeypatch.setattr(time, "sleep", self.sleep)

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_a_lease_is_held_by_one_and_leaves_nothing(tmp_path):
    with lease.hold(tmp_path):
        with pytest.raises(Busy, match=rf"is being run by process {os.getpid()} on .*; wait for it"):
            lease._take(tmp_path)
        assert lease.holder(tmp_path).pid == os.getpid()
        assert leases(tmp_path) == [".lease-1"]
    assert lease.holder(tmp_path) is None
    assert leases(tmp_path) == []


def test_a_killed_holder_loses_it_at_once_also_as_a_zombie(tmp_path):
    process = holding(tmp_path)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(Busy), lease.hold(tmp_path):
        pass
    process.kill()
    while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    with lease.hold(tmp_path):  # before anybody has reaped it
        assert leases(tmp_path) == [".lease-2"]
    process.communicate()


def test_a_process_number_used_again_is_not_its_former_holder(tmp_path):
    edit(lease._take(tmp_path).path, started=1)
    assert lease.holder(tmp_path) is None
    with lease.hold(tmp_path):
        pass


def test_a_lease_that_could_not_be_removed_does_not_keep_its_own_process_away(tmp_path, monkeypatch):
    with monkeypatch.context() as patched, lease.hold(tmp_path):
        patched.setattr(os, "unlink", failing(os.unlink, errno.EIO))
    assert leases(tmp_path) == [".lease-1"]
    with lease.hold(tmp_path):
        assert leases(tmp_path) == [".lease-2"]


@pytest.mark.parametrize("age", [0, 10_000, -1e9])
def test_a_holder_on_another_machine_is_dead_when_it_has_not_changed(tmp_path, soon, age):
    path = lease._take(tmp_path).path
    edit(path, machine="elsewhere", host="n2", pid=1)
    then = time.time() - age
    os.utime(path, (then, then))
    began = time.monotonic()
    with lease.hold(tmp_path):
        assert 0.4 < time.monotonic() - began < 4
        assert leases(tmp_path) == [".lease-2"]


@pytest.mark.parametrize("step", [1, 1e9, -1e9])
def test_a_holder_on_another_machine_that_writes_is_alive_whatever_the_time_of_its_file(tmp_path, step):
    process = holding(tmp_path, machine="elsewhere")
    assert process.stdout.readline() == "held\n"
    then = time.time() + step
    os.utime(tmp_path / ".lease-1", (then, then))
    with pytest.raises(Busy, match=f"process {process.pid} on"), lease.hold(tmp_path):
        pass
    process.kill()
    process.communicate()


@pytest.mark.parametrize("content", ["half a l", "", "[]", '{"pid": 1}', "[" * 10_000, "\0" * 1024])
def test_what_cannot_be_understood_is_dead_when_it_has_not_changed(tmp_path, soon, content):
    (tmp_path / ".lease-1").write_text(content)
    assert lease.holder(tmp_path) is None
    with lease.hold(tmp_path):
        assert leases(tmp_path) == [".lease-2"]


@pytest.mark.parametrize(
    "name",
    [
        ".lease-1 (conflicted copy)",
        ".lease-1~",
        ".lease-",
        ".lease-0",
        ".lease--1",
        ".lease-١",
        ".lease-1.swp",
    ],
)
def test_files_that_are_no_leases_are_left_alone(tmp_path, name):
    (tmp_path / name).write_text("a copy")
    assert lease.holder(tmp_path) is None
    with lease.hold(tmp_path):
        assert lease.holder(tmp_path).pid == os.getpid()
        assert leases(tmp_path) == sorted([".lease-1", name])
    assert (tmp_path / name).read_text() == "a copy"


def test_what_is_no_progress_is_no_holder():
    whole = lease_file.own("0", 1, {"samples": 1, "total": 2.5, "value": None, "metric": "a"})
    assert lease_file.parse(whole.content()) == whole
    for wrong in ({"samples": "1"}, {"total": [1]}, {"value": {}}, [], None):
        assert lease_file.parse(whole._replace(progress=wrong).content()) is None


def test_to_look_needs_not_to_write(tmp_path, monkeypatch):
    edit(lease._take(tmp_path).path, machine="elsewhere", host="n2", pid=1)
    for name in ("link", "unlink", "utime", "pwrite", "write"):
        monkeypatch.setattr(os, name, failing(getattr(os, name), errno.EROFS))
    opened = os.open
    monkeypatch.setattr(
        os, "open", lambda path, flags, *a: opened(path, flags | 0, *a) if not flags & 3 else 1 / 0
    )
    assert lease.holder(tmp_path).host == "n2"


def test_what_cannot_be_read_is_said(tmp_path, clock, monkeypatch):
    (tmp_path / ".lease-1").write_text("")
    monkeypatch.setattr(os, "open", failing(os.open, errno.EACCES))
    with pytest.raises(UserError, match=r"\.lease-1 cannot be read .*; remove the lease if nobody"):
        lease._take(tmp_path)


def test_a_folder_by_the_name_of_a_lease_is_said_at_once(tmp_path):
    (tmp_path / ".lease-1").mkdir()
    with pytest.raises(UserError, match="remove the lease if nobody"), lease.hold(tmp_path):
        pass


def test_many_who_want_what_the_dead_has_left_and_one_gets_it(tmp_path):
    dead = holding(tmp_path)
    assert dead.stdout.readline() == "held\n"
    dead.kill()
    dead.communicate()
    processes = [holding(tmp_path, seconds=4) for _ in range(8)]
    said = [process.communicate()[0] for process in processes]
    assert sum(text.startswith("held") for text in said) == 1, said
    assert sum("is being run by" in text for text in said) == 7, said


def test_the_progress_is_there_to_see(tmp_path):
    process = holding(tmp_path)
    assert process.stdout.readline() == "held\n"
    deadline = time.monotonic() + 10
    while not lease.holder(tmp_path).progress and time.monotonic() < deadline:
        time.sleep(0.1)
    assert lease.holder(tmp_path).progress == {"samples": 7}
    process.kill()
    process.communicate()


def test_progress_that_cannot_be_written_ends_nothing(tmp_path):
    for progress in (lambda: {"metric": "m" * 5000}, lambda: {"value": object()}, lambda: 1 / 0):
        one = lease._take(tmp_path, progress)
        assert one.beat() == "written"
        assert lease_file.read_lease(one.path).holder.progress == {}
        lease._leave(one)


def test_a_holder_that_was_taken_for_dead_ends_itself(tmp_path, soon):
    process = holding(tmp_path, machine="elsewhere")
    assert process.stdout.readline() == "held\n"
    process.send_signal(signal.SIGSTOP)
    with lease.hold(tmp_path):
        process.send_signal(signal.SIGCONT)
        assert process.wait(10) == lease.LOST
        assert "another process has taken over" in process.stderr.read()
        assert lease.holder(tmp_path).pid == os.getpid()
    process.communicate()


def test_a_holder_whose_lease_is_another_s_does_not_finish(tmp_path, monkeypatch):
    ended = []
    monkeypatch.setattr(heartbeat, "_end", lambda message: ended.append(message) or 1 / 0)
    one = lease._take(tmp_path)
    lease.verify(tmp_path)
    edit(one.path, token="another")
    with pytest.raises(ZeroDivisionError):
        lease.verify(tmp_path)
    assert ended == [f"another process has taken over {tmp_path}"]


def failing(function, number, after=False):
    """The function, which fails; perhaps when it has done what it should, as over a network."""

    def fails(*args, **kwargs):
        if after:
            function(*args, **kwargs)
        raise OSError(number, os.strerror(number), str(args[0]))

    return fails


@pytest.mark.parametrize("name", ["open", "read", "pwrite", "close", "listdir"])
@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO])
def test_a_passing_error_loses_nothing_and_a_lasting_one_ends_the_holder(
    tmp_path, monkeypatch, clock, name, number
):
    one = lease._take(tmp_path)
    monkeypatch.setattr(os, "utime", failing(os.utime, number))

    def seconds_until_the_end(limit, **errors):
        with monkeypatch.context() as patched:
            for function, fails in errors.items():
                patched.setattr(os, function, fails)
            for second in range(limit):
                clock.now += 1
                one.beat()
                if one.tick() or one._lost:
                    return second + 1
        return None

    fails = failing(getattr(os, name), number, after=name == "close")
    for _ in range(3):  # each error is followed by a beat
        assert seconds_until_the_end(25, **{name: fails}) is None
        assert seconds_until_the_end(2) is None
    assert lease.holder(tmp_path).token == one.token
    ended = seconds_until_the_end(100, **{name: fails})
    assert ended == heartbeat.SILENCE_SECONDS < lease.EXPIRY_SECONDS - 20


def test_a_full_disk_is_no_silence(tmp_path, monkeypatch, clock):
    one = lease._take(tmp_path)
    monkeypatch.setattr(os, "pwrite", failing(os.pwrite, errno.ENOSPC))
    assert one.beat() == "written"


def test_a_holder_that_slept_goes_on_if_nobody_came(tmp_path, clock):
    one = lease._take(tmp_path)
    clock.now += 10_000
    assert not one.tick()
    assert one.beat() == "written"
    clock.now += 1
    assert not one.tick()


def test_a_holder_that_wakes_without_its_server_ends_within_its_grace(tmp_path, clock):
    one = lease._take(tmp_path)
    clock.now += 10_000
    assert not one.tick()
    clock.now += heartbeat.GRACE_SECONDS
    assert one.tick()


def test_a_watch_that_is_always_late_ends_the_holder_all_the_same(tmp_path, clock):
    one = lease._take(tmp_path)
    ends = []
    for _ in range(4):
        clock.now += 20
        ends.append(one.tick())
    assert ends == [False, True, True, True]


def test_one_who_has_looked_too_long_ago_takes_nothing(tmp_path):
    (tmp_path / ".lease-1").write_text("of the dead")
    seen = lease_file.leases(tmp_path)
    (tmp_path / ".lease-1").unlink()
    other = lease._take(tmp_path)  # a living one of the same number
    with pytest.raises(Busy):
        lease._succeed(tmp_path, seen, dict)
    assert leases(tmp_path) == [".lease-1"]
    assert other.beat() == "written"


class Machine:
    """One of several that want a run, by turns killed, cut off from the file system and restarted."""

    def __init__(self, name, draw):
        self.name = name
        self.draw = draw
        self.clock = draw.uniform(0, 1e6)  # no two agree
        self.cut_off = 0.0
        self.begin_again(0.0)

    def step(self, directory):
        """Half a second."""
        self.clock += 0.5
        self.cut_off -= 0.5
        self.rest -= 0.5
        if self.heartbeat is None:
            return self.rest <= 0 and self.contend(directory)
        if self.clock % 1 < 0.5 and self.heartbeat.beat() == "written":
            jumped = self.draw.uniform(0, 2e9)
            os.utime(self.heartbeat.path, (jumped, jumped))  # by a server whose clock is set
        died = self.draw.random() < 0.002
        if died or self.heartbeat._lost or self.heartbeat.tick():
            lease._held.pop(self.heartbeat.token)
            self.begin_again(self.draw.uniform(0, 60))
        elif self.draw.random() < 0.002:
            lease._leave(self.heartbeat)
            self.begin_again(0)
        return False

    def contend(self, directory):
        try:
            if self.seen is None or self.draw.random() < 0.3:  # much may happen before it is taken
                self.seen = lease._dead(directory, self.watch)
            else:
                self.heartbeat = lease._succeed(directory, self.seen, dict)
                return True
        except Busy:
            self.begin_again(self.draw.uniform(0, 10))
        except OSError:
            self.begin_again(self.draw.uniform(0, 3))
        return False

    def begin_again(self, rest):
        self.heartbeat, self.seen, self.watch, self.rest = None, None, lease.Watch(), rest

    def disturbed(self, function):
        """A function of the file system, which fails while this machine is cut off."""

        def call(*args, **kwargs):
            if self.cut_off <= 0 or self.draw.random() < 0.2:
                return function(*args, **kwargs)
            return failing(function, errno.EIO, after=self.draw.random() < 0.2)(*args, **kwargs)

        return call


def test_at_no_time_two_hold_a_run_whatever_fails(tmp_path, monkeypatch):
    draw = random.Random(0)
    machines = [Machine(f"n{number}", draw) for number in range(3)]
    taken, idle, longest = 0, 0.0, 0.0
    functions = {
        name: getattr(os, name) for name in ("open", "read", "pwrite", "close", "listdir", "link", "unlink")
    }
    for _ in range(20_000):
        for machine in draw.sample(machines, 3):
            if draw.random() < 0.002:
                machine.cut_off = draw.choice([2, 10, 25, 200])
            with monkeypatch.context() as patched:
                patched.setattr(lease_file, "machine", lambda name=machine.name: name)
                patched.setattr(time, "clock_gettime", lambda _, one=machine: one.clock)
                for name, function in functions.items():
                    patched.setattr(os, name, machine.disturbed(function))
                taken += bool(machine.step(tmp_path))
            assert sum(one.heartbeat is not None for one in machines) <= 1
        working = any(one.heartbeat is not None for one in machines)
        idle = 0.0 if working or any(one.cut_off > 0 for one in machines) else idle + 0.5
        longest = max(longest, idle)
    assert taken > 50
    assert longest < 2 * lease.EXPIRY_SECONDS
    lease._held.clear()
