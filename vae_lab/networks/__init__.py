"""Bodies of encoders and decoders: modules from one shape to another."""

from vae_lab.networks.causal import PixelCNN, Recurrent
from vae_lab.networks.constant import Constant
from vae_lab.networks.convolutional import ConvolutionalDecoder, ConvolutionalEncoder
from vae_lab.networks.identity import Identity
from vae_lab.networks.linear import Linear
from vae_lab.networks.mlp import MLP
from vae_lab.networks.no_encoder import NoEncoder
from vae_lab.networks.per_datum import PerDatum
from vae_lab.networks.residual import ResidualDecoder, ResidualEncoder
from vae_lab.networks.shift import Shift

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
