"""Mixtures: densities with m components, in log space, and the ways to start them."""

from .base import AbstractMixture
from .gaussian import COVARIANCES, CholeskyMixture, DiagonalMixture, UnitMixture
from .initialise import STARTS, Start, start_mixture
from .softmax import SoftmaxMixture

__all__ = [
    "COVARIANCES",
    "STARTS",
    "AbstractMixture",
    "CholeskyMixture",
    "DiagonalMixture",
    "SoftmaxMixture",
    "Start",
    "UnitMixture",
    "start_mixture",
]
