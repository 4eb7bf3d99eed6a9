"""Bodies of encoders and decoders: modules from one shape to another."""

from vae_lab.models.networks.causal import PixelCNN, Recurrent
from vae_lab.models.networks.constant import Constant
from vae_lab.models.networks.convolutional import ConvolutionalDecoder, ConvolutionalEncoder
from vae_lab.models.networks.identity import Identity
from vae_lab.models.networks.linear import Linear
from vae_lab.models.networks.mlp import MLP
from vae_lab.models.networks.no_encoder import NoEncoder
from vae_lab.models.networks.per_datum import PerDatum
from vae_lab.models.networks.residual import ResidualDecoder, ResidualEncoder
from vae_lab.models.networks.shift import Shift

__all__ = [
    "MLP",
    "Constant",
    "ConvolutionalDecoder",
    "ConvolutionalEncoder",
    "Identity",
    "Linear",
    "NoEncoder",
    "PerDatum",
    "PixelCNN",
    "Recurrent",
    "ResidualDecoder",
    "ResidualEncoder",
    "Shift",
]
