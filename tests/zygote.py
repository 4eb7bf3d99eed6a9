"""Runs command lines in children of a process that has imported what they need, one line after another.

The same module with the same words, folder, environment and streams as `python -m vae_lab.cli` has; only the
libraries, whose import takes most of the time of a small run, are there already. Reads requests from standard
input, answers on standard output.
"""

import atexit
import fcntl
import json
import os
import runpy
import signal
import socket
import sys
import threading
import traceback
from multiprocessing import util

import vae_lab.orchestration.warm_imports  # noqa: F401

# At words and environment, when they are imported.
LOOKS_AROUND = ("vae_lab.cli", "vae_lab.commands", "vae_lab.explain")
HIGH = 1000  # above every descriptor that is open


def main():
    """Serves requests until there are no more."""
    answers = os.dup(1)
    while line := sys.stdin.readline():
        if (child := os.fork()) == 0:
            os.close(answers)
            status = run(json.loads(line))
            threading._shutdown()  # as the interpreter does when it ends, without its clearing every module
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        _, status = os.waitpid(child, 0)
        os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())


def run(request):
    """What `python -m <module> <arguments>` would do."""
    signal.alarm(request["timeout"])
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    for stream, path in enumerate((os.devnull, request["stdout"], request["stderr"])):
        opened = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, stream)
        os.close(opened)
    sys.argv = [request["module"], *request["arguments"]]
    sys.path[0] = request["cwd"]
    for name in [name for name in sys.modules if name.startswith(LOOKS_AROUND)]:
        del sys.modules[name]
    util.spawnv_passfds = with_a_server_in_waiting(util.spawnv_passfds)
    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
            return 1
        return ended.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def with_a_server_in_waiting(spawn):
    """Forks what becomes the server of a sweep's jobs, should there be one, while there is one thread.

    Gives what `multiprocessing` starts processes by; the server's imports are done already.
    """
    ours, theirs = socket.socketpair()
    if (waiting := os.fork()) == 0:
        ours.close()
        serve(theirs)
    theirs.close()

    def start(path, words, descriptors):
        if "forkserver" not in words[-1] or ours.fileno() < 0:
            return spawn(path, words, descriptors)
        told = {"code": words[-1], "environment": dict(os.environ), "descriptors": list(descriptors)}
        socket.send_fds(ours, [json.dumps(told).encode()], descriptors)
        ours.close()
        return waiting

    return start


def serve(requests):
    """Becomes the server with the descriptors that it is sent; ends if there are none to come."""
    try:
        text, received, *_ = socket.recv_fds(requests, 1 << 20, 16)
        if text:
            told = json.loads(text)
            os.environ.clear()
            os.environ.update(told["environment"])
            above = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, HIGH) for descriptor in received]
            os.closerange(3, HIGH)
            for descriptor, number in zip(above, told["descriptors"], strict=True):
                os.dup2(descriptor, number)
                os.close(descriptor)
            exec(told["code"], {"__name__": "__main__"})
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
