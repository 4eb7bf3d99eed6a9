"""Where the configuration lives: inside the installed package, or beside it in a clone."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
ROOT = next(folder for folder in (_PACKAGE, _PACKAGE.parent) if (folder / "conf" / "train.yaml").is_file())
CONF = ROOT / "conf"
SWEEPS = ROOT / "sweeps"
