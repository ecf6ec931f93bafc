"""Pictures drawn from records."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from steinmix.errors import DataError
from steinmix.experiments import Experiment, Row
from steinmix.experiments.pictures import gallery, latent_map
from steinmix.experiments.records import RunRecord, by_key
from steinmix.report.pictures import _in_colours_of, draw_pictures

TABLE = Experiment("p/f", "A title", "a source", ("accuracy",), (Row("set/a"), Row("set/b")))


def record(row, seed, pictures):
    settings = {"pictures": pictures} if pictures else {}
    return RunRecord("p/f", row, "all rows", seed, {}, settings=settings, versions={}, hardware="", created="")


@pytest.fixture
def a_map(rng):
    return latent_map("end <&>", rng.normal(size=(60, 3)), np.arange(60) % 4, np.arange(60) % 3)


@pytest.fixture
def a_gallery(rng):
    return gallery("drawn", rng.random((2, 3, 16)), 0, 1)


def drawn(records):
    return draw_pictures(TABLE, by_key(records), TABLE.rows)


def test_one_figure_for_each_data_set_and_kind(a_map, a_gallery):
    figures = drawn([record("set/a", 0, [a_map, a_gallery]), record("set/b", 0, [a_map])])
    assert set(figures) == {"p-f-map-set", "p-f-gallery-set"}
    for svg in figures.values():
        ElementTree.fromstring(svg)
    one = drawn([record("set/a", 0, [a_map])])["p-f-map-set"]
    assert figures["p-f-map-set"].count("<use") == 2 * one.count("<use") > 0
    assert figures["p-f-gallery-set"].count("<image") == 1


def test_the_first_seed_counts(a_map, a_gallery):
    assert set(drawn([record("set/a", 1, [a_map]), record("set/a", 0, [a_gallery])])) == {"p-f-gallery-set"}
    assert drawn([record("set/a", 0, None)]) == {}


def test_a_broken_record_is_named(a_gallery):
    a_gallery["images"]["zlib"] = "nonsense"
    with pytest.raises(DataError, match="no packed array"):
        drawn([record("set/a", 0, [a_gallery])])


def test_clusters_get_the_colours_of_their_classes():
    classes, clusters = np.array([0, 0, 1, 1, 2, 2]), np.array([5, 5, 0, 0, 1, 3])
    assert _in_colours_of(classes, clusters).tolist() in ([0, 0, 1, 1, 2, 3], [0, 0, 1, 1, 3, 2])
