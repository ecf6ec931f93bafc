"""Networks, built without touching a global generator."""

from .autoencoder import Coder
from .estimation import EstimationNetwork
from .likelihoods import LIKELIHOODS, Bernoulli, Gaussian, Likelihood
from .mlp import Linear, linear, mlp
from .noise import masked

__all__ = [
    "LIKELIHOODS",
    "Bernoulli",
    "Coder",
    "EstimationNetwork",
    "Gaussian",
    "Likelihood",
    "Linear",
    "linear",
    "masked",
    "mlp",
]
