import itertools

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from steinmix import DataError
from steinmix.metrics import align_labels, cluster_stability, consensus_labels, pairwise_agreement, row_stability


@pytest.fixture
def partitions(rng):
    """Noisy copies of one partition of 60 rows into 4, each with its clusters renamed."""
    truth = rng.integers(4, size=60)
    copies = []
    for _ in range(5):
        noisy = np.where(rng.random(60) < 0.2, rng.integers(4, size=60), truth)
        copies.append(rng.permutation(4)[noisy])
    return np.stack(copies)


def test_agreement_is_the_adjusted_rand_index_of_each_pair(partitions):
    matrix = pairwise_agreement(partitions)
    expected = [[adjusted_rand_score(a, b) for a in partitions] for b in partitions]
    np.testing.assert_allclose(matrix, expected)


def test_alignment_is_the_best_of_all_renamings(partitions):
    aligned = align_labels(partitions, partitions[0])
    for labels, found in zip(partitions, aligned):
        best = max((np.array(p)[labels] == partitions[0]).sum() for p in itertools.permutations(range(4)))
        assert (found == partitions[0]).sum() == best
        assert len({*zip(labels.tolist(), found.tolist())}) == 4, "one name for one cluster"


def test_what_has_no_partner_votes_for_nothing():
    partitions, reference = np.array([[0, 1, 2, 3]]), np.array([0, 0, 1, 1])
    aligned = align_labels(partitions, reference)
    assert sorted(aligned[0].tolist()) == [-1, -1, 0, 1]
    assert consensus_labels(partitions, reference).tolist() == [0, 0, 1, 1]


def test_consensus_is_the_majority_and_the_reference_among_equals():
    reference = np.array([0, 0, 0, 1, 1, 1])
    one, other = np.array([1, 1, 1, 0, 0, 1]), np.array([0, 0, 1, 1, 1, 0])  # as `reference` but for the last; two
    assert consensus_labels(np.stack([reference, one]), reference).tolist() == [0, 0, 0, 1, 1, 1]
    assert consensus_labels(np.stack([reference, one, other]), reference).tolist() == [0, 0, 0, 1, 1, 0]


def test_names_of_clusters_mean_nothing(partitions, rng):
    renamed = np.stack([partitions[0], *(rng.permutation(4)[p] for p in partitions[1:])])
    for figure in (consensus_labels, row_stability):
        np.testing.assert_array_equal(figure(partitions, partitions[0]), figure(renamed, partitions[0]))
    one, other = (cluster_stability(p[1:], p[0], 4) for p in (partitions, renamed))
    np.testing.assert_array_equal(one, other)


def test_cluster_stability_is_the_mean_of_the_best_jaccard_index(partitions):
    reference, others = partitions[0], partitions[1:]
    sets = [[set(np.flatnonzero(p == k)) for k in range(4)] for p in others]
    for c, found in enumerate(cluster_stability(others, reference, 4)):
        own = set(np.flatnonzero(reference == c))
        assert found == pytest.approx(np.mean([max(len(own & b) / len(own | b) for b in p) for p in sets]))


def test_row_stability_is_the_share_of_the_others_that_agree(partitions):
    aligned = align_labels(partitions[1:], partitions[0])
    expected = [np.mean([a[i] == partitions[0][i] for a in aligned]) for i in range(60)]
    np.testing.assert_allclose(row_stability(partitions[1:], partitions[0]), expected)


def test_nothing_is_known_without_others_or_rows():
    reference = np.array([0, 0, 2])
    none = np.empty((0, 3), np.int64)
    assert np.isnan(cluster_stability(none, reference, 3)).all()
    assert np.isnan(row_stability(none, reference)).all()
    assert np.isnan(cluster_stability(reference[None], reference, 4)).tolist() == [False, True, False, True]


@pytest.mark.parametrize("wrong", [[0, 1], [[0.0, 1.0]], [[-1, 0]], np.empty((0, 3), int)])
def test_wrong_partitions_are_refused(wrong):
    with pytest.raises(DataError, match="whole numbers"):
        pairwise_agreement(wrong)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32])
def test_labels_of_narrow_types_count_as_others_do(dtype, rng):
    reference = rng.integers(20, size=2000)
    partitions = np.stack([reference, rng.permutation(20)[reference]])
    narrow, own = partitions.astype(dtype), reference.astype(dtype)
    assert cluster_stability(narrow, own, 20).tolist() == [1.0] * 20
    assert (row_stability(narrow, own) == 1).all()
    for figure in (align_labels, consensus_labels):
        np.testing.assert_array_equal(figure(narrow, own), figure(partitions, reference))


@pytest.mark.parametrize("wrong", [[0, 1], [0.0, 1.0, 1.0], [0, -1, 1], [[0, 1, 1]], []])
def test_a_wrong_reference_is_refused(wrong):
    partitions = np.array([[0, 1, 1]])
    for figure in (align_labels, consensus_labels, row_stability, lambda p, r: cluster_stability(p, r, 2)):
        with pytest.raises(DataError, match=r"^reference"):
            figure(partitions, np.array(wrong))


def test_a_reference_of_more_clusters_than_said_is_refused():
    with pytest.raises(DataError, match=r"label 2; expected labels below n_clusters=2\.$"):
        cluster_stability(np.array([[0, 1, 1]]), np.array([0, 1, 2]), 2)
