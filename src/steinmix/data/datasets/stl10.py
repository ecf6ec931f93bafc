"""STL-10 as 2,048 features of each image: a file that the user makes, as this library has no network of features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from .._common import reading
from ..fetch import ENVIRONMENT_VARIABLE, find
from ._card import Card, check_counts, check_shape, hand_out

__all__ = ["absent", "load_stl10"]

_CARD = Card(
    name="stl10",
    title="STL-10, 2,048 features of a ResNet-50",
    source="a file of the user's own making, from the 13,000 labelled images of cs.stanford.edu/~acoates/stl10",
    licence="that of the images: none stated by the source; they were taken from ImageNet",
    size="13,000 rows x 2,048 columns, 10 classes",
    preparation="that of the file; float32. VaDE averages the last map (3x3x2048) of a ResNet-50, whose weights and "
    "preparation of images it leaves unstated: state your own with any number",
    citation="A. Coates, H. Lee, A. Y. Ng. An analysis of single-layer networks in unsupervised feature learning. "
    "AISTATS, 2011.",
)
_PATHS = ("stl10/features.npz", "stl10/features.npy", "stl10/features.mat")
_CONTENT = "`features` (13000, 2048) and `labels` (13000,)"
_SHAPE, _COUNTS = (13_000, 2_048), (1300,) * 10
_CLASSES = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]


def load_stl10(*, path: str | Path | None = None, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Load 2,048 features of the images of STL-10 from a file of your own.

    Source: a file that you make from the labelled images of STL-10, 5,000 (train) and 8,000 (test). Licence: that
    of the images. Size: 13,000 rows, 2,048 columns, 10 classes.

    The recipe: put the images, train first, through a ResNet-50 that was trained on ImageNet, scaled as its
    weights want them; average the last map over its places; then
    ``numpy.savez("stl10/features.npz", features=..., labels=...)`` below the folder that ``STEINMIX_DATA`` names.
    The guide *Files and data* has it as a program.

    Parameters
    ----------
    path : path-like, optional
        The file: ``.npz`` or ``.mat`` with `features` and `labels`, or ``.npy`` with the features beside a
        ``labels.npy``. By default ``stl10/features`` with one of these endings is looked for, as any data file.
    return_X_y : bool
        Return (data, target) only.
    as_frame : bool
        Return pandas objects.

    Returns
    -------
    Bunch
        ``data`` (13000, 2048) float32; ``target`` (13000,), from labels 0..9 or 1..10.

    Raises
    ------
    DataError
        If there is no such file, or it holds something else.
    """
    file = _here() if path is None else Path(path)
    if file is None:
        raise DataError(
            f"{absent()}; expected {_CONTENT}. Put it below {ENVIRONMENT_VARIABLE}, or give load_stl10 its path."
        )
    data, labels = _read(file)
    check_shape(f"STL-10 ({file})", (*data.shape, len(labels)), (*_SHAPE, _SHAPE[0]))
    target = labels - labels.min()
    check_counts(f"STL-10 ({file})", target, _COUNTS)
    if not np.isfinite(data).all():
        raise DataError(f"{file} has features that are not finite; expected numbers only. Make the file again.")
    return hand_out(
        _CARD,
        data,
        target,
        feature_names=[f"feature_{j}" for j in range(data.shape[1])],
        target_names=_CLASSES,
        return_X_y=return_X_y,
        as_frame=as_frame,
    )


def absent() -> str:
    """Return why the features are not here; empty if they are."""
    if _here() is not None:
        return ""
    return f"{_PATHS[0]} not present (help(steinmix.datasets.load_stl10) says how to make it)"


def _here() -> Path | None:
    return next((found for found in map(find, _PATHS) if found is not None), None)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return features (n, f) float32 and labels (n,) as the file has them."""
    if path.suffix not in _READERS:
        raise DataError(f"Got {path}; expected a file of STL-10 features that ends in {', '.join(_READERS)}.")
    with reading(path, f"a file with {_CONTENT}"):
        found = _READERS[path.suffix](path)
        gone = [name for name in ("features", "labels") if name not in found]
        if gone:
            raise DataError(f"{path} lacks {' and '.join(gone)}; expected {_CONTENT}. Write both into the file.")
        return np.asarray(found["features"], np.float32), np.asarray(found["labels"]).ravel().astype(np.int64)


def _from_npz(path: Path) -> Mapping[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def _from_npy(path: Path) -> Mapping[str, Any]:
    both = {"features": path, "labels": path.with_name("labels.npy")}
    return {name: np.load(file, allow_pickle=False) for name, file in both.items() if file.exists()}


def _from_mat(path: Path) -> Mapping[str, Any]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        return loadmat(path, variable_names=["features", "labels"], appendmat=False)
    except (MatReadError, NotImplementedError) as err:  # damaged, or MATLAB 7.3, which is HDF5
        raise ValueError(str(err)) from err


_READERS: dict[str, Callable[[Path], Mapping[str, Any]]] = {".npz": _from_npz, ".npy": _from_npy, ".mat": _from_mat}
