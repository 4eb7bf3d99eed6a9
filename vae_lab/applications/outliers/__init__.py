"""`vae-lab outliers`."""

from vae_lab.applications.outliers.outliers import Outliers as Outliers
