"""Images moved a little, beside SciPy's interpolation."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from steinmix.nn.moving import ANGLE, N_MOVES, SCALE, SHEAR, SHIFT, moved


def by_scipy(image, draws):
    """The image (h, w) as seen through a map of pixels, about the centre."""
    h, w = image.shape
    turn, shear = ANGLE * draws[0], SHEAR * draws[1]
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    sheared = np.array([[1, shear], [0, 1]])
    wide, high = 1 + SCALE * draws[2], 1 + SCALE * draws[3]
    rows, columns = np.mgrid[:h, :w]
    x, y = columns - (w - 1) / 2, rows - (h - 1) / 2
    # a column is first stretched and then turned; the shear adds to a row's x what its y asks for
    across = wide * rotation[0, 0] * x + (rotation[0, 1] + wide * sheared[0, 1]) * y + SHIFT * draws[4] * w / 2
    down = rotation[1, 0] * x + high * rotation[1, 1] * y + SHIFT * draws[5] * h / 2
    return map_coordinates(image, [down + (h - 1) / 2, across + (w - 1) / 2], order=1, mode="nearest")


@pytest.mark.parametrize("shape", [(9, 9, 1), (12, 7, 1), (8, 10, 3)])
def test_moves_are_affine_maps_of_pixels_with_the_borders_value_outside(rng, shape):
    x = rng.normal(size=(5, np.prod(shape)))
    draws = rng.uniform(-1, 1, size=(5, N_MOVES))
    found = moved(torch.from_numpy(x), shape, torch.from_numpy(draws)).numpy().reshape(5, *shape)
    for image, draw, seen in zip(x.reshape(5, *shape), draws, found, strict=True):
        for channel in range(shape[2]):
            np.testing.assert_allclose(seen[..., channel], by_scipy(image[..., channel], draw), atol=1e-10)


@pytest.mark.parametrize("number", range(N_MOVES))
def test_each_number_moves_and_none_leaves_the_image_alone(rng, number):
    x = torch.from_numpy(rng.normal(size=(3, 64)))
    draws = torch.zeros(3, N_MOVES, dtype=torch.float64)
    torch.testing.assert_close(moved(x, (8, 8, 1), draws), x)
    draws[:, number] = 1
    assert (moved(x, (8, 8, 1), draws) - x).abs().amax(-1).min() > 0.05


def test_a_shift_is_one_of_a_fourteenth_of_the_side(rng):
    image, draws = rng.normal(size=(14, 14)), torch.zeros(1, N_MOVES, dtype=torch.float64)
    draws[:, 4] = 1
    found = moved(torch.from_numpy(image.reshape(1, -1)), (14, 14, 1), draws).reshape(14, 14).numpy()
    np.testing.assert_allclose(found[:, :-1], image[:, 1:], atol=1e-12)
    np.testing.assert_allclose(found[:, -1], image[:, -1], atol=1e-12)


def test_stacked_rows_are_moved_each_by_its_own_map(rng):
    x, draws = torch.from_numpy(rng.normal(size=(2, 4, 64))), torch.from_numpy(rng.uniform(-1, 1, (2, 4, N_MOVES)))
    found = moved(x, (8, 8, 1), draws)
    for r in range(2):
        torch.testing.assert_close(found[r], moved(x[r], (8, 8, 1), draws[r]))
