import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch

from steinmix import metrics
from steinmix.errors import ConfigError, DataError
from steinmix.random import Streams


def test_five_points_by_hand():
    truth, scores = [1, 0, 1, 0, 0], [5.0, 4.0, 3.0, 2.0, 1.0]
    got = metrics.detection_scores(truth, scores, share=0.5)
    # median 3, strictly above it: rows 0 and 1
    assert got["threshold"] == 3.0
    assert (got["precision"], got["recall"], got["f1"]) == (0.5, 0.5, 0.5)
    assert got["auroc"] == pytest.approx(5 / 6)  # of six pairs only (3, 4) is wrong
    assert got["average_precision"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_precision_and_recall_are_not_swapped():
    precision, recall, f1 = metrics.precision_recall_f1([1, 1, 1, 0], [1, 0, 0, 0])
    assert (precision, recall, f1) == (1.0, pytest.approx(1 / 3), pytest.approx(0.5))


def test_undefined_ratios_are_zero():
    assert metrics.precision_recall_f1([1, 0], [1, 0]) == (1.0, 1.0, 1.0)
    assert metrics.precision_recall_f1([1, 0], [0, 0]) == (0.0, 0.0, 0.0)
    assert metrics.precision_recall_f1([0, 0], [0, 0]) == (0.0, 0.0, 0.0)


def test_threshold_is_strict_for_ties():
    """Half the rows share the threshold's value; none of them is flagged."""
    got = metrics.detection_scores([0, 0, 1, 1], [1.0, 2.0, 2.0, 2.0], share=0.5)
    assert got["threshold"] == 2.0
    assert got["recall"] == 0.0


def test_share_flags_that_share_of_the_reference_rows():
    rng = Streams(0).numpy("scores")
    scores, truth = rng.normal(size=1000), rng.integers(2, size=1000)
    assert (scores > metrics.anomaly_threshold(scores, 0.2)).mean() == pytest.approx(0.2)
    reference = scores + 10
    got = metrics.detection_scores(truth, scores, share=0.2, reference_scores=reference)
    assert got["threshold"] == metrics.anomaly_threshold(reference, 0.2)
    assert got["recall"] == 0.0


def test_a_threshold_may_be_given():
    got = metrics.detection_scores([0, 0, 1, 1], [1.0, 2.0, 3.0, 4.0], share=0.1, threshold=2.5)
    assert (got["threshold"], got["recall"], got["precision"]) == (2.5, 1.0, 1.0)


@pytest.mark.parametrize(
    ("labels", "told"),
    [([0, 1, 1], True), ([False, True], True), ([0.0, 1.0], True), ([0, 0], False), ([-1, 1], False), (["a"], False)],
)
def test_only_ones_among_noughts_mark_outliers(labels, told):
    assert metrics.marks_outliers(labels) is told


def test_precision_follows_from_recall_at_a_fixed_share():
    """P = R (A / N) / share, identically, when the judged rows set the threshold."""
    rng = Streams(1).numpy("scores")
    truth = rng.uniform(size=1000) < 0.3
    got = metrics.detection_scores(truth, torch.tensor(rng.normal(size=1000) + truth), share=0.2)
    assert got["precision"] == pytest.approx(got["recall"] * truth.mean() / 0.2)
    assert got["f1"] == pytest.approx(2 / (1 / got["precision"] + 1 / got["recall"]))


def test_auroc_is_the_share_of_ordered_pairs_with_ties_half():
    rng = Streams(2).numpy("scores")
    truth, scores = rng.integers(2, size=60), rng.integers(6, size=60)
    a, b = scores[truth == 1][:, None], scores[truth == 0]
    expected = (a > b).mean() + 0.5 * (a == b).mean()
    assert metrics.area_under_roc(truth, scores) == pytest.approx(expected)
    assert metrics.area_under_roc(truth, -scores) == pytest.approx(1 - expected)


def test_average_precision_is_the_mean_precision_at_the_anomalies():
    rng = Streams(3).numpy("scores")
    truth, scores = rng.integers(2, size=60), rng.normal(size=60)
    ranked = truth[np.argsort(-scores)]
    precision = ranked.cumsum() / np.arange(1, 61)
    assert metrics.average_precision(truth, scores) == pytest.approx(precision[ranked == 1].mean())


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, "0.2", None])
def test_unusable_share(share):
    with pytest.raises(ConfigError, match=r"share: got .*, expected a number between 0 and 1"):
        metrics.anomaly_threshold([1.0, 2.0], share)
    for rated in (metrics.false_discovery_control, lambda p, rate: metrics.fewest_discoveries(10, 10, rate)):
        with pytest.raises(ConfigError, match=r"rate: got .*, expected a number between 0 and 1"):
            rated([0.1, 0.2], share)


def test_a_threshold_that_is_no_number_is_refused():
    with pytest.raises(ConfigError, match="threshold: got NaN, which no score exceeds"):
        metrics.detection_scores([0, 1, 1], [1.0, 2.0, 3.0], threshold=float("nan"))
    assert metrics.detection_scores([0, 1, 1], [1.0, 2.0, 3.0], threshold=float("inf"))["recall"] == 0


def test_labels_of_any_kind_may_be_asked_whether_they_mark_outliers():
    assert metrics.marks_outliers(torch.tensor([0.0, 1.0], requires_grad=True))
    for others in (np.array([None, 1, "a"], dtype=object), ["0", "1"], [0, 0], [0, 1, 2]):
        assert not metrics.marks_outliers(others)


