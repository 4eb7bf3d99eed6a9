"""The table of estimators in docs/gradients.md, made from their classes and written into the page."""

from pathlib import Path

from hydra import compose, initialize_config_dir

from vae_lab.config import schema
from vae_lab.config.instantiate import instantiate
from vae_lab.estimators.base import Estimator, Needs
from vae_lab.files.markdown import markdown_table
from vae_lab.files.paths import CONF
from vae_lab.runs import signature

PAGE = Path(__file__).resolve().parent.parent / "docs" / "gradients.md"
BEGIN, END = "<!-- estimators -->\n", "<!-- end of estimators -->\n"


def estimators() -> dict[str, Estimator]:
    """Every option of `estimator`, by name."""
    schema.register_schemas()
    signature.register_signature()
    names = sorted(path.stem for path in (Path(CONF) / "estimator").glob("*.yaml"))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return {
            name: instantiate(compose("train", [f"estimator={name}"]).estimator, "estimator", Estimator)
            for name in names
            if name != "none"
        }


def table() -> str:
    """Target, bias and needs of each, without the needs that most have."""
    columns = ["estimator", "target", "biased", "needs, beside a bound, q(z\\|x) and complete data"]
    rows = []
    for name, estimator in estimators().items():
        needs = [need.value for need in Needs if need in estimator.requires - Estimator.requires]
        needs += [f"not {need.value}" for need in Needs if need in Estimator.requires - estimator.requires]
        words = ", ".join(needs).replace("|", "\\|")
        rows.append([f"`{name}`", estimator.target, "yes" if estimator.bias else "no", words])
    return markdown_table(columns, rows) + "\n"


def page() -> str:
    """The page with the table as it must be."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page())
