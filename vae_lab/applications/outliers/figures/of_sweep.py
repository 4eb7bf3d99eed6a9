"""How well each score tells outliers, for all questions of a sweep."""

from pathlib import Path

import polars as pl

from vae_lab.figures.style import figure

TITLES = {
    "kl": "KL(q(z|x) || p(z))",
    "negative_elbo": "negative ELBO",
    "reconstruction_error": "reconstruction error",
    "negative_log_likelihood": "negative log-likelihood",
    "likelihood_ratio": "likelihood ratio",
    "typicality": "typicality",
}


def auroc_table(table: pl.DataFrame, axes: list[str], path: Path) -> None:
    """Draws AUROC as a table in colours: blue tells outliers, white is chance, red takes them for likelier.

    Args:
        table: A row for each setting, with columns `auroc/<score>`.
        axes: Names of the axes, which label the rows.
        path: Where the PNG goes.
    """
    scores = [name for name in TITLES if f"auroc/{name}" in table.columns]
    values = table.select(f"auroc/{name}" for name in scores).to_numpy()
    labels = [" ".join(str(row[axis]).replace("_", " ") for axis in axes) for row in table.to_dicts()]
    with figure(path, 1.6 + 0.78 * len(scores), 0.9 + 0.26 * len(labels)) as canvas:
        panel = canvas.subplots()
        panel.imshow(values, vmin=0, vmax=1, cmap="RdBu", aspect="auto")
        for row, of_row in enumerate(values):
            for column, value in enumerate(of_row):
                dark = abs(value - 0.5) > 0.35
                colour = "white" if dark else "black"
                panel.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
        panel.set_yticks(range(len(labels)), labels, fontsize=7)
        panel.set_xticks(
            range(len(scores)), [TITLES[name].replace(" ", "\n", 1) for name in scores], fontsize=7
        )
        panel.xaxis.tick_top()
        panel.tick_params(length=0)
        panel.grid(visible=False)
        panel.spines[:].set_visible(False)
        panel.set_title("AUROC: 1 tells outliers, 0.5 is chance", fontsize=8)
