"""Networks, built without touching a global generator."""

from .autoencoder import Coder
from .conv import ConvLayer, conv_decoder, conv_encoder, conv_sizes, recogniser_layers, strided_layers
from .likelihoods import LIKELIHOODS, Bernoulli, Gaussian, LearntGaussian, Likelihood
from .mlp import Linear, linear, mlp
from .noise import masked

__all__ = [
    "LIKELIHOODS",
    "Bernoulli",
    "Coder",
    "ConvLayer",
    "Gaussian",
    "LearntGaussian",
    "Likelihood",
    "Linear",
    "conv_decoder",
    "conv_encoder",
    "conv_sizes",
    "linear",
    "masked",
    "mlp",
    "recogniser_layers",
    "strided_layers",
]
