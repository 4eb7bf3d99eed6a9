"""The command line: `vae-lab <command> [Hydra overrides]`."""

import os
import re
import sys
from importlib.metadata import version
from typing import NoReturn

from vae_lab.cli import surroundings
from vae_lab.cli.commands import main_of
from vae_lab.config.commands import COMMANDS
from vae_lab.errors import UserError, did_you_mean, on_one_line, shortened
from vae_lab.sweep.launchers.with_parent import die_with_parent

FLAGS = ("-m", "--multirun", "-h", "--help", "--hydra-help", "--resolve")  # that take no value
NAMES_OF_RUNS = ("run", "runs", "background")  # keys
BEGINNING_OF_SIGNATURE = re.compile(r"(?<![\w./-])[0-9a-f]{1,11}(?![\w./-])")
NUMBER_LIKE_SIGNATURE = re.compile(r"(?<![\w.'\"/-])(?=\d+(e\d+)?(?!\w))[\de]{12}(?![\w.'\"/-])")


def main(arguments: list[str] | None = None) -> None:
    """Runs a command; a user's mistake ends in one message and exit status 1."""
    arguments = sys.argv[1:] if arguments is None else arguments
    surroundings.make_usable()
    if os.environ.get("LOCAL_RANK", "0") != "0":
        die_with_parent()  # a further process of a run, whose first one may be killed
    _obey(arguments)
    if (lost := surroundings.what_was_not_printed()) is not None:
        sys.exit(f"vae-lab: {lost}")


def _obey(arguments: list[str]) -> None:
    try:
        surroundings.check_surroundings(arguments)
    except UserError as error:
        sys.exit(f"vae-lab: {on_one_line(str(error))}")
    if arguments[:1] == ["-sc"]:
        return _complete(arguments)
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:2], "--help"]
    if not arguments or arguments[0] in ("-h", "--help"):
        return print(_usage())
    if arguments[0] in ("version", "-V", "--version"):
        return print(f"vae-lab {version('vae_lab')}")
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        message = f"{shortened(name)} is not a command{did_you_mean(name, COMMANDS, _meant(arguments))}"
        sys.exit(f"vae-lab: {on_one_line(message)}")
    _run(name, rest)


def _meant(arguments: list[str]) -> list[str]:
    """The command that was left out: before an override, or before the name of a sweep."""
    if "=" in arguments[0] and not arguments[0].startswith("-"):
        return [f"vae-lab train {' '.join(arguments)}"]
    return [f"vae-lab sweep {arguments[0]}"] if arguments[0] in _sweeps() else []


def _sweeps() -> list[str]:
    """The names of the sweeps that there are files of."""
    from vae_lab.config.plugins import sweep_files

    return [path.stem for path in sweep_files()]


def _run(name: str, arguments: list[str]) -> None:
    from vae_lab.config import foreign, plugins, trust
    from vae_lab.config.explain import exit_if_explained  # reads whether the user wants tracebacks
    from vae_lab.config.hydra_settings import check_hydra_settings

    wanted = os.environ.get("HYDRA_FULL_ERROR", "0")
    os.environ.setdefault("VAE_LAB_FULL_ERROR", wanted)  # what the user wants, also for the jobs of a sweep
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then lets errors through to here
    for trouble in plugins.activate():
        print(f"note: {trouble}", file=sys.stderr)
    command = main_of(name)
    typed = sys.argv
    try:
        sys.argv = [sys.argv[0], *_as_hydra_reads(_with_whole_signatures(arguments))]
        words = sys.argv[1:]
        if not COMMANDS[name].has_configuration:
            words = [word for word in words if not word.startswith("-")]  # flags are the command's own
        _check_flags(name, words)
        check_hydra_settings(arguments)
        with trust.typed(arguments):
            foreign.check_files_of(name, words)
            _leave_out_current_folder()
            command()
    except KeyboardInterrupt:
        sys.exit("vae-lab: interrupted; the same command continues from the last checkpoint.")
    except Exception as error:
        exit_if_explained(error, name)
        raise
    finally:
        sys.argv = typed
        os.environ["HYDRA_FULL_ERROR"] = wanted


