"""Runs command lines in children of a process that has imported what they need, one line after another.

The same module with the same words, folder, environment and streams as `python -m vae_lab.cli` has; only the
imports, most of the time of a small run, are done once. Reads requests from standard input, answers on
standard output.
"""

import json
import os
import runpy
import signal
import sys
import traceback

import vae_lab.orchestration.warm_imports  # noqa: F401


def main():
    """Serves requests; in a child, runs one of them and gives its exit status."""
    answers = os.fdopen(os.dup(1), "w")
    while line := sys.stdin.readline():
        request = json.loads(line)
        if (child := os.fork()) == 0:
            answers.close()
            return run(request)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)
    return 0


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
    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
            return 1
        return ended.code
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
