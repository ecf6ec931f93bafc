"""The shell: scikit-learn's face of a method."""

from .base import DeepEstimator, FitContext, check_choice, check_count, check_width, epochs_for_steps, map_chunks
from .clusterer import MixtureShell, empty_labels
from .detector import DetectorShell
from .embedder import EmbedderShell, coder_arguments, coder_plan
from .persistence import load
from .preparation import Preparation
from .pretraining import Pretraining, pretraining_phases

__all__ = [
    "DeepEstimator",
    "DetectorShell",
    "EmbedderShell",
    "FitContext",
    "MixtureShell",
    "Preparation",
    "Pretraining",
    "check_choice",
    "check_count",
    "check_width",
    "coder_arguments",
    "coder_plan",
    "empty_labels",
    "epochs_for_steps",
    "load",
    "map_chunks",
    "pretraining_phases",
]
