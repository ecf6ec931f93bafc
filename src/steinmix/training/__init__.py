"""The engine: one loop that runs any list of phases."""

from .annealing import Annealed
from .callbacks import Callback, Diagnose, EarlyStopping, Progress
from .config import Training
from .loader import Loader
from .loop import RunState, run
from .schedules import Constant, Cosine, Fade, StepDecay

__all__ = [
    "Annealed",
    "Callback",
    "Constant",
    "Cosine",
    "Diagnose",
    "EarlyStopping",
    "Fade",
    "Loader",
    "Progress",
    "RunState",
    "StepDecay",
    "Training",
    "run",
]
