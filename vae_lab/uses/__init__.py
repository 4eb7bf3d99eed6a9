"""What a trained model is for: each use a class, whose arguments are the root keys of its command."""

from vae_lab.uses.embed import Embed as Embed
from vae_lab.uses.evaluate import Evaluate as Evaluate
from vae_lab.uses.explore import Explore as Explore
from vae_lab.uses.generate import Generate as Generate
from vae_lab.uses.impute import Impute as Impute
from vae_lab.uses.outliers import Outliers as Outliers
