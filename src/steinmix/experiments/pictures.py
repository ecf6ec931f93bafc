"""Pictures in records: maps of codes and galleries of images, small enough to be kept with the numbers.

A runner puts them as a list under ``settings["pictures"]``; `steinmix.report.pictures` draws them. Arrays are
compressed bytes as base64: 1,000 rows of a map take some 6 KB.
"""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import DataError
from ..random import Streams

__all__ = ["MAP_ROWS", "gallery", "latent_map", "pack", "shown_rows", "unpack"]

MAP_ROWS = 1000
"""Rows of a map, at most."""

TYPES = ("|u1", "<f2")
"""Of packed arrays: half precision is three digits."""

LEVELS = 16
"""Grey levels kept of an image; more cannot be told apart at the size of a stamp."""

LARGEST = 2**24
"""Values of a packed array, at most: a record is not to be trusted with memory."""


def pack(array: np.ndarray) -> dict[str, Any]:
    """Return an array of bytes or half-precision numbers as plain values.

    Examples
    --------
    >>> pack(np.array([[1, 2]], dtype=np.uint8))
    {'type': '|u1', 'shape': [1, 2], 'zlib': 'eNpjZAIAAAYABA=='}
    """
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 9)).decode()
    return {"type": array.dtype.str, "shape": list(array.shape), "zlib": data}


def unpack(packed: Mapping[str, Any]) -> np.ndarray:
    """Return what `pack` was given.

    Raises
    ------
    DataError
        If these are no such values.
    """
    try:
        kind, shape = np.dtype(packed["type"]), [int(side) for side in packed["shape"]]
        size = math.prod(shape)
        if kind.str not in TYPES or min(shape, default=0) < 0 or size > LARGEST:
            raise ValueError(f"type {kind.str}, shape {shape}")
        data = zlib.decompressobj().decompress(base64.b64decode(packed["zlib"]), size * kind.itemsize + 1)
        return np.frombuffer(data, kind).reshape(shape)
    except (KeyError, TypeError, ValueError, zlib.error, binascii.Error) as error:
        raise DataError(f"a record holds no packed array ({error}); run its row again with --fresh.") from error


def shown_rows(n_rows: int) -> np.ndarray:
    """Return the numbers of the rows of a map, the same for all methods."""
    return np.sort(Streams(0).numpy("map").permutation(n_rows)[:MAP_ROWS])


def latent_map(title: str, codes: np.ndarray, clusters: np.ndarray, classes: np.ndarray) -> dict[str, Any]:
    """Return a map of codes on their two principal axes.

    Parameters
    ----------
    title : str
    codes : ndarray (n, d)
        The axes are those of all codes; of more than `MAP_ROWS` some are shown.
    clusters, classes : ndarray (n,)
        For colours only.
    """
    from sklearn.decomposition import PCA

    points = PCA(2, svd_solver="full").fit_transform(codes.astype(np.float64))
    index, numbers = shown_rows(len(codes)), np.unique(classes, return_inverse=True)[1]
    return {
        "kind": "map",
        "title": title,
        "points": pack(points[index].astype("<f2")),
        "clusters": pack(clusters[index].astype(np.uint8)),
        "classes": pack(numbers[index].astype(np.uint8)),
    }


def gallery(title: str, images: np.ndarray, low: float, high: float) -> dict[str, Any]:
    """Return square grey images, a line for each component.

    Parameters
    ----------
    title : str
    images : ndarray (m, n, side * side)
    low, high : float
        What is black and what is white.
    """
    side = math.isqrt(images.shape[-1])
    grey = np.clip((images - low) / (high - low), 0, 1)
    levels = (np.rint(grey * (LEVELS - 1)) * (255 // (LEVELS - 1))).astype(np.uint8)
    return {"kind": "gallery", "title": title, "images": pack(levels.reshape(*images.shape[:2], side, side))}
