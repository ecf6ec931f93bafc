import math

import numpy as np
import pytest
import torch

from oracles import bandwidths as oracle
from steinmix.diversify import NSVGD, RBF, Fixed, Median, MedianLog, MedianSquaredWithZeros
from steinmix.diversify.bandwidths import as_bandwidth
from steinmix.errors import ConfigError

RULES = {"median": Median(), "median_squared_with_zeros": MedianSquaredWithZeros(), "median_log": MedianLog()}


def line(*places):
    return torch.tensor(places, dtype=torch.float64)[:, None]


@pytest.mark.parametrize(
    ("places", "h"),
    [
        ([5.0], 1.0),  # no pair
        ([0.0, 3.0], 3.0),  # one pair
        ([0.0, 1.0, 5.0], 4.0),  # 1, 4, 5
        ([0.0, 1.0, 3.0, 7.0], 3.5),  # 1, 2, 3 | 4, 6, 7
        ([0.0, 1.0, 3.0, 7.0, 15.0], 6.5),  # 1, 2, 3, 4, 6 | 7, 8, 12, 14, 15
    ],
)
def test_median_by_hand(places, h):
    assert float(Median()(line(*places))) == pytest.approx(h, rel=1e-12)


@pytest.mark.parametrize(
    ("places", "h"),
    [
        ([0.0, 2.0], 1.0),  # 0 0 | 4 4: the median is 2, h^2 = 1
        ([0.0, 1.0, 3.0], math.sqrt(0.5)),  # 0 0 0 1 [1] 4 4 9 9
        ([0.0, 1.0, 3.0, 7.0], math.sqrt(6.5 / 2)),  # 0x4 1 1 4 [4 9] 9 16 16 36 36 49 49
    ],
)
def test_median_squared_with_zeros_by_hand(places, h):
    assert float(MedianSquaredWithZeros()(line(*places))) == pytest.approx(h, rel=1e-12)


@pytest.mark.parametrize("m", [*range(2, 12), 40, 90])
@pytest.mark.parametrize("name", RULES)
def test_rules_equal_sorted_lists(normal, name, m):
    theta = normal(m, 3)
    assert float(RULES[name](theta)) == pytest.approx(getattr(oracle, name)(theta), rel=1e-6)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("m", [1, 2, 5, 100])
def test_identical_particles_have_a_positive_finite_bandwidth(name, m):
    h = RULES[name](torch.full((m, 3), 1e3))
    assert h.shape == ()
    assert 0 < float(h) < math.inf
    for normalised in (False, True):
        assert torch.isfinite(RBF(name).direction(torch.full((m, 3), 1e3), torch.ones(m, 3), 1.0, normalised)).all()


@pytest.mark.parametrize(
    ("name", "h"), [("median", 1e-6), ("median_log", 1e-6), ("median_squared_with_zeros", math.sqrt(1e-6 / 2))]
)
def test_the_bandwidth_of_identical_particles_is_the_smallest_of_its_rule(name, h):
    assert float(RULES[name](torch.full((5, 3), 1e3))) == pytest.approx(h, rel=1e-6)


@pytest.mark.parametrize("name", RULES)
def test_most_particles_may_have_merged(normal, name):
    """The median distance is then less than the rounding of what lies far from their centre."""
    theta = 1e-4 * normal(100, 4, dtype=torch.float32)
    theta[75:] += 10
    assert float(RULES[name](theta)) == pytest.approx(float(RULES[name](theta.double())), rel=1e-4)
    force = torch.zeros_like(theta)
    found, expected = (NSVGD(1.0, RBF(name))(t, force.to(t)) for t in (theta, theta.double()))
    assert float((found - expected).norm() / expected.norm()) < 1e-3


@pytest.mark.parametrize("name", RULES)
def test_random_pairs_stand_for_all_above_two_thousand(normal, name):
    theta = normal(2500, 2)
    squared = torch.pdist(theta).square().numpy()
    whole = np.concatenate([np.zeros(2500), squared, squared])
    exact = {
        "median": np.sqrt(np.median(squared)),
        "median_squared_with_zeros": np.sqrt(np.median(whole) / 2),
        "median_log": np.sqrt(np.median(whole) / 2 / np.log(2501)),
    }
    assert float(RULES[name](theta)) == pytest.approx(exact[name], rel=0.01)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("m", [1, 4, 70])
def test_rules_take_leading_axes(normal, name, m):
    theta = normal(2, 3, m, 2)
    h = RULES[name](theta)
    assert h.shape == (2, 3)
    for r in np.ndindex(2, 3):
        assert float(h[r]) == pytest.approx(float(RULES[name](theta[r])), rel=1e-9)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("m", [2, 9, 80])
def test_rules_are_lengths(normal, name, m):
    theta = normal(m, 3)
    assert float(RULES[name](7 * theta + 2)) == pytest.approx(7 * float(RULES[name](theta)), rel=1e-6)


def test_names_numbers_and_rules():
    assert {name: as_bandwidth(name) for name in RULES} == RULES
    assert as_bandwidth(2) == as_bandwidth(torch.tensor(2.0)) == as_bandwidth(torch.tensor([2.0])) == Fixed(2.0)
    rule = Median()
    assert as_bandwidth(rule) is rule
    assert Fixed(0.25)(torch.zeros(4, 5, 2)) == 0.25


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"'mode'.*median, median_log, median_squared_with_zeros"):
        RBF("mode")


@pytest.mark.parametrize("h", [0.0, -1.0, math.inf, math.nan, None, True, [1.0], torch.ones(2), Median])
def test_a_bandwidth_that_is_no_length_is_refused(h):
    with pytest.raises(ConfigError, match="length > 0"):
        RBF(h)
    with pytest.raises(ConfigError, match="length > 0"):
        NSVGD().set_params(kernel__bandwidth=h)
