"""Networks, built without touching a global generator."""

from .autoencoder import Coder
from .conv import ConvLayer, conv_decoder, conv_encoder, conv_sizes, recogniser_layers, strided_layers
from .estimation import EstimationNetwork
from .ladder import Ladder, conv_ladder, dense_ladder
from .likelihoods import LIKELIHOODS, Bernoulli, Gaussian, LearntGaussian, Likelihood
from .mlp import Linear, Tanh, linear, mlp, side_by_side
from .noise import dropped, masked

__all__ = [
    "LIKELIHOODS",
    "Bernoulli",
    "Coder",
    "ConvLayer",
    "EstimationNetwork",
    "Gaussian",
    "Ladder",
    "LearntGaussian",
    "Likelihood",
    "Linear",
    "Tanh",
    "conv_decoder",
    "conv_encoder",
    "conv_ladder",
    "conv_sizes",
    "dense_ladder",
    "dropped",
    "linear",
    "masked",
    "mlp",
    "recogniser_layers",
    "side_by_side",
    "strided_layers",
]
