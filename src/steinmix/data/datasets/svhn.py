"""SVHN: digits of house numbers in street views, cropped to 32x32, in colour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from .._common import reading
from ._card import Card, Remote, absence, check_shape, hand_out, joined

__all__ = ["absent", "load_svhn"]

_CARD = Card(
    name="svhn",
    title="Street view house numbers, cropped digits, 32x32 in colour",
    source="train_32x32.mat, test_32x32.mat and extra_32x32.mat of ufldl.stanford.edu/housenumbers",
    licence="for non-commercial use only, as the source says",
    size="73,257 (train) + 26,032 (test) + 531,131 (extra) rows x 3,072 columns, 10 classes",
    preparation="none: uint8 values 0..255, each image line by line, red, green and blue of a pixel side by side; "
    "label 10 becomes 0; with subset='all' in the order train, test, extra",
    citation="Y. Netzer, T. Wang, A. Coates, A. Bissacco, B. Wu, A. Y. Ng. Reading digits in natural images with "
    "unsupervised feature learning. NIPS workshop on deep learning and unsupervised feature learning, 2011.",
)
_HOME = "http://ufldl.stanford.edu/housenumbers/"
_SHA256 = {
    "train": "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
    "test": "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
    "extra": "a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3",
}
_FILES = {
    part: Remote(f"svhn/{part}_32x32.mat", (f"{_HOME}{part}_32x32.mat",), sha256) for part, sha256 in _SHA256.items()
}
_ROWS = {"train": 73_257, "test": 26_032, "extra": 531_131}


def load_svhn(
    *, subset: str = "all", return_X_y: bool = False, as_frame: bool = False, download_if_missing: bool = True
) -> Any:
    """Load the cropped digits of SVHN.

    Source: the three MATLAB files of ufldl.stanford.edu/housenumbers, verified by SHA-256. Licence: for
    non-commercial use only. Size: 73,257 (train), 26,032 (test) and 531,131 (extra) rows, 3,072 columns, 10
    classes; 182, 64 and 1,329 MB to download; all of it is 1.9 GB in memory, and twice that while it is read.

    Parameters
    ----------
    subset : {'all', 'train', 'test', 'extra'}
        With 'all', the parts come in the order train, test, extra.
    return_X_y : bool
        Return (data, target) only.
    as_frame : bool
        Return pandas objects.
    download_if_missing : bool
        Download the files if they are neither in ``STEINMIX_DATA`` nor in the cache.

    Returns
    -------
    Bunch
        ``data`` (n, 3072) uint8, images (32, 32, 3) line by line; ``target`` (n,).
    """
    data, target = joined(subset, _FILES, lambda part: _part(part, download_if_missing))
    return hand_out(
        _CARD,
        data,
        target,
        feature_names=[f"{c}_{i}_{j}" for i in range(32) for j in range(32) for c in ("red", "green", "blue")],
        target_names=[str(k) for k in range(10)],
        return_X_y=return_X_y,
        as_frame=as_frame,
        image_shape=(32, 32, 3),
    )


def absent() -> str:
    """Return why the images are not here; empty if they are."""
    return absence(_CARD.name, list(_FILES.values()))


def _part(name: str, download: bool) -> tuple[np.ndarray, np.ndarray]:
    data, target = _read(_FILES[name].locate(download))
    check_shape(f"SVHN ({name})", data.shape, (_ROWS[name], 3072))
    return data, target


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, 3072) and labels (n,) of a MATLAB file that has them as (32, 32, 3, n) and 1..10."""
    from scipy.io import loadmat

    with reading(path, "a MATLAB file of SVHN"):
        found = loadmat(path, variable_names=["X", "y"])
    if not {"X", "y"} <= set(found) or found["X"].ndim != 4:
        raise DataError(f"{path} lacks X (32, 32, 3, n) or y (n, 1); expected a MATLAB file of SVHN. Fetch it again.")
    images = found["X"].transpose(3, 0, 1, 2)
    return images.reshape(len(images), -1), found["y"].astype(np.int64).ravel() % 10
