from functools import partial

import numpy as np
import pytest

from steinmix import Training, VaDE
from steinmix.data import datasets
from steinmix.experiments import maps
from steinmix.experiments.clustering import make_task
from steinmix.experiments.pictures import shown_rows, unpack


@pytest.fixture
def task(monkeypatch):
    """The first 300 digits; VaDE learns for two epochs from k-means."""
    monkeypatch.setattr(maps, "VaDE", partial(VaDE, start="kmeans", hidden=(16,)))
    monkeypatch.setattr(maps, "Training", partial(Training, epochs=2))
    digits = datasets.load_digits()
    return make_task("digits", digits.data[:300], digits.target[:300])


def test_the_stages_of_a_training(task):
    found = maps.run_stages("digits/vade", 0, task)
    start, anchored, end = found["settings"]["pictures"]
    assert [p["title"].partition(",")[0] for p in (start, anchored, end)] == list(maps.STAGES.values())
    assert start["title"].endswith(f"accuracy {found['initial_accuracy']:.3f}")
    assert end["title"].endswith(f"accuracy {found['accuracy']:.3f}")
    points = [unpack(p["points"]) for p in (start, anchored, end)]
    assert not np.array_equal(points[0], points[1])
    assert not np.array_equal(points[1], points[2])
    classes = unpack(end["classes"])
    np.testing.assert_array_equal(classes, datasets.load_digits().target[:300][shown_rows(300)])


def test_codes_and_clusters_of_two_steps(task, monkeypatch):
    """A coder that gives pixels back shows that codes and clusters reach the map."""

    class Pixels:
        def __init__(self, random_state):
            pass

        def fit_transform(self, rows):
            return rows

    codes, clusters = maps._two_steps(Pixels, task, 0)
    assert codes is task.rows
    assert len(np.unique(clusters)) == 10
    monkeypatch.setattr(maps, "CODES", {"pixels": partial(maps._two_steps, Pixels)})
    found = maps.run("digits/pixels", 0, task)
    (picture,) = found["settings"]["pictures"]
    np.testing.assert_array_equal(unpack(picture["clusters"]), clusters[shown_rows(300)])
    assert found["accuracy"] == task.scorer.accuracy(clusters)
