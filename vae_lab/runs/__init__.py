"""A run on disk: its directory, signature, lease, result and provenance; called, a table of the runs."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any


class _Runs(ModuleType):
    """This room, which bears the name of the function that lists what lies in it."""

    def __call__(self, output_dir: str | Path = "outputs", *conditions: str) -> Any:
        """The table of `vae_lab.runs.table.runs`."""
        from vae_lab.runs.table import runs

        return runs(output_dir, *conditions)


sys.modules[__name__].__class__ = _Runs
