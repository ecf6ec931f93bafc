import numpy as np
import pytest
import torch
from torch import distributions as dist

from steinmix.errors import DataError
from steinmix.metrics import mode_recovering_error, total_variance, variance_ratio
from steinmix.random import Streams


def mixture(shape, name="mixture"):
    """Random means and variances (*r, m, d) and weights (*r, m)."""
    rng = Streams(0).numpy(name)
    means, variances = rng.normal(size=shape) * 3, rng.gamma(2.0, size=shape)
    return means, variances, rng.dirichlet(np.ones(shape[-2]), size=shape[:-2])


def torch_total_variance(means, variances, weights):
    parts = dist.Independent(dist.Normal(torch.tensor(means), torch.tensor(variances).sqrt()), 1)
    whole = dist.MixtureSameFamily(dist.Categorical(torch.tensor(weights)), parts)
    return whole.variance.sum(-1).numpy()


def test_mode_error_by_hand():
    true = [[0.0, 0.0], [4.0, 0.0], [9.0, 0.0]]
    learnt = [[0.0, 3.0], [4.0, 0.0], [50.0, 0.0]]
    # nearest: 3 (to the first), 0, 5 (to the second, which is shared); the third costs nothing
    assert mode_recovering_error(true, learnt) == pytest.approx(8 / 3)
    assert isinstance(mode_recovering_error(true, learnt), float)


def test_mode_error_is_zero_for_any_order_of_the_true_modes():
    means, _, _ = mixture((6, 2))
    assert mode_recovering_error(means, means[::-1]) == 0.0


def test_mode_error_equals_a_double_loop_over_restarts():
    true, learnt = mixture((5, 2))[0], mixture((3, 4, 7, 2), "learnt")[0]
    got = mode_recovering_error(torch.tensor(true), torch.tensor(learnt))
    assert got.shape == (3, 4)
    for r in np.ndindex(3, 4):
        expected = np.mean([min(np.sqrt(((t - q) ** 2).sum()) for q in learnt[r]) for t in true])
        assert got[r] == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(4, 1), (3, 5), (2, 3, 4, 2)])
def test_total_variance_equals_torch(shape):
    means, variances, weights = mixture(shape)
    got = total_variance(means, variances, weights)
    np.testing.assert_allclose(got, torch_total_variance(means, variances, weights), rtol=1e-12)


def test_total_variance_equals_that_of_a_sample():
    means, variances, weights = mixture((4, 2))
    rng, n = Streams(1).numpy("sample"), 200_000
    k = rng.choice(4, p=weights, size=n)
    x = means[k] + np.sqrt(variances[k]) * rng.normal(size=(n, 2))
    squares = ((x - x.mean(0)) ** 2).sum(1)
    assert abs(squares.mean() - total_variance(means, variances, weights)) < 4 * squares.std() / np.sqrt(n)


def test_total_variance_takes_uniform_weights_and_broadcasts_variances():
    means, _, _ = mixture((2, 3, 2))
    expected = torch_total_variance(means, np.full((2, 3, 2), 1.7), np.full((2, 3), 1 / 3))
    np.testing.assert_allclose(total_variance(means, 1.7), expected)
    np.testing.assert_allclose(total_variance(means, np.full((3, 1), 1.7), np.full(3, 1 / 3)), expected)


def test_variance_ratio_is_one_at_the_truth_and_by_hand():
    true = [[-2.0], [2.0]]  # total variance 4 + 1
    assert variance_ratio(true, true, 1.0) == pytest.approx(1.0)
    assert variance_ratio(true, [[1.0], [1.0]], 2.0) == pytest.approx(2 / 5)
    assert variance_ratio(true, [[0.0], [4.0]], [[1.0], [3.0]], [0.25, 0.75]) == pytest.approx(5.5 / 5)
    assert variance_ratio(true, true, 1.0, true_weights=[1.0, 0.0]) == pytest.approx(5 / 1)


def test_variance_ratio_per_restart():
    true = np.linspace(-5, 5, 6)[:, None]
    means, variances, weights = mixture((3, 6, 1))
    got = variance_ratio(true, means, variances, weights)
    np.testing.assert_allclose(
        got, torch_total_variance(means, variances, weights) / (np.mean(true**2) + 1), rtol=1e-12
    )


def test_true_variance_two_gives_the_number_of_the_authors_code():
    """Centred grid, spacing 2, m = 6: about 7 % lower, as a factor 1 - 1 / (v + 1)."""
    true = 2.0 * (np.arange(6) - 2.5)[:, None]
    means, variances, _ = mixture((6, 1))
    right = variance_ratio(true, means, variances)
    theirs = variance_ratio(true, means, variances, true_variances=2.0)
    v = np.mean(true**2) + 1
    assert theirs / right == pytest.approx(1 - 1 / (v + 1))
    assert theirs / right == pytest.approx(0.93, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.0, 1.0], [[0.0]]), r"true_means: got shape \(2,\), expected \(\*r, m, d\)"),
        (([[0.0]], [[0.0, 1.0]]), "means: got 2 dimensions, expected 1 as in true_means"),
        ((np.zeros((2, 3, 1)), np.zeros((4, 3, 1))), r"means: got \(4,\) against \(2,\), expected"),
        (([[np.inf]], [[0.0]]), "true_means: got 1 values that are NaN or infinite, expected finite"),
    ],
)
def test_mode_error_rejects(arguments, message):
    with pytest.raises(DataError, match=message):
        mode_recovering_error(*arguments)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"variances": -1.0}, "variances: got -1, expected none below zero"),
        ({"variances": np.ones((2, 5))}, r"variances: got shape \(2, 5\), expected one that broadcasts"),
        ({"variances": np.ones((3, 1))}, r"variances: got \(3, 1\) against \(2, 1\), expected a shape"),
        (
            {"variances": np.ones((4, 2, 3))},
            r"variances: got shape \(4, 2, 3\), expected one that broadcasts",
        ),
        ({"weights": [1.0]}, r"weights: got shape \(1,\), expected \(\*r, 2\)"),
        ({"weights": [2.0, -1.0]}, r"weights: got sums 1.0 and minimum -1, expected probabilities"),
        ({"weights": [0.2, 0.2]}, r"weights: got sums 0.4 and minimum 0.2, expected probabilities"),
        ({"weights": np.full((3, 2), 0.5), "variances": np.ones((4, 2, 1))}, r"weights: got \(3, 2, 1\)"),
    ],
)
def test_total_variance_rejects(keywords, message):
    with pytest.raises(DataError, match=message):
        total_variance([[0.0], [1.0]], **keywords)


def test_variance_ratio_rejects():
    with pytest.raises(DataError, match="true_means: got a mixture without variance"):
        variance_ratio([[0.0]], [[1.0]], 1.0, true_variances=0.0)
    with pytest.raises(DataError, match=r"means: got \(3,\) against \(2,\)"):
        variance_ratio(np.zeros((2, 1, 1)), np.zeros((3, 1, 1)), 1.0)
