"""`python -m vae_lab.train` is `vae-lab train`."""

import sys

from vae_lab.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
