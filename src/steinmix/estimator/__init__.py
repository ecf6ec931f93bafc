"""The shell: scikit-learn's face of a method."""

from .._params import check_at_least, check_choice
from .base import DeepEstimator
from .checks import check_count, check_family, check_width, check_widths
from .chunks import map_chunks
from .clusterer import MixtureShell, empty_labels, held_at_start, start_points
from .codes import CodesMixin
from .collapse import check_posterior
from .conditional import ConditionalModule, ConditionalShell, Draws, Posterior
from .detector import DetectorShell
from .embedder import EmbedderShell, coder_arguments, coder_plan, image_layout
from .job import FitContext, epochs_for_steps
from .neighbourhood import Neighbourhood
from .persistence import load
from .pretraining import Pretraining, pretraining_phases
from .smoothing import Smoother, moved_layout, smoothing_epochs, without_smoother
from .warming import WarmedUp

__all__ = [
    "CodesMixin",
    "ConditionalModule",
    "ConditionalShell",
    "DeepEstimator",
    "DetectorShell",
    "Draws",
    "EmbedderShell",
    "FitContext",
    "MixtureShell",
    "Neighbourhood",
    "Posterior",
    "Pretraining",
    "Smoother",
    "WarmedUp",
    "check_at_least",
    "check_choice",
    "check_count",
    "check_family",
    "check_posterior",
    "check_width",
    "check_widths",
    "coder_arguments",
    "coder_plan",
    "empty_labels",
    "epochs_for_steps",
    "held_at_start",
    "image_layout",
    "load",
    "map_chunks",
    "moved_layout",
    "pretraining_phases",
    "smoothing_epochs",
    "start_points",
    "without_smoother",
]
