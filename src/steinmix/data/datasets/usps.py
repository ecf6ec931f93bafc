"""USPS digits, in the version of *The Elements of Statistical Learning*."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np

from .._common import reading
from ._card import Card, Remote, check_counts, check_shape, hand_out_digits, joined

__all__ = ["load_usps"]

_CARD = Card(
    name="usps",
    title="USPS handwritten digits, 16x16",
    source="zip.train.gz and zip.test.gz of the book's web site (hastie.su.domains/ElemStatLearn)",
    licence="none stated by the source",
    size="7,291 (train) + 2,007 (test) rows x 256 columns, 10 classes",
    preparation="grey values in [-1, 1] mapped to [0, 1] by (x + 1) / 2; float32; with subset='all' train comes first",
    citation="J. J. Hull. A database for handwritten text recognition research. IEEE PAMI 16(5), 1994.",
)
_HOME = "https://hastie.su.domains/ElemStatLearn/datasets/"
_COUNTS = {
    "train": (1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644),
    "test": (359, 264, 198, 166, 200, 160, 170, 147, 166, 177),
}


def load_usps(
    *, subset: str = "all", return_X_y: bool = False, as_frame: bool = False, download_if_missing: bool = True
) -> Any:
    """Load the USPS digits.

    Source: the web site of Hastie, Tibshirani and Friedman, *The Elements of Statistical Learning*. Licence:
    none stated. Size: 7,291 (train) and 2,007 (test) rows, 256 columns, 10 classes; 2 MB to download.

    The same digits are in circulation as differently compressed files, so no digest of a file can be asked
    for: the content is checked instead (gzip's own checksum, shape, range, and the size of every class). A
    file with other values but the same table would pass.

    Parameters
    ----------
    subset : {'all', 'train', 'test'}
        With 'all', the train part comes first.
    return_X_y : bool
        Return (data, target) only.
    as_frame : bool
        Return pandas objects.
    download_if_missing : bool
        Download the files if they are neither in ``STEINMIX_DATA`` nor in the cache.

    Returns
    -------
    Bunch
        ``data`` (n, 256) float32 in [0, 1], background 0; ``target`` (n,), n = 9298, 7291 or 2007.
    """
    data, target = joined(subset, _COUNTS, lambda part: _part(part, download_if_missing))
    return hand_out_digits(_CARD, data, target, 16, return_X_y, as_frame)


def _part(name: str, download: bool) -> tuple[np.ndarray, np.ndarray]:
    file = f"zip.{name}.gz"
    table = _table(Remote(f"usps/{file}", (_HOME + file,)).locate(download))
    target = table[:, 0].astype(np.int64)
    check_shape(f"USPS ({name})", table.shape, (sum(_COUNTS[name]), 257))
    check_counts(f"USPS ({name})", target, _COUNTS[name])
    check_shape(f"USPS ({name}), smallest and largest value", (table[:, 1:].min(), table[:, 1:].max()), (-1, 1))
    return ((table[:, 1:] + 1) / 2).astype(np.float32), target


def _table(path: Path) -> np.ndarray:
    with reading(path, "lines of a label and 256 grey values, gzipped"), gzip.open(path, "rt") as file:
        return np.loadtxt(file, ndmin=2)
