"""Mixtures: densities with m components, in log space, and the ways to start them."""

from .base import AbstractMixture
from .conditional import Components, ConditionalMixture
from .gaussian import COVARIANCES, CholeskyMixture, DiagonalMixture, SignedCholeskyMixture, UnitMixture
from .initialise import STARTS, Backing, start_from_labels, start_mixture
from .softmax import SoftmaxMixture
from .units import step_in_own_units

__all__ = [
    "COVARIANCES",
    "STARTS",
    "AbstractMixture",
    "Backing",
    "CholeskyMixture",
    "Components",
    "ConditionalMixture",
    "DiagonalMixture",
    "SignedCholeskyMixture",
    "SoftmaxMixture",
    "UnitMixture",
    "start_from_labels",
    "start_mixture",
    "step_in_own_units",
]
