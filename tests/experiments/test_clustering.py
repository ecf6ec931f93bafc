"""The runners: what they measure, and that labels reach the scorer only."""

import numpy as np
import pytest
import scipy.sparse as sp

from steinmix.data import datasets
from steinmix.errors import DataError
from steinmix.experiments import clustering, find, neighbours
from steinmix.experiments.clustering import METHODS, make_task, run, unit_rows
from steinmix.random import Streams

CHEAP = ("k-means", "gmm", "graph", "untrained")


@pytest.fixture(scope="module")
def blobs():
    """120 rows in [0, 1], three groups, and the group of each."""
    groups = np.repeat(np.arange(3), 40)
    noise = Streams(0).numpy("blobs").normal(scale=0.03, size=(120, 6))
    return (noise + 0.2 + 0.3 * np.eye(6)[groups]).clip(0, 1).astype(np.float32), groups


@pytest.fixture
def short(monkeypatch):
    """All networks small and trained for two epochs."""
    from steinmix.estimator import conditional, embedder
    from steinmix.methods import vade

    monkeypatch.setattr(embedder, "network_sizes", lambda n_rows: (16,))
    for module in (conditional, embedder, vade):
        monkeypatch.setattr(module, "epochs_for_steps", lambda *_, **__: 2)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_answers(blobs, short, name):
    x, y = blobs
    if name == "vade+moved-images":
        x = np.pad(x, ((0, 0), (0, 9 - x.shape[1])))  # 3 x 3 pixels
    found = run(f"set/{name}", 0, make_task("set", x, y))
    assert 1 / 3 <= found["accuracy"] <= 1
    assert {"nmi", "nmi_arithmetic", "ari", "purity", "n_clusters"} <= set(found)
    assert found["settings"]["estimator"]
    if name.startswith("vade"):
        epochs = 2 if name.startswith("vade-plain") else 4  # without an anchor phase
        assert len(found["accuracy_by_epoch"]) == len(found["seconds_by_epoch"]) == epochs
        assert 0 <= found["initial_accuracy"] <= 1
        assert np.all(np.diff(found["seconds_by_epoch"]) >= 0)


def test_easy_groups_are_found(blobs):
    for name in ("k-means", "graph"):
        assert run(f"set/{name}", 0, make_task("set", *blobs))["accuracy"] == 1.0


@pytest.mark.filterwarnings("ignore::steinmix.errors.UnboundedWarning")
@pytest.mark.parametrize("name", [*CHEAP, "ae+gmm", "vade", "vade+nsvgd"])
def test_labels_reach_the_scorer_only(blobs, short, name):
    """A method that is given permuted labels must answer the same, bit for bit."""
    rows, labels = blobs
    shuffled = Streams(1).numpy("labels").permutation(labels)
    first, second = (METHODS[name](make_task("set", rows, truth), 3) for truth in (labels, shuffled))
    assert np.array_equal(first.labels, second.labels)
    assert first.objective == second.objective


def test_a_task_shows_no_labels(blobs):
    task = make_task("set", *blobs)
    seen = [value for holder in (task, task.scorer) for name, value in _public(holder)]
    assert not any(np.array_equal(value, blobs[1]) for value in seen if isinstance(value, np.ndarray))


def _public(holder):
    return [(name, getattr(holder, name)) for name in dir(holder) if not name.startswith("_")]


def test_seeds_differ(blobs, short):
    task = make_task("set", *blobs)
    a, b, again = (METHODS["vade"](task, seed).objective for seed in (0, 1, 0))
    assert a == again
    assert a != b


def test_watching_leaves_no_trace(blobs, short):
    """Accuracy by epoch must not change what is trained."""
    from steinmix.methods import VaDE

    rows, _ = blobs
    watched = METHODS["vade"](make_task("set", *blobs), 0)
    assert watched.objective == VaDE(3, random_state=0).fit(rows).score(rows)


