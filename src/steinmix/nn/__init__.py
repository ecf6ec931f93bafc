"""Networks, built without touching a global generator."""

from .autoencoder import Coder
from .likelihoods import LIKELIHOODS, Bernoulli, Gaussian, LearntGaussian, Likelihood
from .mlp import Linear, linear, mlp
from .noise import masked

__all__ = [
    "LIKELIHOODS",
    "Bernoulli",
    "Coder",
    "Gaussian",
    "LearntGaussian",
    "Likelihood",
    "Linear",
    "linear",
    "masked",
    "mlp",
]
