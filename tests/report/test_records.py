from dataclasses import replace

import numpy as np
import pytest

import steinmix as sm
from steinmix.errors import ConfigError, DataError
from steinmix.random import Streams
from steinmix.report import cards, records, words


def gathered(model, X, labels=None):
    return records.gather(model, X, labels, Streams(0))


def test_rows_of_the_fit_come_with_start_and_sizes(mixture, blobs):
    rows = gathered(mixture, blobs[0])
    assert not rows.sampled
    assert np.array_equal(rows.labels, mixture.labels_)
    assert np.array_equal(rows.start, mixture.initial_labels_)
    assert sorted(rows.sizes) == [20, 40]
    assert np.allclose(rows.responsibilities, mixture.predict_proba(blobs[0]))


def test_other_rows_have_no_start(mixture, blobs):
    rows = gathered(mixture, blobs[0][::-1].copy())
    assert rows.start is None
    assert sorted(rows.sizes) == [20, 40]


def test_points_and_joint_of_a_network_come_from_one_pass(vade, digits):
    rows = gathered(vade, digits[0])
    assert np.array_equal(rows.points, vade.transform(digits[0]))
    assert np.array_equal(rows.labels, vade.labels_)


class Watched:
    """A source that is no array, counts the rows it hands out, and never holds more than a block of them."""

    n_features, dtype, feature_names, random_access = 5, np.dtype(np.float64), None, True

    def __init__(self, n_rows):
        self.n_rows, self.taken, self.largest = n_rows, 0, 0

    def take(self, index):
        self.taken, self.largest = self.taken + len(index), max(self.largest, len(index))
        return np.stack([np.sin(np.asarray(index) * (j + 1.0)) for j in range(5)], axis=1)

    def blocks(self, rows, rng=None):
        for start in range(0, self.n_rows, rows):
            index = np.arange(start, min(start + rows, self.n_rows))
            yield index, np.stack([np.sin(index * (j + 1.0)) for j in range(5)], axis=1)

    def describe(self):
        return {"kind": "watched"}


def test_a_large_source_is_sampled_and_never_taken_whole(mixture, monkeypatch):
    monkeypatch.setattr(records, "SAMPLE_ROWS", 100)
    source = Watched(1500)
    rows = gathered(mixture, source, np.zeros(1500))
    assert rows.sampled
    assert len(rows.index) == len(rows.raw) == len(rows.truth) == 100
    assert np.array_equal(rows.raw, Watched(1500).take(rows.index))
    assert source.largest <= 256  # chunks of the pass that counts the clusters of all rows
    assert source.taken == 100 + 1500
    assert rows.sizes.sum() == 1500


def test_wide_rows_count_by_their_values(mixture, monkeypatch):
    monkeypatch.setattr(records, "SAMPLE_CELLS", 50)
    assert len(gathered(mixture, Watched(1500)).index) == 10


@pytest.mark.parametrize(
    ("labels", "message"), [([0, 1], r"\(2,\) for 60 rows"), (np.zeros((60, 1)), r"shape \(60, 1\)")]
)
def test_labels_must_fit(mixture, blobs, labels, message):
    with pytest.raises(DataError, match=message):
        gathered(mixture, blobs[0], labels)


def test_one_row_is_refused(mixture, blobs):
    with pytest.raises(DataError, match="at least 2"):
        gathered(mixture, blobs[0][:1])


def test_foreign_models_are_refused(blobs):
    with pytest.raises(ConfigError, match="int"):
        gathered(3, blobs[0])


def test_images_are_recognised_by_names_and_neighbours(vade, mixture, digits, blobs):
    assert records.image_side(gathered(vade, digits[0])) == 8
    assert records.image_side(gathered(mixture, blobs[0])) is None
    noise = Streams(1).numpy("x").normal(size=(80, 64))
    model = sm.GaussianMixture(1, training=sm.Training(epochs=1), random_state=0)
    assert records.image_side(gathered(model.fit(noise), noise)) is None


@pytest.mark.parametrize("scaling", ["standard", "none"])
def test_contrast_is_the_difference_of_means_in_standard_deviations(scaling, blobs):
    X = blobs[0]
    model = sm.GaussianMixture(2, scaling=scaling, training=sm.Training(epochs=1), random_state=0).fit(X)
    rows = gathered(model, X)
    inside, outside, contrast = cards.contrasts(rows, rows.labels)
    for c in range(2):
        here = rows.labels == c
        assert np.allclose(inside[c], X[here].mean(0), atol=1e-5)
        assert np.allclose(outside[c], X[~here].mean(0), atol=1e-5)
        assert np.allclose(contrast[c], (X[here].mean(0) - X[~here].mean(0)) / X.std(0), atol=1e-5)
    assert np.abs(contrast).argmax(axis=1).tolist() == [1, 1]


def test_cards_are_sorted_and_name_the_rows_of_largest_density(mixture, blobs):
    rows = gathered(mixture, blobs[0], np.array(["a", "b"])[blobs[1]])
    found = cards.cluster_cards(mixture, rows, None)
    assert [card["size"] for card in found] == [40, 20]
    assert [card["classes"] for card in found] == [[("a", 1.0)], [("b", 1.0)]]
    first = found[0]
    c = first["number"]
    distance = ((blobs[0] - mixture.means_[c]) ** 2 / np.diagonal(mixture.covariances_[c])).sum(axis=1)
    assert first["nearest"] == np.argsort(distance)[:3].tolist()
    assert first["features"][0]["name"] == "1"
    assert first["features"][0]["bar"]["sign"] == "low"
    assert np.isclose(first["features"][0]["prototype"], mixture.means_[c, 1])


def test_nothing_to_compare_has_no_contrast(blobs):
    model = sm.GaussianMixture(2, training=sm.Training(epochs=1), random_state=0).fit(blobs[0])
    rows = gathered(model, blobs[0])
    empty = replace(rows, log_joint=np.tile([0.0, -50.0], (60, 1)), sizes=np.array([60, 0]))
    for card in cards.cluster_cards(model, empty, None):
        assert [feature["contrast"] for feature in card["features"]] == [None] * 5
    assert words.signed(None) == "–"


def test_means_of_bits_are_shares(blobs):
    X = np.column_stack([blobs[0], blobs[1], 1 - blobs[1], np.arange(60) % 3 == 0])
    model = sm.GaussianMixture(2, scaling="standard", training=sm.Training(epochs=1), random_state=0).fit(X)
    rows = gathered(model, X)
    inside, outside, _ = cards.contrasts(rows, rows.labels)
    assert sorted(inside[:, 5].tolist()) == sorted(outside[:, 5].tolist()) == [0, 1]
    for c in range(2):
        assert inside[c, 7] == X[rows.labels == c, 7].mean()


def test_typical_rows_are_different_rows(mixture, blobs):
    X = np.repeat(blobs[0], 4, axis=0)
    rows = gathered(mixture, X)
    for card in cards.cluster_cards(mixture, rows, None):
        assert len(card["nearest"]) == len(np.unique(X[card["nearest"]], axis=0)) == 3
    few = gathered(mixture, np.repeat(blobs[0][[0, 50]], 5, axis=0))
    assert [card["nearest"] for card in cards.cluster_cards(mixture, few, None)] == [[0], [5]]
