"""`vae-lab figures`."""

import sys

from vae_lab.errors import Several, UserError
from vae_lab.sweep import manifest
from vae_lab.sweep.run import finish


def main() -> None:
    """Writes the tables and draws the figures of sweeps from what is done, here or elsewhere.

    Raises:
        UserError: If a directory is not that of a sweep.
    """
    paths = [word for word in sys.argv[1:] if not word.startswith("-")]
    if not paths or len(paths) < len(sys.argv) - 1:
        print("usage: vae-lab figures outputs/sweeps/NAME ..., or NAME ... where outputs/ is")
        if not {"-h", "--help"} & set(sys.argv):
            raise UserError("takes the directories or the names of sweeps.")
        return
    troubles = []
    for path in paths:
        try:
            directory = manifest.directory_of(path)
            finish(manifest.read_manifest(directory), directory)
        except UserError as error:
            troubles.append(str(error))
    if troubles:
        raise Several("\n".join(troubles))
