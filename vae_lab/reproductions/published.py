"""Curves and tables of papers, beside which ours stand.

`kingma2014_figure2.csv` and `kingma2014_figure3.csv` hold Figures 2 and 3 of Auto-Encoding Variational Bayes
(Kingma & Welling, 2014, arXiv 1312.6114), read off the vector curves of the published PDF: the error is about
0.1 nat on MNIST, 3 nats on Frey Face and 0.5 % in the number of samples. Points beyond the lower edge of the
plot are left out. `burda2016_table1.csv` holds the MNIST part of Table 1 of Importance Weighted Autoencoders
(Burda, Grosse & Salakhutdinov, 2016, arXiv 1509.00519): negative log-likelihoods by 5,000 samples, in nats.
`mohamed2020_crossings.csv` holds where curves cross in Figures 2 and 3 of Monte Carlo Gradient Estimation in
Machine Learning (Mohamed, Rosca, Figurnov & Mnih, 2020, arXiv 1906.10652), by numerical integration as in
their notebook: the paper prints the curves, and no numbers of them.
"""

from pathlib import Path

import polars as pl

from vae_lab.errors import UserError

FOLDER = Path(__file__).parent
COLUMNS = {
    "kingma2014_figure2": {
        "dataset": pl.String,
        "latent_dim": pl.Int64,
        "algorithm": pl.String,
        "split": pl.String,
        "training_samples": pl.Float64,
        "lower_bound_nats": pl.Float64,
    },
    "kingma2014_figure3": {
        "train_size": pl.Int64,
        "algorithm": pl.String,
        "split": pl.String,
        "training_samples": pl.Float64,
        "log_likelihood_nats": pl.Float64,
    },
    "burda2016_table1": {
        "layers": pl.Int64,
        "objective": pl.String,
        "num_samples": pl.Int64,
        "nll_nats": pl.Float64,
        "active_units": pl.Int64,
    },
    "mohamed2020_crossings": {
        "function": pl.String,
        "parameter": pl.String,
        "first": pl.String,
        "second": pl.String,
        "k": pl.Float64,
    },
}


def published_points(name: str, folder: Path = FOLDER) -> pl.DataFrame:
    """The points of a published figure, or the rows of a table, in nats per datum.

    Raises:
        UserError: If the file is missing or malformed.
    """
    path, columns = folder / f"{name.replace('_', '/', 1)}.csv", COLUMNS[name]
    try:
        rows = pl.read_csv(path, schema_overrides=columns)
    except FileNotFoundError as error:
        raise UserError(f"the published numbers {path} are missing; install vae-lab again.") from error
    except pl.exceptions.PolarsError as error:
        raise UserError(f"{path} is malformed: {str(error).splitlines()[0]}.") from error
    if rows.columns != list(columns) or rows.null_count().sum_horizontal().item():
        raise UserError(f"{path} is malformed: every row must hold {', '.join(columns)} in every row.")
    return rows
