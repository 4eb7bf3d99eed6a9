"""Runs command lines in children of a process that has imported what they need, one line after another.

The same module with the same words, folder, environment and streams as `python -m vae_lab` has; only the
libraries, whose import takes most of the time of a small run, are there already. Reads requests from standard
input, answers on standard output.
"""

import atexit
import json
import os
import runpy
import signal
import sys
import threading
import traceback

import vae_lab.sweep.launchers.forkserver_imports  # noqa: F401

# At words and environment, when they are imported.
LOOKS_AROUND = ("vae_lab.cli", "vae_lab.config.explain")


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
    """Does as `python -m <module> <arguments>` would."""
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


if __name__ == "__main__":
    main()