def _check_flags(command: str, arguments: list[str]) -> None:
    """Raises `UserError` for what begins with a dash and is no flag of Hydra's."""
    from hydra._internal.utils import get_args_parser

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{message}; vae-lab {command} --help lists the flags.")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]  # instead of a page of usage
    read, unknown = parser.parse_known_args(arguments)
    flags = [word for word in unknown if word.startswith("-")]
    if read.shell_completion and len(arguments) > 2:
        raise UserError('-sc is for the shell alone: eval "$(vae-lab -sc install=bash)".')
    if read.hydra_help and read.overrides:
        raise UserError(f"--hydra-help takes no overrides: vae-lab {command} --hydra-help.")
    if flags:
        from vae_lab.config.unknown_key import unknown_flag

        following = [*arguments, None][arguments.index(flags[0]) + 1]
        raise unknown_flag(flags[0], following, command)


def _leave_out_current_folder() -> None:
    """Keeps started processes from looking for modules in the current folder, where this one does not."""
    if not {"", os.getcwd()} & set(sys.path):
        os.environ["PYTHONSAFEPATH"] = "1"


def _as_hydra_reads(arguments: list[str]) -> list[str]:
    """Flags before overrides, between which Hydra takes them for mistakes; the folder of a frozen
    configuration from here, where Hydra would look for it inside the package; paths with ~ as whole ones;
    a signature of digits as a word, where Hydra would read a number.

    Example:
        >>> _as_hydra_reads(["seed=1", "-m", "model.latent_dim=2,3"])
        ['-m', 'seed=1', 'model.latent_dim=2,3']
        >>> _as_hydra_reads(["runs=latent_dim"])
        ['-m', 'runs=latent_dim']
        >>> _as_hydra_reads(["run=59e074444826"])
        ["run='59e074444826'"]
    """
    flags = [word for word in arguments if word in FLAGS]
    others = [_with_words(_with_home(word)) for word in arguments if word not in flags]
    is_multirun = {"-m", "--multirun"} & set(flags)
    if not is_multirun and any(word.startswith("runs=") for word in others):
        flags += ["-m"]  # each of the runs is a job
    for position, word in enumerate(others[1:], start=1):
        if others[position - 1] in ("--config-path", "-cp"):
            others[position] = os.path.abspath(word)
    return [*flags, *others]


def _with_home(word: str) -> str:
    """An override with the home folder for ~/, which shells leave as it is after an equals sign."""
    key, _, value = word.partition("=")
    if not value.startswith("~/"):
        return word
    from vae_lab.config.overrides import literal

    return f"{key}={','.join(literal(os.path.expanduser(each)) for each in value.split(','))}"


def _with_whole_signatures(arguments: list[str]) -> list[str]:
    """Arguments in which runs that are named by the beginnings of their signatures have the whole of them.

    Raises:
        UserError: If several signatures begin so.
    """
    folders = [word.partition("=")[2] for word in arguments if word.startswith("output_dir=")]
    output_dir = os.path.expanduser([*folders, "outputs"][0])
    whole = []
    for word in arguments:
        key, equals, value = word.partition("=")
        if key.lstrip("+") in NAMES_OF_RUNS and BEGINNING_OF_SIGNATURE.search(value):
            from vae_lab.runs.find import whole_signature

            value = BEGINNING_OF_SIGNATURE.sub(lambda match: whole_signature(match[0], output_dir), value)
        whole.append(key + equals + value)
    return whole


def _with_words(word: str) -> str:
    """An override that names runs, with quotes around the signatures that would be read as numbers."""
    key, equals, value = word.partition("=")
    if key.lstrip("+") not in NAMES_OF_RUNS:
        return word
    return key + equals + NUMBER_LIKE_SIGNATURE.sub(r"'\g<0>'", value)


def _usage() -> str:
    lines = [f"  {name:12} {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "vae-lab: a laboratory for variational autoencoders",
            "",
            "usage: vae-lab COMMAND [group=option ...] [key=value ...]",
            "",
            *lines,
            "",
            "vae-lab COMMAND --help shows its groups, options and keys.",
            'eval "$(vae-lab -sc install=bash)" completes them in the shell.',
        ]
    )


def _complete(arguments: list[str]) -> None:
    """Shell completion: commands here, everything after the command by Hydra."""
    if not arguments[1].startswith("query"):
        return _run("train", arguments)
    words = os.environ.get("COMP_LINE", "").split(" ")
    if len(words) <= 2:
        return print(" ".join(name for name in COMMANDS if name.startswith(words[-1])))
    if words[1] == "sweep":
        known = [name for name in _sweeps() if len(words) == 3 and name.startswith(words[2])]
        return print(" ".join(known))
    if words[1] == "runs":
        from vae_lab.cli.commands.runs import completions

        return print(" ".join(completions(words[2:])))
    if words[1] in COMMANDS:
        os.environ["COMP_LINE"] = " ".join([words[0], *words[2:]])
        _run(words[1], arguments)
