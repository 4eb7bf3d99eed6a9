"""`vae-lab explore`."""

from vae_lab.applications.explore.explore import Explore as Explore
