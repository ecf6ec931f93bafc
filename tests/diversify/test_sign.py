"""The sign, where it counts: particles on which nothing acts but the diversifier, in the real loop, which minimises."""

import pytest
import torch

from steinmix import IMQ, NSVGD, RBF, LogDet, NoDiversity, Pairwise, Particles

REPELLENTS = {
    "nsvgd": NSVGD(1.0),
    "nsvgd imq": NSVGD(1.0, IMQ()),
    "nsvgd row_normalised": NSVGD(1.0, row_normalised=True),
    "nsvgd code bandwidth": NSVGD(1.0, RBF("median_squared_with_zeros")),
    "pairwise": Pairwise(0.1),
    "logdet": LogDet(0.1),
}


def spread(positions):
    """Mean squared distance over pairs, before and after each step (t,)."""
    return torch.stack([torch.pdist(theta).square().mean() for theta in positions])


@pytest.fixture
def attraction(monkeypatch):
    """The library without its minus: what a loss gradient gives a diversifier that expects an ascent direction."""

    def without_the_minus(self, diversifier):
        gradient = self._matrix(torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters)
        self._store(diversifier(self.rows(), gradient))

    monkeypatch.setattr(Particles, "diversify_", without_the_minus)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("name", REPELLENTS)
def test_where_nothing_else_acts_particles_spread_at_every_step(normal, optimise, name, optimizer):
    lr = 0.1 if optimizer == "sgd" else 0.01
    found = spread(optimise(normal(12, 3), REPELLENTS[name], steps=40, optimizer=optimizer, lr=lr))
    assert bool((found.diff() > 0).all())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("name", REPELLENTS)
@pytest.mark.usefixtures("attraction")
def test_without_the_minus_they_would_gather(normal, optimise, name, optimizer):
    lr = 0.1 if optimizer == "sgd" else 0.01
    found = spread(optimise(normal(12, 3), REPELLENTS[name], steps=10, optimizer=optimizer, lr=lr))
    assert bool((found.diff() < 0).all())


@pytest.mark.parametrize("name", REPELLENTS)
def test_one_step_moves_two_particles_apart_along_their_line(optimise, name):
    start = torch.tensor([[0.0, 0.0], [0.5, 0.0]], dtype=torch.float64)
    (left, right) = optimise(start, REPELLENTS[name], steps=1)[-1]
    assert left[0] < 0 < 0.5 < right[0]
    assert left[1] == right[1] == 0
    assert left[0] == pytest.approx(0.5 - float(right[0]))


def test_with_no_diversifier_nothing_moves(normal, optimise):
    start = normal(5, 2)
    for diversifier in (None, NoDiversity()):
        assert torch.equal(optimise(start, diversifier, steps=3)[-1], start)
