"""`vae-lab runs`."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from vae_lab.cli.runs import in_bytes, show_deletions, show_difference, show_record, show_records
from vae_lab.errors import Several, UserError, did_you_mean, shortened
from vae_lab.runs.conditions import condition, is_condition, matching
from vae_lab.runs.delete import Deletion, delete, deletion_of
from vae_lab.runs.find import directories, find_result
from vae_lab.runs.record import Record, record_of, records
from vae_lab.sweep import manifest

FLAGS = ("--dry-run", "--yes")
USAGE = """usage: vae-lab runs [CONDITION ...] [output_dir=DIR]
       vae-lab runs show RUN
       vae-lab runs diff RUN RUN
       vae-lab runs delete CONDITION|RUN ... [--dry-run] [--yes]

CONDITION  key=value, key=a,b (one of them), key!=value, 'key<value', 'key<=value', 'key>value', 'key>=value';
           a key is a group of options, a setting, a metric or a column: estimator=rloo, status=failed,
           'model.latent_dim>2', 'test/elbo>-100'; in a shell < and > need the quotes
RUN        its directory, its signature, or a beginning of that"""


class Words(NamedTuple):
    """The words of the command line.

    Args:
        conditions: Those with a comparison.
        names: Those without one.
        flags: Those with dashes.
        output_dir: The folder of results.
    """

    conditions: list[str]
    names: list[str]
    flags: list[str]
    output_dir: Path


def main() -> None:
    """Lists runs, shows one, compares two, or deletes some.

    Raises:
        UserError: If a word names nothing that there is.
    """
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words):
        return print(USAGE)
    if words[:1] and words[0] in VERBS:
        return VERBS[words[0]](_parted(words[1:]))
    _list(_parted(words))


def completions(words: Sequence[str]) -> list[str]:
    """The words that may stand in the place of the last one: commands first, then signatures and flags."""
    if len(words) == 1:
        known = list(VERBS)
    else:
        flags = FLAGS if words[0] == "delete" else ()
        known = [*(path.name for path in directories(Path("outputs"))), *flags] if words[0] in VERBS else []
    return [word for word in known if word.startswith(words[-1])]


def _parted(words: Sequence[str]) -> Words:
    folders = [word.partition("=")[2] for word in words if word.startswith("output_dir=")]
    flags = [word for word in words if word.startswith("-")]
    for flag in flags:
        if flag not in FLAGS:
            raise UserError(f"{flag} is not understood{did_you_mean(flag, FLAGS)}")
    others = [word for word in words if word not in flags and not word.startswith("output_dir=")]
    conditions = [word for word in others if is_condition(word) and not os.path.isdir(word)]
    names = [word for word in others if word not in conditions]
    return Words(conditions, names, flags, Path([*folders, ""][0] or "outputs"))


def _list(words: Words) -> None:
    if words.flags:
        raise UserError(f"{words.flags[0]} belongs to vae-lab runs delete.")
    every = records(words.output_dir)
    for name in words.names:
        if any(name in record.entries for record in every):
            condition(name)  # tells what is missing
        raise UserError(
            f"{shortened(name)!r} is neither a condition nor one of the words{did_you_mean(name, VERBS)}"
        )
    show_records(matching(every, words.conditions), words.conditions, words.output_dir)


def _show(words: Words) -> None:
    (run,) = _named(words, 1, "show takes one run: vae-lab runs show RUN.")
    show_record(run)


def _diff(words: Words) -> None:
    one, other = _named(words, 2, "diff takes two runs: vae-lab runs diff RUN RUN.")
    show_difference(one, other)


def _named(words: Words, count: int, fix: str) -> list[Record]:
    """The runs that are named.

    Raises:
        UserError: If there are others than so many.
    """
    if len(words.names) != count or words.conditions or words.flags:
        raise UserError(fix)
    return [record_of(find_result(name, words.output_dir)) for name in words.names]


def _delete(words: Words) -> None:
    chosen = _chosen(words)
    running = [record for record in chosen if record.status == "running"]
    for record in running:
        print(f"note: {record.folder} is running, and is left alone.")
    deletions = [deletion_of(record.folder) for record in chosen if record not in running]
    show_deletions([record for record in chosen if record not in running], deletions)
    _note_sweeps(deletions, words.output_dir)
    if not deletions:
        return print("no run to delete")
    if "--dry-run" in words.flags:
        return print(f"would delete {_counted(deletions)}")
    if "--yes" not in words.flags and not _agreed(deletions):
        return print("nothing is deleted")
    _carry_out(deletions)


def _carry_out(deletions: Sequence[Deletion]) -> None:
    """Deletes what can be deleted.

    Raises:
        UserError: If a run cannot, as another process does it.
    """
    done, troubles = [], []
    for deletion in deletions:
        try:
            delete(deletion)
            done.append(deletion)
        except UserError as error:
            troubles.append(str(error))
    print(f"deleted {_counted(done)}")
    if troubles:
        raise Several("\n".join(troubles))


def _note_sweeps(deletions: Sequence[Deletion], output_dir: Path) -> None:
    """Tells which sweeps have the runs in their tables."""
    folders = {deletion.folder.resolve() for deletion in deletions}
    for path in sorted(output_dir.glob(f"sweeps/*/{manifest.FILE}")):
        with suppress(UserError):
            count = sum(entry.directory in folders for entry in manifest.read_manifest(path.parent).entries)
            if count:
                print(f"note: sweep {path.parent.name} has {count} of these; its command makes them again.")


def _chosen(words: Words) -> list[Record]:
    """The runs that are named, or all, for which the conditions hold.

    Raises:
        UserError: If neither a run nor a condition is given.
    """
    if not words.names and not words.conditions:
        raise UserError("delete takes conditions or runs: vae-lab runs delete status=failed.")
    every = records(words.output_dir)
    if words.names:
        folders = dict.fromkeys(find_result(name, words.output_dir) for name in words.names)
        every = [record_of(folder) for folder in folders]
    return matching(every, words.conditions)


def _agreed(deletions: Sequence[Deletion]) -> bool:
    """Whether the user wants it, who is asked.

    Raises:
        UserError: If nobody is there to ask.
    """
    if not sys.stdin.isatty():
        raise UserError(f"to delete {_counted(deletions)} without a terminal to ask on, add --yes.")
    return input(f"delete {_counted(deletions)}? [y/N] ").strip().lower() in ("y", "yes")


def _counted(deletions: Sequence[Deletion]) -> str:
    count, total = len(deletions), sum(deletion.bytes for deletion in deletions)
    return f"{count} run{'s' * (count != 1)}, {in_bytes(total)}"


VERBS: dict[str, Callable[[Words], None]] = {"show": _show, "diff": _diff, "delete": _delete}
