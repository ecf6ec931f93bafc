"""A diversifier whose strength follows a schedule: by epoch, alone and in a stack, and when a run resumes."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from steinmix import NSVGD, ConfigError, NoDiversity, NormalPrior
from steinmix.diversify.released import ReleasedNSVGD
from steinmix.training import Annealed, Fade


@dataclass
class Note:
    """Writes down the strength of every call."""

    alpha: float = 2.0
    seen: list[Any] = field(default_factory=list)

    def __call__(self, theta, ascent):
        self.seen.append(self.alpha)
        return ascent


def test_alpha_of_each_epoch_is_the_schedules_share():
    annealed = Annealed(NSVGD(2.0, prior=NormalPrior(1.0)), Fade(0.5), polish=False)
    assert [annealed.at(e, 8).alpha for e in range(6)] == pytest.approx([2, 1.5, 1, 0.5, 0, 0])
    assert annealed.at(3, 8) == NSVGD(0.5, prior=NormalPrior(1.0))
    assert annealed.diversifier.alpha == 2.0  # the setting stays what it was


def test_a_grid_of_alphas_is_annealed_as_one():
    grid = torch.tensor([1.0, 4.0])
    assert torch.equal(Annealed(NSVGD(grid)).at(1, 4).alpha, grid / 2)


def test_where_it_has_faded_the_plain_gradient_is_left():
    assert Annealed().at(4, 8) == NoDiversity()
    assert Annealed(polish=False).at(4, 8) == NSVGD(0.0)


def test_the_loop_anneals_by_epochs_of_the_phase(optimise, normal):
    note = Note()
    optimise(normal(3, 2), Annealed(note, Fade(1.0)), steps=4)
    assert note.seen == [2.0, 1.5, 1.0, 0.5]


def test_the_loop_takes_the_steps_of_each_strength_in_turn(optimise, normal):
    """F = 0: epoch 0 with alpha, epoch 1 with half of it, then rest."""
    start = normal(4, 2)
    found = optimise(start, Annealed(NSVGD(2.0), Fade(0.5)), steps=4, lr=0.1)
    for epoch, alpha in enumerate((2.0, 1.0, 0.0, 0.0)):
        step = NSVGD(alpha)(found[epoch], torch.zeros_like(start))
        torch.testing.assert_close(found[epoch + 1], found[epoch] + 0.1 * step)
    assert not torch.equal(found[2], found[1])


def test_a_diversifier_without_alpha_is_refused():
    with pytest.raises(ConfigError, match="got a ReleasedNSVGD; expected a diversifier with an alpha"):
        Annealed(ReleasedNSVGD())