def test_rows_of_any_kind_become_unit_rows():
    grey = np.array([[0, 255]], dtype=np.uint8)
    assert unit_rows(grey).tolist() == [[0.0, 1.0]]
    assert unit_rows(sp.csr_matrix([[0.0, 2.0]])).tolist() == [[0.0, 2.0]]
    assert unit_rows(np.ones((1, 1))).dtype == np.float32


def test_sparse_rows(short):
    rows = sp.random(60, 20, 0.3, format="csr", dtype=np.float32, random_state=0)
    found = run("set/vade", 0, make_task("set", rows, np.arange(60) % 3))
    assert len(found["accuracy_by_epoch"]) == 4


def test_neighbours_of_raw_rows_against_scikit_learn(blobs):
    from sklearn.neighbors import KNeighborsClassifier

    rows, labels = blobs
    labels = np.where(np.arange(120) % 7 == 0, (labels + 1) % 3, labels)  # some are wrong, so that there are errors
    test = np.arange(120) % 5 == 0
    found = neighbours.run("set/pixels", 0, neighbours.make_split(rows, labels, test))
    twin = KNeighborsClassifier(3).fit(rows[~test], labels[~test])
    assert found["knn_error_3"] == pytest.approx(1 - twin.score(rows[test], labels[test]))
    assert found["knn_error_3"] > 0


def test_held_out_rows_are_not_learnt_from(blobs, monkeypatch):
    rows, labels = blobs
    split, seen = neighbours.make_split(rows, labels, np.arange(120) % 5 == 0), []

    def coder(learnt, n_clusters, seed):
        seen.append((len(learnt), n_clusters, seed))
        return unit_rows

    monkeypatch.setattr(neighbours, "CODERS", {"vade": coder})
    held, all_rows = (neighbours.run(f"set/vade{end}", 4, split) for end in ("", "-transductive"))
    assert seen == [(96, 3, 4), (120, 3, 4)]
    assert held == all_rows


def test_coders(blobs, short):
    split = neighbours.make_split(*blobs, np.arange(120) % 5 == 0)
    for name in neighbours.CODERS:
        assert all(0 <= error <= 1 for error in neighbours.run(f"set/{name}", 0, split).values())


def test_splits_of_published_sets():
    digits = neighbours.load_split("digits")
    assert (len(digits.train), len(digits.test), digits.n_clusters) == (1437, 360, 10)


def test_tasks_of_published_sets():
    task = clustering.load_task("digits")
    assert (task.rows.shape, task.n_clusters) == ((1797, 64), 10)
    assert find("jiang2017/table2").row("digits/vade").load is clustering.load_task


@pytest.mark.parametrize("name", clustering.LOCAL)
def test_sets_that_a_table_does_not_fetch(name, tmp_path, monkeypatch):
    monkeypatch.setenv("STEINMIX_DATA", str(tmp_path))
    monkeypatch.setattr("steinmix.data.fetch.cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr("steinmix.data.fetch._download", None)
    assert "not present" in clustering.absent(name)
    with pytest.raises(DataError, match=r"not found|not present"):
        clustering.load_task(name)


def test_the_corpus_is_a_task_like_its_sample(monkeypatch):
    """Rows of unit length, times the root of the number of columns; sparse all the way."""
    rows, labels = sp.csr_matrix(np.tile(np.eye(4, dtype=np.float32), (5, 1))), np.tile(np.arange(4), 5)

    def loader(*, return_X_y, download_if_missing):
        assert not download_if_missing
        return rows, labels

    monkeypatch.setattr(datasets, "available", lambda: {"reuters": loader})
    task = clustering.load_task("reuters")
    assert np.array_equal(task.rows.toarray(), 2 * rows.toarray())
    assert task.n_clusters == 4
    assert run("reuters/k-means", 0, task)["accuracy"] == 1


def test_sets_that_a_table_fetches_are_not_asked_for():
    assert clustering.absent("mnist") == clustering.absent("digits") == ""
