import json
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steinmix import metrics
from steinmix.errors import ConfigError, DataError
from steinmix.random import Streams

# Five rows, three components; the last is never the most probable.
R = np.array([[0.8, 0.1, 0.1], [0.6, 0.2, 0.2], [0.5, 0.4, 0.1], [0.1, 0.9, 0.0], [0.0, 1.0, 0.0]])

quick = settings(max_examples=30, deadline=None, database=None)
sizes = st.tuples(st.integers(1, 40), st.integers(1, 6), st.integers(0, 10**6))


def responsibilities(n, m, seed):
    return Streams(seed).numpy("responsibilities").dirichlet(np.full(m, 0.4), size=n)


def test_occupancy_by_hand():
    hard, soft = metrics.occupancy(R)
    np.testing.assert_allclose(hard, [0.6, 0.4, 0.0])
    np.testing.assert_allclose(soft, [0.4, 0.52, 0.08])


def test_effective_components_in_analytic_cases():
    assert metrics.effective_components(np.eye(7)) == pytest.approx(7)
    assert metrics.effective_components(np.full((3, 4), 0.25)) == pytest.approx(4)
    assert metrics.effective_components(np.eye(5)[[2, 2, 2]]) == 1.0
    # shares 1/2, 1/4, 1/4: entropy 1.5 log 2
    assert metrics.effective_components(np.eye(3)[[0, 0, 1, 2]]) == pytest.approx(2**1.5)


def test_effective_components_is_the_entropy_of_the_mean_not_the_mean_entropy():
    p = R.mean(0)
    expected = torch.distributions.Categorical(torch.tensor(p)).entropy().exp().item()
    assert metrics.effective_components(R) == pytest.approx(expected)


def test_distinct_components_in_analytic_cases():
    assert metrics.distinct_components(np.eye(7)) == pytest.approx(7)
    assert metrics.distinct_components(np.full((3, 4), 0.25)) == pytest.approx(1)
    assert metrics.distinct_components(np.eye(5)[[2, 2, 2]]) == 1.0
    # two pairs of components that nobody can tell apart
    assert metrics.distinct_components([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]) == pytest.approx(2)


def test_distinct_components_are_the_effective_ones_less_the_doubt():
    each = torch.distributions.Categorical(torch.tensor(R)).entropy().mean().exp().item()
    assert metrics.distinct_components(R) == pytest.approx(metrics.effective_components(R) / each)


def test_a_share_that_vanishes_in_the_mean_counts_for_nothing():
    smallest = np.nextafter(0.0, 1.0)  # its mean over two rows is zero
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert metrics.distinct_components([[1.0, smallest], [1.0, 0.0]]) == 1.0


def test_closest_pair_by_hand():
    near = metrics.closest_pair([[0.0], [10.0], [4.0], [5.0]])  # distances 10 4 5 6 5 1, median 5
    assert near == metrics.ClosestPair((2, 3), 1.0, 0.2)


def test_closest_pair_equals_a_double_loop_and_scales():
    means = Streams(0).numpy("means").normal(size=(9, 4))
    distances = {(i, j): np.sqrt(((means[i] - means[j]) ** 2).sum()) for i in range(9) for j in range(i + 1, 9)}
    near = metrics.closest_pair(torch.tensor(means, requires_grad=True))
    assert near.pair == min(distances, key=distances.get)
    assert near.distance == pytest.approx(min(distances.values()))
    assert near.relative == pytest.approx(near.distance / np.median(list(distances.values())))
    assert metrics.closest_pair(7 * means).relative == pytest.approx(near.relative)


def test_closest_pair_when_means_coincide():
    assert metrics.closest_pair(np.ones((4, 2))) == metrics.ClosestPair((0, 1), 0.0, 0.0)
    far = 1e8 + np.array([[0.0], [1e-3], [50.0]])  # no cancellation far from the origin
    assert metrics.closest_pair(far).distance == pytest.approx(1e-3, rel=1e-4)


def test_overlap_by_hand():
    matrix, ambiguity = metrics.overlap(R)
    assert ambiguity == pytest.approx(1 - (0.8 + 0.6 + 0.5 + 0.9 + 1.0) / 5)
    # O_01 = (0.08 + 0.12 + 0.20 + 0.09 + 0) / (0.8 + 0.6 + 0.5 + 0.1); O_10 has the same numerator over 2.6
    assert matrix[0, 1] == pytest.approx(0.49 / 2.0)
    assert matrix[1, 0] == pytest.approx(0.49 / 2.6)


def test_overlap_in_analytic_cases():
    certain = metrics.overlap(np.eye(4))
    np.testing.assert_array_equal(certain.matrix, np.eye(4))
    assert certain.ambiguity == 0.0
    equal = metrics.overlap(np.full((5, 4), 0.25))
    np.testing.assert_allclose(equal.matrix, np.full((4, 4), 0.25))
    assert equal.ambiguity == pytest.approx(1 - 1 / 4)
    twins = metrics.overlap([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]).matrix  # components 0 and 1 are one
    np.testing.assert_allclose(twins, [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])


def test_overlap_of_a_component_without_mass_is_zero():
    matrix = metrics.overlap([[0.5, 0.5, 0.0]]).matrix
    np.testing.assert_array_equal(matrix[2], 0.0)
    np.testing.assert_array_equal(matrix[:, 2], 0.0)


