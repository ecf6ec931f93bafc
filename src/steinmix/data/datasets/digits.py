"""Handwritten digits that come with scikit-learn: the set that needs no file."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._card import Card, check_counts, check_shape, hand_out_digits

__all__ = ["load_digits"]

_CARD = Card(
    name="digits",
    title="Optical recognition of handwritten digits, 8x8",
    source="the test part of the UCI set, as embedded in scikit-learn",
    licence="CC BY 4.0 (UCI)",
    size="1,797 rows x 64 columns, 10 classes",
    preparation="grey values 0..16 divided by 16; float32 in [0, 1]",
    citation="E. Alpaydin, C. Kaynak. Optical Recognition of Handwritten Digits. UCI Machine Learning "
    "Repository, 1998.",
)
_COUNTS = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)


def load_digits(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Load the 8x8 digits that are embedded in scikit-learn.

    Source: the test part of the UCI set *Optical Recognition of Handwritten Digits*. Licence: CC BY 4.0.
    Size: 1,797 rows, 64 columns, 10 classes.

    Parameters
    ----------
    return_X_y : bool
        Return (data, target) only.
    as_frame : bool
        Return pandas objects.

    Returns
    -------
    Bunch
        ``data`` (1797, 64) float32 in [0, 1], the grey values 0..16 divided by 16; ``target`` (1797,).
    """
    from sklearn.datasets import load_digits as embedded

    found: Any = embedded()
    data = (found.data / 16).astype(np.float32)
    target = found.target.astype(np.int64)
    check_shape("digits", data.shape, (1797, 64))
    check_counts("digits", target, _COUNTS)
    return hand_out_digits(_CARD, data, target, 8, return_X_y, as_frame)
