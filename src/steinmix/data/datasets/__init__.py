"""Published data sets, one file each. Calling a loader is the only thing that may download."""

from collections.abc import Callable
from typing import Any

from ...errors import ConfigError
from . import har, rcv1, reuters, stl10, svhn
from .arcs import load_arcs
from .arrhythmia import load_arrhythmia
from .digits import load_digits
from .har import load_har, load_har_recomputed
from .kddcup99 import load_kddcup99
from .mnist import load_mnist
from .rcv1 import load_rcv1
from .reuters import load_reuters
from .stl10 import load_stl10
from .svhn import load_svhn
from .toy import load_toy
from .usps import load_usps

__all__ = [
    "absent",
    "available",
    "load_arcs",
    "load_arrhythmia",
    "load_digits",
    "load_har",
    "load_har_recomputed",
    "load_kddcup99",
    "load_mnist",
    "load_rcv1",
    "load_reuters",
    "load_stl10",
    "load_svhn",
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


_ABSENT: dict[str, Callable[[], str]] = {
    "har_recomputed": har.absent,
    "rcv1": rcv1.absent,
    "reuters": reuters.absent,
    "stl10": stl10.absent,
    "svhn": svhn.absent,
}


def absent(name: str) -> str:
    """Return why a data set that experiments do not fetch is not here, and how to get it; empty if it is here.

    Nothing is read or downloaded: its files are looked for. Such sets have no public home, or a large one.

    Parameters
    ----------
    name : str
        A data set, as `steinmix data list` names it.

    Raises
    ------
    ConfigError
        If it is none of these sets.
    """
    if name not in _ABSENT:
        raise ConfigError(f"Got {name!r}; expected one of {', '.join(_ABSENT)}. Others come when they are loaded.")
    return _ABSENT[name]()