def test_ambiguity_is_the_error_of_the_hard_assignment():
    """Draw every row's true component from its responsibilities: the argmax is wrong that often."""
    r = responsibilities(20_000, 4, seed=3)
    drawn = (Streams(3).numpy("draws").uniform(size=(len(r), 1)) > r.cumsum(1)).sum(1)
    wrong = drawn != r.argmax(1)
    assert abs(wrong.mean() - metrics.overlap(r).ambiguity) < 4 * wrong.std() / np.sqrt(len(r))


def test_dead_components_at_the_default_and_at_a_share():
    rows = np.eye(3)[[0] * 70 + [1] * 27 + [2] * 3]
    assert metrics.dead_components(rows) == [2]  # 0.03 < 0.1 / 3
    assert metrics.dead_components(np.vstack([rows, np.eye(3)[[2]]])) == []  # 4 / 101 > 0.1 / 3
    assert metrics.dead_components(rows, share=0.3) == [1, 2]
    assert metrics.dead_components(rows, share=0.03) == []
    assert metrics.dead_components(R) == [2]  # hard, not soft, occupancy


@given(sizes)
@quick
def test_bounds_and_sums(size):
    r = responsibilities(*size)
    m = r.shape[1]
    shares, shared = metrics.occupancy(r), metrics.overlap(r)
    assert shares.hard.sum() == pytest.approx(1)
    assert shares.soft.sum() == pytest.approx(1)
    np.testing.assert_allclose(shared.matrix.sum(1), 1)
    assert 1 - 1e-9 <= metrics.effective_components(r) <= m + 1e-9
    assert -1e-9 <= shared.ambiguity <= 1 - 1 / m + 1e-9


@given(sizes)
@quick
def test_a_permutation_of_components_permutes_the_answers(size):
    r = responsibilities(*size)
    order = Streams(size[2]).numpy("order").permutation(r.shape[1])
    shuffled = r[:, order]
    np.testing.assert_allclose(metrics.occupancy(shuffled).hard, metrics.occupancy(r).hard[order])
    np.testing.assert_allclose(metrics.overlap(shuffled).matrix, metrics.overlap(r).matrix[np.ix_(order, order)])
    assert metrics.effective_components(shuffled) == pytest.approx(metrics.effective_components(r))
    assert {int(order[k]) for k in metrics.dead_components(shuffled)} == set(metrics.dead_components(r))


def test_diagnose_gathers_plain_values():
    log = metrics.diagnose(torch.tensor(R), means=torch.tensor([[0.0], [10.0], [4.0]]))
    assert json.loads(json.dumps(log)) == log
    assert log["occupancy"] == pytest.approx([0.4, 0.52, 0.08])
    assert log["hard_occupancy"] == pytest.approx([0.6, 0.4, 0.0])
    assert log["effective_components"] == metrics.effective_components(R)
    assert log["dead_components"] == [2]
    assert log["ambiguity"] == metrics.overlap(R).ambiguity
    # rows of O: 0 gives 0.49 / 2 to 1, 2 gives 0.25 / 0.4 to 0
    assert log["confused_pair"] == [2, 0]
    assert log["confusion"] == pytest.approx(0.25 / 0.4)
    assert (log["closest_pair"], log["closest_distance"]) == ([0, 2], 4.0)
    assert log["closest_relative"] == pytest.approx(4 / 6)


def test_diagnose_without_means_and_with_one_component():
    assert not any(key.startswith("closest") for key in metrics.diagnose(R))
    log = metrics.diagnose(np.ones((4, 1)), means=[[1.0, 2.0]])
    assert log == {
        "occupancy": [1.0],
        "hard_occupancy": [1.0],
        "effective_components": 1.0,
        "distinct_components": 1.0,
        "dead_components": [],
        "ambiguity": 0.0,
    }


def test_low_precision_is_accepted():
    r = torch.tensor(responsibilities(100, 5, seed=0)).bfloat16()
    assert metrics.effective_components(r) == pytest.approx(metrics.effective_components(r.double()), abs=1e-6)
    assert metrics.occupancy(r).soft.sum() == pytest.approx(1, abs=1e-12)
    assert metrics.overlap([[1.004, 0.0]]).ambiguity == 0.0


@pytest.mark.parametrize(
    "function",
    [
        metrics.occupancy,
        metrics.effective_components,
        metrics.distinct_components,
        metrics.overlap,
        metrics.dead_components,
        metrics.diagnose,
    ],
)
def test_logits_are_not_responsibilities(function):
    with pytest.raises(DataError, match="expected probabilities"):
        function([[2.0, 1.0], [0.0, 3.0]])


def test_unusable_means_and_share():
    with pytest.raises(DataError, match="means: got 1 row, expected at least two"):
        metrics.closest_pair([[0.0, 1.0]])
    with pytest.raises(DataError, match="means: got 2 rows, expected 3, one for each component"):
        metrics.diagnose(R, means=[[0.0], [1.0]])
    with pytest.raises(DataError, match=r"means: got shape \(3,\), expected 2 axes"):
        metrics.diagnose(R, means=[0.0, 1.0, 2.0])
    with pytest.raises(ConfigError, match="share: got 2, expected a number from 0 to 1"):
        metrics.dead_components(R, share=2)
