import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vae_lab.errors import Busy
from vae_lab.orchestration import lease

HOLD = """
import sys, time
from pathlib import Path
from vae_lab.errors import Busy
from vae_lab.orchestration import lease
try:
    with lease.hold(Path(sys.argv[1]), lambda: {"samples": 7}):
        print("held", flush=True)
        time.sleep(float(sys.argv[2]))
except Busy as error:
    print(error, flush=True)
"""


def holding(directory, seconds=60.0):
    command = [sys.executable, "-c", HOLD, str(directory), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def edit(path, **changes):
    path.write_text((json.dumps(json.loads(path.read_text()) | changes) + "\n").ljust(1024))


def leases(directory):
    return sorted(path.name for path in directory.glob(".*"))


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
    with lease.hold(tmp_path):
        pass
    path = lease._take(tmp_path)
    edit(path, started=1)
    assert lease.holder(tmp_path) is None


def test_a_holder_on_another_machine_is_judged_by_its_beat(tmp_path):
    path = lease._take(tmp_path)
    edit(path, machine="elsewhere", host="n2", pid=1)
    with pytest.raises(Busy, match="process 1 on n2"), lease.hold(tmp_path):
        pass
    old = time.time() - lease.EXPIRY_SECONDS - 1
    os.utime(path, (old, old))
    with lease.hold(tmp_path):
        assert leases(tmp_path) == [".lease-2"]


def test_what_cannot_be_read_is_alive_until_it_is_old(tmp_path):
    path = tmp_path / ".lease-1"
    path.write_text("half a l")
    with pytest.raises(Busy, match="another process"), lease.hold(tmp_path):
        pass
    os.utime(path, (0, 0))
    with lease.hold(tmp_path):
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


def test_a_holder_that_was_taken_for_dead_ends_itself(tmp_path):
    process = holding(tmp_path)
    assert process.stdout.readline() == "held\n"
    process.send_signal(signal.SIGSTOP)
    edit(tmp_path / ".lease-1", machine="elsewhere")
    os.utime(tmp_path / ".lease-1", (0, 0))
    with lease.hold(tmp_path):
        process.send_signal(signal.SIGCONT)
        assert process.wait(10) == lease.LOST
        assert "another process has taken over" in process.stderr.read()
        assert lease.holder(tmp_path).pid == os.getpid()
    process.communicate()
