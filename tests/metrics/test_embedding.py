import numpy as np
import pytest
import torch

from steinmix.errors import ConfigError, DataError
from steinmix.metrics import knn_error, trustworthiness
from steinmix.random import Streams

TRAIN = [[0.0], [1.0], [2.0], [10.0], [11.0]]
LABELS = ["a", "b", "b", "c", "c"]


def test_five_points_by_hand():
    test, truth = [[0.1], [0.9], [9.0]], ["a", "b", "c"]
    assert knn_error(TRAIN, LABELS, test, truth, k=1) == 0.0
    # three neighbours: 0.1 and 0.9 see a b b -> b; 9 sees c c b -> c
    assert knn_error(TRAIN, LABELS, test, truth, k=3) == pytest.approx(1 / 3)
    # five: votes a 1, b 2, c 2 everywhere; of b and c the first wins
    assert knn_error(TRAIN, LABELS, test, truth, k=5) == pytest.approx(2 / 3)


@pytest.mark.parametrize("k", [3, 10])
def test_equals_a_loop_over_rows(k):
    rng = Streams(0).numpy("codes")
    train, test = rng.normal(size=(80, 3)), rng.normal(size=(30, 3))
    labels, truth = rng.integers(4, size=80) * 5 - 3, rng.integers(4, size=30) * 5 - 3
    wrong = 0
    for row, label in zip(test, truth, strict=True):
        nearest = labels[np.argsort(((train - row) ** 2).sum(1))[:k]]
        names, votes = np.unique(nearest, return_counts=True)
        wrong += names[votes.argmax()] != label
    got = knn_error(torch.tensor(train), torch.tensor(labels), torch.tensor(test), torch.tensor(truth), k)
    assert got == pytest.approx(wrong / 30)


def test_a_class_unseen_in_training_is_an_error():
    assert knn_error(TRAIN, LABELS, [[0.0], [0.0]], ["a", "z"], k=1) == 0.5


def test_trustworthiness_is_its_formula():
    rng = Streams(1).numpy("rows")
    x, z, n, k = rng.normal(size=(20, 4)), rng.normal(size=(20, 2)), 20, 4

    def order(rows):
        squared = ((rows[:, None] - rows) ** 2).sum(-1)
        np.fill_diagonal(squared, -1)  # a row is its own zeroth neighbour
        return squared.argsort(1)

    rank = order(x).argsort(1)
    penalty = sum(max(0, rank[i, j] - k) for i in range(n) for j in order(z)[i, 1 : k + 1])
    expected = 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * penalty
    assert trustworthiness(x, torch.tensor(z), k) == pytest.approx(expected)
    assert trustworthiness(x, 3 * x, k) == 1.0


@pytest.mark.parametrize("k", [0, 6, 2.0])
def test_unusable_k(k):
    with pytest.raises(ConfigError, match=r"k: got .*, expected an integer from 1 to 5"):
        knn_error(TRAIN, LABELS, TRAIN, LABELS, k)
    with pytest.raises(ConfigError, match=r"expected an integer from 1 to 2 \(below half the rows\)"):
        trustworthiness(TRAIN, TRAIN, k=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((TRAIN, LABELS, [[0.0, 1.0]], ["a"]), "test: got 2 columns, expected 1 as in train"),
        ((TRAIN, LABELS[:4], TRAIN, LABELS), "got 5 rows in train, 4 rows in train_labels; expected"),
        ((TRAIN, LABELS, TRAIN, LABELS[:4]), "got 5 rows in test, 4 rows in test_labels; expected"),
        ((TRAIN, LABELS, TRAIN, [1, 2, 3, 4, 5]), "test_labels: got int64 labels, expected the kind"),
        (([0.0], ["a"], [[0.0]], ["a"]), r"train: got shape \(1,\), expected 2 axes"),
    ],
)
def test_unusable_data(arguments, message):
    with pytest.raises(DataError, match=message):
        knn_error(*arguments, k=1)
