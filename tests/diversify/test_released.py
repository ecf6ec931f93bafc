"""What the released deep code does: the smoothing is right, the sign of the second term is not."""

import pytest
import torch

import steinmix
from steinmix import NSVGD, RBF, ConfigError, diversify
from steinmix.diversify.released import ReleasedNSVGD


def released_update(theta, loss_gradient, temperature):
    """``lib/ops.py`` as its deep callers use it, in loops: what the optimiser descends on."""
    m = len(theta)
    squared = [[float((a - b).square().sum()) for b in theta] for a in theta]
    ordered = sorted(v for row in squared for v in row)
    half = m * m // 2
    h = max(1e-6, ordered[half] if m % 2 else (ordered[half - 1] + ordered[half]) / 2)
    rows = []
    for i in range(m):
        total, mass = torch.zeros_like(theta[0]), 0.0
        for j in range(m):
            k = float(torch.exp(torch.tensor(-squared[i][j] / h, dtype=theta.dtype)))
            total = total + k * loss_gradient[j] + temperature * 2 / h * k * (theta[i] - theta[j])
            mass += k
        rows.append(total / mass)
    return torch.stack(rows)


@pytest.mark.parametrize("m", [2, 5, 6])
def test_the_direction_is_that_of_the_code(normal, m):
    theta, gradient = normal(m, 3), normal(m, 3)
    torch.testing.assert_close(-ReleasedNSVGD(0.5)(theta, -gradient), released_update(theta, gradient, 0.5))


def test_it_is_nsvgd_but_for_the_sign_of_the_temperature(normal):
    theta, ascent = normal(6, 3), normal(6, 3)
    kernel = RBF("median_squared_with_zeros")
    smoothing = NSVGD(0.0, kernel, row_normalised=True)(theta, ascent)
    paper = NSVGD(6 * 0.5, kernel, row_normalised=True)(theta, ascent)
    torch.testing.assert_close(ReleasedNSVGD(0.5)(theta, ascent), 2 * smoothing - paper)
    torch.testing.assert_close(ReleasedNSVGD(0.0)(theta, ascent), smoothing)


def test_through_the_real_loop_particles_gather(normal, optimise):
    positions = optimise(normal(8, 3), ReleasedNSVGD(0.5), steps=20)
    spread = torch.stack([torch.pdist(theta).square().mean() for theta in positions])
    assert bool((spread.diff() < 0).all())


def test_particles_and_gradient_are_of_one_shape(normal):
    with pytest.raises(ConfigError, match="expected both of one shape"):
        ReleasedNSVGD()(normal(5, 3), normal(5, 1))


def test_nobody_meets_it_by_chance():
    assert not hasattr(steinmix, "ReleasedNSVGD")
    assert "ReleasedNSVGD" not in diversify.__all__


def test_a_wrong_temperature_is_named():
    with pytest.raises(ConfigError, match="temperature is -1"):
        ReleasedNSVGD(-1.0)
