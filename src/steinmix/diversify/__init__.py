"""Diversifiers: maps from an ascent direction on particles to an ascent direction that keeps them apart."""

from .bandwidths import Fixed, Median, MedianLog, MedianSquaredWithZeros
from .base import Diversifier, NoDiversity
from .features import MeansOnly, Standardised, Wasserstein
from .function_space import FunctionSpace, in_function_space
from .kernels import IMQ, RBF, Identity
from .nsvgd import NSVGD
from .penalties import LogDet, Pairwise, is_neutral
from .priors import NormalPrior

__all__ = [
    "IMQ",
    "NSVGD",
    "RBF",
    "Diversifier",
    "Fixed",
    "FunctionSpace",
    "Identity",
    "LogDet",
    "MeansOnly",
    "Median",
    "MedianLog",
    "MedianSquaredWithZeros",
    "NoDiversity",
    "NormalPrior",
    "Pairwise",
    "Standardised",
    "Wasserstein",
    "in_function_space",
    "is_neutral",
]
