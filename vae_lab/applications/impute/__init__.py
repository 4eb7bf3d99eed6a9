"""`vae-lab impute`."""

from vae_lab.applications.impute.impute import Impute as Impute
