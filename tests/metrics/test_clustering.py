from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steinmix import metrics
from steinmix.errors import ConfigError, DataError
from steinmix.random import Streams

SCORES = [
    metrics.clustering_accuracy,
    metrics.normalized_mutual_information,
    metrics.adjusted_rand_index,
    metrics.purity,
]

# Five points, by hand. Table: a (2, 1, 0), b (0, 1, 1) over clusters 0, 1, 2.
TRUE = ["a", "a", "a", "b", "b"]
PRED = [0, 0, 1, 1, 2]

labellings = st.integers(1, 30).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 4), min_size=n, max_size=n) for _ in range(2)])
)
quick = settings(max_examples=40, deadline=None, database=None)


def brute_force_accuracy(true, pred):
    """The largest agreement over all one-to-one namings of clusters, surplus names belonging to no class."""
    true, pred = np.unique(true, return_inverse=True)[1], np.unique(pred, return_inverse=True)[1]
    size = max(true.max(), pred.max()) + 1
    return max(np.mean(np.array(names)[pred] == true) for names in permutations(range(size)))


def entropy(labels):
    p = np.unique(labels, return_counts=True)[1] / len(labels)
    return -(p * np.log(p)).sum()


def table_entropies(true, pred):
    """H(Y), H(C) and I = H(Y) + H(C) - H(Y, C)."""
    joint = entropy([f"{c}|{k}" for c, k in zip(true, pred, strict=True)])
    return entropy(true), entropy(pred), entropy(true) + entropy(pred) - joint


def test_five_points_by_hand():
    assert metrics.clustering_accuracy(TRUE, PRED) == pytest.approx(3 / 5)
    assert metrics.purity(TRUE, PRED) == pytest.approx(4 / 5)
    # pairs: S = 1, A = 3 + 1, B = 1 + 1, of 10; (1 - 0.8) / (3 - 0.8)
    assert metrics.adjusted_rand_index(TRUE, PRED) == pytest.approx(1 / 11)
    # I = H(Y) - H(Y|C) with H(Y|C) = 2/5 log 2
    h_y = -(0.6 * np.log(0.6) + 0.4 * np.log(0.4))
    h_c = -(0.8 * np.log(0.4) + 0.2 * np.log(0.2))
    information = h_y - 0.4 * np.log(2)
    nmi = metrics.normalized_mutual_information
    assert nmi(TRUE, PRED) == pytest.approx(information / np.sqrt(h_y * h_c))
    assert nmi(TRUE, PRED, average="arithmetic") == pytest.approx(2 * information / (h_y + h_c))


def test_contingency_table_counts_and_names():
    table, classes, clusters = metrics.contingency_table(TRUE, [5, 5, -1, -1, 9])
    assert table.tolist() == [[1, 2, 0], [1, 0, 1]]
    assert classes.tolist() == ["a", "b"]
    assert clusters.tolist() == [-1, 5, 9]


def test_surplus_clusters_are_errors():
    assert metrics.clustering_accuracy([0, 0, 0, 0], [0, 1, 2, 3]) == 0.25
    assert metrics.clustering_accuracy([0, 0, 1, 1], [0, 0, 1, 2]) == 0.75
    assert metrics.purity([0, 0, 1, 1], [0, 0, 1, 2]) == 1.0


def test_one_cluster_only():
    one = [7] * 5
    assert metrics.clustering_accuracy(TRUE, one) == 0.6
    assert metrics.purity(TRUE, one) == 0.6
    assert metrics.adjusted_rand_index(TRUE, one) == 0.0
    assert metrics.normalized_mutual_information(TRUE, one) == 0.0
    assert metrics.best_matching(TRUE, one) == {7: "a"}


@pytest.mark.parametrize("score", SCORES)
def test_one_row_and_equal_partitions_score_one(score):
    assert score(["x"], [3]) == 1.0
    assert score([0, 0, 1, 2], ["u", "u", "v", "w"]) == pytest.approx(1.0)


@given(labellings)
@quick
def test_accuracy_is_the_best_over_all_permutations(pair):
    true, pred = pair
    assert metrics.clustering_accuracy(true, pred) == pytest.approx(brute_force_accuracy(true, pred))


