"""Images moved a little: turned, sheared, scaled and shifted, as what is written or photographed again is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .conv import images_of, rows_of

__all__ = ["N_MOVES", "moved"]

ANGLE, SHEAR, SCALE, SHIFT = 0.17, 0.15, 0.1, 1 / 7
"""Most a move turns (radians), shears and scales (shares), and shifts (share of half the side: 2 of 28 pixels)."""

N_MOVES = 6
"""Numbers that a move takes."""


def moved(x: Tensor, shape: Sequence[int], draws: Tensor) -> Tensor:
    """Return rows with the image in each moved by a plane affine map of its own.

    Parameters
    ----------
    x : Tensor (*r, b, h w c)
        Images read line by line, all pixels in one unit.
    shape : (h, w, c)
        Of an image.
    draws : Tensor (*r, b, 6)
        Numbers in [-1, 1], shares of the most it may be: angle, shear, scale along both sides, shift along both.

    Returns
    -------
    Tensor (*r, b, h w c)
        Between pixels interpolated linearly; what comes from outside the image has the nearest pixel's value.
    """
    images = images_of(x.reshape(-1, x.shape[-1]), shape)
    maps = _maps(draws.reshape(-1, N_MOVES), shape[0] / shape[1])
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return rows_of(F.grid_sample(images, grid, padding_mode="border", align_corners=False)).reshape(x.shape)


def _maps(draws: Tensor, aspect: float) -> Tensor:
    """Return affine maps (n, 2, 3) in torch's units, in which both sides go from -1 to 1 whatever their length."""
    angle, shear = ANGLE * draws[:, 0], SHEAR * draws[:, 1]
    wide, high = 1 + SCALE * draws[:, 2], 1 + SCALE * draws[:, 3]
    cos, sin, (right, down) = angle.cos(), angle.sin(), SHIFT * draws[:, 4:].T
    first = torch.stack([wide * cos, (wide * shear - sin) * aspect, right], -1)
    return torch.stack([first, torch.stack([sin / aspect, high * cos, down], -1)], -2)
