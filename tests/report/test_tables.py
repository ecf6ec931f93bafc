import numpy as np
import pytest

import steinmix as sm
from steinmix.report import null_rows, records, tables

FREE = {"effective_clusters", "smallest_share", "agreement", "silhouette"}
TRUE = {"accuracy", "nmi", "ari", "purity"}


def by_name(found):
    return {row["name"]: row for row in found}


def test_a_network_has_all_rows(vade, digits):
    found = null_rows(vade, digits[0])
    assert [row["name"] for row in found] == [
        "VaDE",
        "start",
        "untrained network",
        "k-means",
        "plain Gaussian mixture",
    ]
    for row in found:
        assert set(row) == {"name", "what", "labels", "index", "scores"}
        assert set(row["scores"]) == FREE
        assert row["labels"].shape == (300,)
        assert row["labels"].min() >= 0
        assert row["labels"].max() < 10
    assert np.array_equal(found[0]["labels"], vade.labels_)
    assert np.array_equal(found[1]["labels"], vade.initial_labels_)


def test_a_mixture_alone_has_no_untrained_network(mixture, blobs):
    names = [row["name"] for row in null_rows(mixture, blobs[0])]
    assert names == ["GaussianMixture", "start", "k-means", "plain Gaussian mixture"]


def test_scores_by_hand(mixture, blobs):
    """40 and 20 rows that anything separates: every row is perfect, and the entropy is that of 2/3 and 1/3."""
    for row in null_rows(mixture, *blobs):
        scores = row["scores"]
        assert {name: scores[name] for name in TRUE} == pytest.approx(dict.fromkeys(TRUE, 1.0))
        assert scores["agreement"] == 1
        assert scores["smallest_share"] == pytest.approx(1 / 3)
        assert scores["effective_clusters"] == pytest.approx(3 / 2 ** (2 / 3))
        assert scores["silhouette"] > 0.2


def test_wrong_labels_by_hand(mixture, blobs):
    """Of 60 rows, 6 of the larger cluster carry the other class: 54 right, and as many in a majority."""
    classes = blobs[1].copy()
    classes[:6] = 1
    scores = null_rows(mixture, blobs[0], classes)[0]["scores"]
    assert scores["accuracy"] == pytest.approx(0.9)
    assert scores["purity"] == pytest.approx(0.9)


def test_labels_change_scores_only(vade, digits):
    without, given = null_rows(vade, digits[0]), null_rows(vade, digits[0], digits[1])
    for one, other in zip(without, given, strict=True):
        assert np.array_equal(one["labels"], other["labels"])
        assert set(other["scores"]) == FREE | TRUE
        assert all(one["scores"][name] == other["scores"][name] for name in FREE)


def test_the_same_seed_gives_the_same_rows(vade, digits):
    one, other = (null_rows(vade, digits[0], random_state=3) for _ in range(2))
    assert all(np.array_equal(a["labels"], b["labels"]) and a["scores"] == b["scores"] for a, b in zip(one, other))


def test_the_untrained_network_is_not_the_trained_one(vade, digits):
    before = {k: v.clone() for k, v in vade.module_.state_dict().items()}
    rows = by_name(null_rows(vade, digits[0]))
    assert rows["untrained network"]["scores"]["agreement"] < 1
    assert all(bool((v == before[k]).all()) for k, v in vade.module_.state_dict().items())


def test_a_sample_is_named_in_every_row(vade, digits, monkeypatch):
    monkeypatch.setattr(records, "SAMPLE_ROWS", 100)
    for row in null_rows(vade, digits[0], digits[1]):
        assert row["what"].endswith("Random sample: 100 of 300 rows.")
        assert row["labels"].shape == row["index"].shape == (100,)


def test_many_rows_are_fitted_to_a_part_and_all_assigned(mixture, blobs, monkeypatch):
    monkeypatch.setattr(tables, "START_ROWS", 30)
    rows = by_name(null_rows(mixture, *blobs))
    assert "fitted to 30 random rows" in rows["plain Gaussian mixture"]["what"]
    assert "best of 3 starts on 30 random rows, then on all" in rows["k-means"]["what"]
    for row in rows.values():
        assert row["labels"].shape == (60,)
        assert row["scores"]["accuracy"] == 1


def test_one_cluster_has_no_silhouette(mixture, blobs):
    rows = null_rows(mixture, blobs[0][:2])
    assert rows[0]["scores"]["silhouette"] is None


def test_a_code_as_long_as_the_rows_is_not_compared_with_pca(quickly, blobs):
    rows = by_name(null_rows(quickly(sm.VAE(latent_dim=5, hidden=(8,)), blobs[0]), blobs[0]))
    assert list(rows) == ["VAE", "untrained network", "column means"]
    assert "There is no row of PCA: with a code of 5 for 5 columns" in rows["column means"]["what"]


def test_codes_are_compared_by_what_they_keep(autoencoder, digits):
    X = digits[0]
    rows = by_name(null_rows(autoencoder, X))
    assert list(rows) == ["Autoencoder", "untrained network", "PCA", "column means"]
    rebuilt = autoencoder.inverse_transform(autoencoder.transform(X))
    error = np.square(X - rebuilt).mean()
    assert rows["Autoencoder"]["scores"]["squared_error"] == pytest.approx(error, rel=1e-4)
    assert rows["Autoencoder"]["scores"]["explained"] == pytest.approx(1 - error / X.var(axis=0).mean(), rel=1e-4)
    assert rows["column means"]["scores"]["explained"] == pytest.approx(0, abs=1e-9)
    values = np.linalg.svd(X - X.mean(0), compute_uv=False) ** 2
    assert rows["PCA"]["scores"]["explained"] == pytest.approx(values[:4].sum() / values.sum(), rel=1e-3)
    assert all(row["labels"] is None for row in rows.values())
