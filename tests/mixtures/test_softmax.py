import pytest
import torch

from steinmix.mixtures import SoftmaxMixture


@pytest.fixture
def mixture(normal):
    mixture = SoftmaxMixture(4, 3).double()
    with torch.no_grad():
        mixture.means.copy_(normal(4, 3))
    return mixture


def test_responsibilities_are_equation_10(mixture, normal):
    z = normal(6, 3)
    expected = torch.softmax(z @ mixture.means.T, -1)
    torch.testing.assert_close(mixture.responsibilities(z), expected)
    torch.testing.assert_close(mixture.log_responsibilities(z), expected.log())


@torch.no_grad()
def test_it_is_a_density(mixture, generator):
    """Its integral is 1, and its draws come from it: the mean of p over them is the integral of p^2."""
    drawn = mixture.sample(mixture.sample_component(200_000, generator), generator).float()
    mean = float(mixture.float().log_prob(drawn).exp().mean())
    grid = torch.linspace(-6, 6, 60)
    cube = torch.cartesian_prod(grid, grid, grid)
    density = mixture.log_prob(cube).exp()
    cell = float(grid[1] - grid[0]) ** 3
    assert float(density.sum()) * cell == pytest.approx(1, abs=0.01)
    assert mean == pytest.approx(float(density.square().sum()) * cell, rel=0.02)


def test_starts_are_directions(mixture, normal):
    means = normal(4, 3)
    mixture.set_moments_(means, torch.ones(4, 3))
    torch.testing.assert_close(mixture.means.detach(), means / means.norm(dim=-1, keepdim=True))


def test_the_directions_are_all_it_learns(mixture):
    assert [name for name, _ in mixture.named_parameters()] == ["means"]
    assert len(mixture.particles()) == 4
