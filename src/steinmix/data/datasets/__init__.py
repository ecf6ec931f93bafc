"""Published data sets, one file each. Calling a loader is the only thing that may download."""

from collections.abc import Callable
from typing import Any

from .arcs import load_arcs
from .arrhythmia import load_arrhythmia
from .digits import load_digits
from .har import load_har, load_har_recomputed
from .kddcup99 import load_kddcup99
from .mnist import load_mnist
from .rcv1 import load_rcv1
from .toy import load_toy
from .usps import load_usps

__all__ = [
    "available",
    "load_arcs",
    "load_arrhythmia",
    "load_digits",
    "load_har",
    "load_har_recomputed",
    "load_kddcup99",
    "load_mnist",
    "load_rcv1",
    "load_toy",
    "load_usps",
]


def available() -> dict[str, Callable[..., Any]]:
    """Return the loaders by the names of their data sets.

    Examples
    --------
    >>> available()["digits"]().data.shape
    (1797, 64)
    """
    return {name.removeprefix("load_"): globals()[name] for name in __all__ if name.startswith("load_")}