@pytest.mark.parametrize("score", [metrics.area_under_roc, metrics.average_precision, metrics.detection_scores])
@pytest.mark.parametrize(
    ("truth", "scores", "message"),
    [
        ([1, -1], [0.0, 1.0], "labels_true: got the values 1, -1, expected only 0 and 1"),
        (["bad", "good"], [0.0, 1.0], "labels_true: got the values 'bad', 'good', expected only 0 and 1"),
        ([0, 0], [0.0, 1.0], "labels_true: got 0 anomalies in 2 rows, expected both classes"),
        ([0, 1], [0.0, 1.0, 2.0], "got 2 rows in labels_true, 3 rows in scores; expected the same"),
        ([0, 1], [0.0, np.nan], "scores: got 1 values that are NaN or infinite, expected finite"),
        ([0, 1], [[0.0], [1.0]], r"scores: got shape \(2, 1\), expected 1 axes"),
    ],
)
def test_unusable_data(score, truth, scores, message):
    with pytest.raises(DataError, match=message):
        score(truth, scores)


def test_conformal_p_values_count_the_calibration_rows_above(rng):
    scores, calibration = rng.integers(0, 9, 40).astype(float), rng.integers(0, 9, 25).astype(float)
    expected = [(1 + sum(c >= s for c in calibration)) / 26 for s in scores]
    np.testing.assert_allclose(metrics.conformal_pvalues(scores, calibration), expected)


def test_conformal_p_values_of_infinite_scores_are_by_rank():
    assert metrics.conformal_pvalues([np.inf, 2.0, -np.inf], [1.0, np.inf, 3.0]).tolist() == [0.5, 0.75, 1.0]
    with pytest.raises(DataError, match="scores: got 1 values"):
        metrics.conformal_pvalues([np.nan, 2.0], [1.0])


def test_conformal_p_values_are_valid_for_exchangeable_rows(rng):
    p = np.concatenate([metrics.conformal_pvalues(rng.normal(size=20), rng.normal(size=30)) for _ in range(500)])
    for t in (0.05, 0.1, 0.5):
        assert (p <= t).mean() <= t + 0.015


def test_false_discovery_control_is_the_step_up_rule(rng):
    from scipy.stats import false_discovery_control as adjusted

    p = np.r_[rng.random(80), rng.random(20) ** 6]
    for rate in (0.05, 0.2, 0.5):
        assert np.array_equal(metrics.false_discovery_control(p, rate), adjusted(p) <= rate)
    assert not metrics.false_discovery_control([0.5, 0.9], 0.1).any()
    assert metrics.false_discovery_control([0.0, 1.0], 0.1).tolist() == [True, False]  # both ends are p-values


@pytest.mark.parametrize(("n", "k", "rate"), [(15, 40, 0.05), (300, 99, 0.1), (7, 3, 0.3), (1000, 400, 0.05)])
def test_flags_come_in_numbers_or_not_at_all(n, k, rate):
    fewest = metrics.fewest_discoveries(n, k, rate)
    for odd in range(1, n + 1):
        p = metrics.conformal_pvalues(np.r_[np.ones(odd), np.zeros(n - odd)], np.full(k, 0.5))
        assert metrics.false_discovery_control(p, rate).any() == (odd >= fewest)


@pytest.mark.parametrize("rate", ["0.01", "0.05", "0.1", "0.29", "0.3", "0.7"])
def test_a_p_value_that_equals_its_bound_is_flagged(rate):
    for n, k in itertools.product(range(1, 100), range(1, 150)):
        exact = n / (Fraction(rate) * (k + 1))  # of the least p-value, 1 / (k + 1), so many are needed
        if exact > n or exact.denominator > 1:
            continue
        odd = int(exact)
        assert metrics.fewest_discoveries(n, k, float(rate)) == odd
        p = np.r_[np.full(odd, 1 / (k + 1)), np.ones(n - odd)]
        assert metrics.false_discovery_control(p, float(rate)).sum() == odd
        p[0] = 1.0
        assert odd == n or not metrics.false_discovery_control(p, float(rate)).any()


def test_flags_are_wrong_as_rarely_as_promised(rng):
    shares = []
    for _ in range(200):
        calibration, normal, odd = rng.normal(size=200), rng.normal(size=80), rng.normal(size=20) + 4
        flags = metrics.false_discovery_control(metrics.conformal_pvalues(np.r_[normal, odd], calibration), rate=0.2)
        shares.append(flags[:80].sum() / max(flags.sum(), 1))
    assert np.mean(shares) < 0.2 + 0.03


@pytest.mark.parametrize("rate", [0, 1, -0.1])
def test_a_wrong_rate(rate):
    with pytest.raises(ConfigError, match="rate"):
        metrics.false_discovery_control([0.1], rate)


def test_wrong_p_values_and_no_calibration():
    with pytest.raises(DataError, match="pvalues"):
        metrics.false_discovery_control([0.1, 1.2])
    with pytest.raises(DataError, match="calibration"):
        metrics.conformal_pvalues([0.1], [])


def test_consensus_is_the_mean_in_units_of_each_detectors_spread(rng):
    reference = rng.exponential(size=(3, 400))
    scores = rng.normal(size=(3, 7))
    expected = np.zeros(7)
    for one, seen in zip(scores, reference):
        expected += (one - np.median(seen)) / (np.percentile(seen, 99) - np.median(seen)) / 3
    np.testing.assert_allclose(metrics.consensus_scores(scores, reference), expected)
    # neither the unit nor the zero of a detector matters
    scale, shift = np.array([[0.1], [3.0], [1e3]]), np.array([[5.0], [-2.0], [0.0]])
    moved = metrics.consensus_scores(scale * scores + shift, scale * reference + shift)
    np.testing.assert_allclose(moved, expected)
    with pytest.raises(DataError, match=r"detectors \[1\]"):
        metrics.consensus_scores(scores, reference * [[1.0], [0.0], [1.0]])
    with pytest.raises(DataError, match="reference"):
        metrics.consensus_scores(scores, reference[:2])