@given(labellings)
@quick
def test_nmi_is_its_formula(pair):
    true, pred = pair
    h_y, h_c, information = table_entropies(true, pred)
    geometric = metrics.normalized_mutual_information(true, pred)
    arithmetic = metrics.normalized_mutual_information(true, pred, average="arithmetic")
    if min(h_y, h_c) > 0:
        assert geometric == pytest.approx(information / np.sqrt(h_y * h_c), abs=1e-9)
        assert arithmetic == pytest.approx(2 * information / (h_y + h_c), abs=1e-9)
    assert arithmetic <= geometric + 1e-9


@given(labellings)
@quick
def test_ari_is_its_formula(pair):
    true, pred = map(np.array, pair)
    i, j = np.triu_indices(len(true), 1)
    together_true, together_pred = true[i] == true[j], pred[i] == pred[j]
    both, a, b = (together_true & together_pred).sum(), together_true.sum(), together_pred.sum()
    expected = a * b / max(len(i), 1)
    if (a + b) / 2 != expected:
        ari = (both - expected) / ((a + b) / 2 - expected)
        assert metrics.adjusted_rand_index(true, pred) == pytest.approx(ari)


@given(labellings, st.permutations(range(5)), st.permutations("vwxyz"))
@quick
def test_scores_do_not_depend_on_names(pair, class_names, cluster_names):
    true, pred = pair
    for score in SCORES:
        renamed = score([class_names[c] for c in true], [cluster_names[k] for k in pred])
        assert renamed == pytest.approx(score(true, pred))


@given(labellings)
@quick
def test_best_matching_is_one_to_one_and_reaches_the_accuracy(pair):
    true, pred = pair
    matching = metrics.best_matching(true, pred)
    assert len(set(matching.values())) == len(matching)
    agreement = np.mean([matching.get(k) == c for c, k in zip(true, pred, strict=True)])
    assert agreement == pytest.approx(metrics.clustering_accuracy(true, pred))


def test_best_matching_leaves_out_pairs_without_rows():
    """Table a (3, 1), b (1, 0): matching 1 to b gains nothing and would only look like an answer."""
    assert metrics.best_matching(["a", "a", "a", "a", "b"], [0, 0, 0, 1, 0]) == {0: "a"}


@given(labellings)
@quick
def test_exemplar_accuracy_of_certain_rows_is_many_to_one(pair):
    """With certain responsibilities the exemplar is the first row of its cluster."""
    true, pred = map(np.array, pair)
    first = {k: true[np.flatnonzero(pred == k)[0]] for k in set(pred.tolist())}
    expected = np.mean([first[k] == c for c, k in zip(true.tolist(), pred.tolist(), strict=True)])
    assert metrics.exemplar_accuracy(true, np.eye(5)[pred]) == pytest.approx(expected)


def test_exemplar_comes_from_the_whole_set_not_from_its_own_cluster():
    """Row 0 has the largest q(1|.), 0.45, yet is assigned to 0: its class goes to the rows of cluster 1."""
    q = np.array([[0.55, 0.45, 0.0], [0.9, 0.1, 0.0], [0.3, 0.4, 0.3], [0.3, 0.4, 0.3], [0.32, 0.36, 0.32]])
    true = ["a", "b", "b", "b", "a"]
    # exemplars: row 1 for cluster 0 (b), row 0 for cluster 1 (a); assigned 0 0 1 1 1 -> b b a a a
    assert metrics.exemplar_accuracy(true, q) == pytest.approx(2 / 5)
    # within clusters only, row 2 (b) would stand for cluster 1: b b b b b -> 3 / 5
    assert metrics.exemplar_accuracy(true, torch.tensor(q, requires_grad=True)) == pytest.approx(2 / 5)


def test_exemplar_accuracy_is_invariant_under_permutation_of_components():
    rng = Streams(0).numpy("responsibilities")
    q, true = rng.dirichlet(np.full(6, 0.3), size=200), rng.integers(3, size=200)
    shuffled = q[:, rng.permutation(6)]
    assert metrics.exemplar_accuracy(true, shuffled) == metrics.exemplar_accuracy(true, q)


