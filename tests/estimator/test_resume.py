"""What may change between a fit and its resumption where settings are functions or objects of the user's own."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch

import steinmix as sm


def fast(params, lr):
    return torch.optim.SGD(params, lr=lr)


def slow(params, lr):
    return torch.optim.SGD(params, lr=lr / 10)


def at(rate):
    return lambda params, lr: torch.optim.SGD(params, lr=rate)


class Push:
    """A diversifier of a user's own, which holds itself."""

    def __init__(self, strength, inner=None):
        self.strength, self.inner, self.me = strength, inner, self

    def __call__(self, values, scores):
        return self.strength * scores


@dataclass(slots=True)
class Slotted:
    strength: float

    def __call__(self, values, scores):
        return self.strength * scores


@pytest.fixture
def fit(tmp_path, rng):
    x = rng.normal(size=(30, 3))

    def fit(optimizer="adam", diversifier=None):
        settings = sm.Training(epochs=2, optimizer=optimizer, progress=False, device="cpu")
        model = sm.GaussianMixture(2, diversifier=diversifier, collapse="ignore", training=settings, random_state=0)
        resume = any(tmp_path.iterdir())
        return model.fit(x, checkpoint=tmp_path, resume=resume)

    return fit


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (partial(torch.optim.SGD, momentum=0.9), partial(torch.optim.SGD, momentum=0.1), r"keywords\.momentum was 0.9"),
        (partial(torch.optim.SGD, momentum=0.9), partial(torch.optim.RMSprop, momentum=0.9), r"function was .*SGD"),
        (torch.optim.SGD, torch.optim.RMSprop, r"optimizer was .*SGD"),
        (fast, slow, r"optimizer was .*fast' and is now .*slow"),
        (lambda p, lr: torch.optim.SGD(p, lr=0.1), lambda p, lr: torch.optim.SGD(p, lr=0.2), r"optimizer\.code was"),
        (at(0.1), at(0.2), r"optimizer\.seen was .*0\.1.* and is now .*0\.2"),
    ],
)
def test_another_optimizer_is_refused_and_named(fit, before, after, said):
    first = fit(before)
    assert np.array_equal(fit(before).means_, first.means_)
    with pytest.raises(sm.ConfigError, match=said):
        fit(after)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Push, r"diversifier\.strength was 0.5 and is now 0.7"),
        (lambda strength: Push(1.0, Slotted(strength)), r"diversifier\.inner\.strength was 0.5"),
        (Slotted, r"diversifier\.strength was 0.5"),
    ],
)
def test_another_diversifier_of_ones_own_is_refused_and_named(fit, make, said):
    fit(diversifier=make(0.5))
    fit(diversifier=make(0.5))
    with pytest.raises(sm.ConfigError, match=said):
        fit(diversifier=make(0.7))


def test_a_file_that_was_read_in_blocks_is_not_taken_up_held(tmp_path, rng):
    """Its rows would come in another order: the result would be that of neither."""
    path = tmp_path / "x.csv"
    np.savetxt(path, rng.normal(size=(30, 3)), delimiter=",")

    def fit(resident_bytes, resume=True):
        settings = sm.Training(epochs=2, resident_bytes=resident_bytes, progress=False, device="cpu")
        model = sm.GaussianMixture(2, start="random", collapse="ignore", training=settings, random_state=0)
        return model.fit(path, checkpoint=tmp_path / "checkpoints", resume=resume)

    fit(0, resume=False)
    fit(10)
    with pytest.raises(sm.ConfigError, match=r"data\.read was 'in blocks, by training\.resident_bytes'"):
        fit(2**31)


def test_a_function_of_ones_own_is_known_again(fit):
    assert np.array_equal(fit(optimizer=at(0.1)).means_, fit(optimizer=at(0.1)).means_)


def test_a_file_goes_by_its_values_and_not_by_its_place(tmp_path, rng):
    np.save(tmp_path / "x.npy", rng.normal(size=(40, 3)))
    settings = {"collapse": "ignore", "training": sm.Training(epochs=2, progress=False), "random_state": 0}
    sm.GaussianMixture(2, **settings).fit(tmp_path / "x.npy", checkpoint=tmp_path / "points")
    (tmp_path / "x.npy").rename(tmp_path / "y.npy")
    sm.GaussianMixture(2, **settings).fit(tmp_path / "y.npy", checkpoint=tmp_path / "points", resume=True)
