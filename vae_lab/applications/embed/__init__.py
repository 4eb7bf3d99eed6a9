"""`vae-lab embed`."""

from vae_lab.applications.embed.embed import Embed as Embed
