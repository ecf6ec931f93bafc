"""MNIST from its original IDX files."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from .._common import reading
from ._card import Card, Remote, check_counts, check_shape, hand_out_digits, joined

__all__ = ["load_mnist", "read_idx"]

_CARD = Card(
    name="mnist",
    title="MNIST handwritten digits, 28x28",
    source="the four original IDX files (yann.lecun.com/exdb/mnist), from public mirrors",
    licence="CC BY-SA 3.0, as usually stated by redistributors",
    size="60,000 (train) + 10,000 (test) rows x 784 columns, 10 classes",
    preparation="none: uint8 grey values 0..255; with subset='all' the train part comes first",
    citation="Y. LeCun, L. Bottou, Y. Bengio, P. Haffner. Gradient-based learning applied to document "
    "recognition. Proc. IEEE 86(11), 1998.",
)
_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_SHA256 = {
    "train-images-idx3": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
_COUNTS = {
    "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    "test": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
}
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def load_mnist(
    *, subset: str = "all", return_X_y: bool = False, as_frame: bool = False, download_if_missing: bool = True
) -> Any:
    """Load MNIST.

    Source: the four original IDX files, verified by SHA-256. Licence: CC BY-SA 3.0, as usually stated by
    redistributors. Size: 60,000 (train) and 10,000 (test) rows, 784 columns, 10 classes; 12 MB to download.

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
        ``data`` (n, 784) uint8, images row by row; ``target`` (n,), n = 70000, 60000 or 10000.
    """
    data, target = joined(subset, _COUNTS, lambda part: _part(part, download_if_missing))
    return hand_out_digits(_CARD, data, target, 28, return_X_y, as_frame)


def read_idx(path: str | Path) -> np.ndarray:
    """Read an IDX file, gzipped or not.

    The format: two zero bytes, a type code, the number of dimensions, each dimension as a big-endian 32-bit
    integer, then the values in C order.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    ndarray
        In the shape and type that the file states, in native byte order.

    Raises
    ------
    DataError
        If the file is no IDX file, or is cut short.
    """
    path = Path(path)
    with reading(path, "an IDX file"):
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _IDX_TYPES or len(raw) < 4 + 4 * raw[3]:
        raise DataError(f"{path} starts with {raw[:4]!r}; expected the head of an IDX file. Fetch it again.")
    dtype, start = np.dtype(_IDX_TYPES[raw[2]]), 4 + 4 * raw[3]
    shape = struct.unpack(f">{raw[3]}I", raw[4:start])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(raw) != expected:
        raise DataError(f"{path} holds {len(raw)} bytes; its head announces {expected}. Fetch it again.")
    return np.frombuffer(raw, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def _part(name: str, download: bool) -> tuple[np.ndarray, np.ndarray]:
    prefix = "train" if name == "train" else "t10k"
    images = read_idx(_remote(f"{prefix}-images-idx3").locate(download))
    target = read_idx(_remote(f"{prefix}-labels-idx1").locate(download)).astype(np.int64)
    check_shape(f"MNIST ({name})", images.shape, (sum(_COUNTS[name]), 28, 28))
    check_counts(f"MNIST ({name})", target, _COUNTS[name])
    return images.reshape(len(images), -1), target


def _remote(stem: str) -> Remote:
    file = f"{stem}-ubyte.gz"
    return Remote(f"mnist/{file}", tuple(mirror + file for mirror in _MIRRORS), _SHA256[stem])
