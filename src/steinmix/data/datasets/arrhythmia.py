"""Arrhythmia, a small anomaly detection set."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._common import reading
from ._card import Card, Remote, check_counts, check_shape, hand_out

__all__ = ["load_arrhythmia"]

_CARD = Card(
    name="arrhythmia",
    title="Arrhythmia, outliers",
    source="arrhythmia.mat of the ODDS library, as shipped with PyOD; the original is of the UCI repository",
    licence="CC BY 4.0 (UCI)",
    size="452 rows x 274 columns; 66 anomalies (14.6 %)",
    preparation="none; the smallest classes (3, 4, 5, 7, 8, 9, 14, 15) are the anomalies",
    citation="S. Rayana. ODDS Library. Stony Brook University, 2016.",
)
_REMOTE = Remote(
    "odds/arrhythmia.mat",
    ("https://raw.githubusercontent.com/yzhao062/pyod/1938f1c58ba7948359b098ab358b7ee920825282/data/arrhythmia.mat",),
    "e4d47e499591ae31e5d7f0cd983367092353eac240f48e14c9b36457edb3460d",
)


def load_arrhythmia(*, return_X_y: bool = False, as_frame: bool = False, download_if_missing: bool = True) -> Any:
    """Load the Arrhythmia set of the ODDS library.

    Source: ODDS, as shipped with PyOD, verified by SHA-256; the original is of the UCI repository. Licence:
    CC BY 4.0 (UCI). Size: 452 rows, 274 columns, 66 anomalies.

    Parameters
    ----------
    return_X_y : bool
        Return (data, target) only.
    as_frame : bool
        Return pandas objects.
    download_if_missing : bool
        Download the file if it is neither in ``STEINMIX_DATA`` nor in the cache.

    Returns
    -------
    Bunch
        ``data`` (452, 274) float64; ``target`` (452,), 1 for an anomaly.
    """
    from scipy.io import loadmat

    path = _REMOTE.locate(download_if_missing)
    with reading(path, "the MATLAB file of Arrhythmia"):
        found = loadmat(path)
    target = found["y"].astype(np.int64).ravel()
    check_shape("Arrhythmia", found["X"].shape, (452, 274))
    check_counts("Arrhythmia", target, (386, 66))
    return hand_out(
        _CARD,
        np.ascontiguousarray(found["X"]),
        target,
        feature_names=[f"x{i}" for i in range(274)],
        target_names=["normal", "anomaly"],
        return_X_y=return_X_y,
        as_frame=as_frame,
    )