def test_clustering_scores_are_the_functions():
    rng = Streams(1).numpy("labels")
    true, q = np.array(list("abc"))[rng.integers(3, size=50)], rng.dirichlet(np.ones(4), size=50)
    pred = torch.tensor(q.argmax(1)) * 10 - 7
    scores = metrics.clustering_scores(true, pred, responsibilities=q)
    assert scores == {
        "accuracy": metrics.clustering_accuracy(true, pred),
        "nmi": metrics.normalized_mutual_information(true, pred),
        "nmi_arithmetic": metrics.normalized_mutual_information(true, pred, average="arithmetic"),
        "ari": metrics.adjusted_rand_index(true, pred),
        "purity": metrics.purity(true, pred),
        "n_clusters": 4,
        "exemplar_accuracy": metrics.exemplar_accuracy(true, q),
    }
    assert "exemplar_accuracy" not in metrics.clustering_scores(true, pred)
    assert {type(v) for v in scores.values()} == {float, int}


@pytest.mark.parametrize("score", [*SCORES, metrics.best_matching, metrics.clustering_scores])
@pytest.mark.parametrize(
    ("true", "pred", "message"),
    [
        ([0, 1], [0, 1, 1], "got 2 rows in labels_true, 3 rows in labels_pred; expected the same"),
        ([], [], "labels_true: got no rows, expected at least one"),
        (np.eye(3), [0, 1, 2], r"labels_true: got shape \(3, 3\), expected one label a row"),
        ([0, 1], np.array([0, float("nan")], object), r"labels_pred: got 1 missing labels"),
        ([0, 1], [0.0, float("nan")], r"labels_pred: got 1 missing labels \(NaN\), expected none"),
        (["a", None], [0, 1], "labels_true: got labels that cannot be ordered"),
        ([[0], [0, 1]], [0, 1], "got nested sequences of unequal lengths, expected an array"),
    ],
)
def test_unusable_labels(score, true, pred, message):
    with pytest.raises(DataError, match=message):
        score(true, pred)


def test_missing_labels_of_pandas_are_told_and_others_taken():
    pandas = pytest.importorskip("pandas")
    with pytest.raises(DataError, match="labels_true: got 1 missing labels"):
        metrics.purity(pandas.array(["a", pandas.NA, "b"], "string"), [0, 1, 2])
    assert metrics.purity(pandas.array(["a", "a", "b"], "string"), [0, 0, 1]) == 1


@pytest.mark.parametrize(
    ("q", "message"),
    [
        ([[0.5, 0.5]], "got 2 rows in labels_true, 1 rows in responsibilities; expected the same"),
        ([0.5, 0.5], r"responsibilities: got shape \(2,\), expected 2 axes"),
        ([[0.5, 0.5], [3.0, 1.0]], "got a row whose sum misses 1 by 3, expected probabilities"),
        ([[0.5, 0.5], [-1.0, 2.0]], "got the negative value -1, expected probabilities"),
        ([[0.5, 0.5], [np.nan, 1.0]], "got 1 values that are NaN or infinite, expected finite"),
        ([["0.5", "0.5"], ["0", "1"]], "got values of type <U3, expected real numbers"),
        ([[0.5, 0.5], [0.5, "x"]], "got values of type <U"),
        (np.array([[0.5, 0.5], [0.5, "x"]], dtype=object), "got values that are not numbers"),
        (np.zeros((2, 0)), r"got shape \(2, 0\), expected at least one value"),
    ],
)
def test_unusable_responsibilities(q, message):
    with pytest.raises(DataError, match=message):
        metrics.exemplar_accuracy([0, 1], q)


def test_unknown_average():
    with pytest.raises(ConfigError, match="got 'max', expected 'geometric' or 'arithmetic'"):
        metrics.normalized_mutual_information(TRUE, PRED, average="max")


@pytest.mark.parametrize("labels", [[1, "1", 2], ["a", np.nan, "b"], ("a", None, "b")])
def test_labels_of_mixed_kinds_are_no_classes(labels):
    with pytest.raises(DataError, match="labels_true"):
        metrics.clustering_accuracy(labels, [0, 1, 2])


def test_masked_labels_are_refused():
    with pytest.raises(DataError, match="got 1 masked values"):
        metrics.clustering_accuracy(np.ma.array([0, 1, 2], mask=[0, 0, 1]), [0, 1, 2])


def test_row_numbers_are_no_labels():
    with pytest.raises(DataError, match="got 60,000 and 60,000 different labels, expected classes"):
        metrics.clustering_accuracy(np.arange(60_000), np.arange(60_000))
