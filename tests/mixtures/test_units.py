"""Steps in the units of components do not know in which units the points are."""

import pytest
import torch

from steinmix.mixtures import CholeskyMixture, step_in_own_units
from steinmix.mixtures.gaussian import SMALLEST_SCALE

NARROW = 100 * torch.tensor([[3.0, 0.0, 0.0], [2.0, 0.02, 0.0], [-1.0, 0.05, 0.1]]).double()


def stepped(optimizer, points, factors):
    """Return means and factors after a few steps from components at the origin with these factors (m, d, d)."""
    mixture = CholeskyMixture(len(factors), points.shape[1]).double()
    with torch.no_grad():
        diagonal = factors.diagonal(dim1=-2, dim2=-1) - SMALLEST_SCALE
        mixture.raw_tril.copy_(factors.tril(-1) + torch.diag_embed(diagonal.expm1().log()))
    steps = optimizer(mixture.parameters())
    step_in_own_units(steps, mixture)
    for _ in range(3):
        (-mixture.log_prob(points).mean()).backward()
        steps.step()
        steps.zero_grad()
    return mixture.means.detach(), mixture.scale_tril().detach()


@pytest.mark.parametrize(
    "optimizer", [lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9), lambda p: torch.optim.Adam(p, lr=1e-3)]
)
def test_points_turned_by_a_matrix_give_components_turned_by_it(normal, optimizer):
    points = normal(40, 3) + 0.3
    factors = torch.stack([torch.eye(3).double(), 0.5 * torch.eye(3).double()])
    means, scales = stepped(optimizer, points, factors)
    turned_means, turned_scales = stepped(optimizer, points @ NARROW.T, NARROW @ factors)
    back = torch.linalg.inv(NARROW)
    assert float(means.abs().min()) > 1e-6
    torch.testing.assert_close(turned_means @ back.T, means, rtol=0.01, atol=1e-5)
    torch.testing.assert_close(back @ turned_scales, scales, rtol=1e-3, atol=1e-3)
    assert float((scales - factors).abs().max()) > 2e-3


def test_a_step_at_the_smallest_scale_is_one_of_the_part_above_it():
    """The diagonal of a factor cannot go below that scale, and its parameter moves by a rate there all the same."""
    mixture = CholeskyMixture(1, 1)
    with torch.no_grad():
        mixture.raw_tril.fill_(-12.0)
    steps = torch.optim.Adam(mixture.parameters(), lr=0.01)
    step_in_own_units(steps, mixture)
    (-mixture.log_prob(torch.zeros(5, 1)).mean()).backward()
    steps.step()
    assert 0 < -12.0 - mixture.raw_tril.item() < 0.011
