"""The first import of the server of `warm`, so that it ends with the sweep even during the others."""

import os

from vae_lab.sweep.launchers.with_parent import PARENT, die_with_parent

if PARENT in os.environ:
    die_with_parent(int(os.environ.pop(PARENT)))
