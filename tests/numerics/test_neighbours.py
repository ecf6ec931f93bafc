"""Nearest rows against sorted distances, in few columns (a tree) and in many (blocks of a product)."""

import numpy as np
import pytest

from steinmix.numerics.neighbours import in_unit_box, nearest_rows

COLUMNS = pytest.mark.parametrize("f", [3, 20])


@COLUMNS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_they_are_the_first_of_all_rows_by_distance(rng, f, dtype):
    x, queries = (rng.normal(size=(n, f)).astype(dtype) + 10 for n in (40, 7))
    distances, index = nearest_rows(x, queries, 5)
    every = np.linalg.norm(x.astype(float)[None] - queries.astype(float)[:, None], axis=2)
    np.testing.assert_array_equal(index, every.argsort(axis=1)[:, :5])
    np.testing.assert_allclose(distances, np.sort(every, axis=1)[:, :5], rtol=1e-13)
    assert distances.dtype == np.float64


@COLUMNS
def test_what_a_search_in_float32_takes_for_equal_is_ordered_by_exact_distances(f):
    x = np.eye(f)[:3] * (1 + 1e-9 * np.array([[2.0], [0.0], [1.0]]))
    distances, index = nearest_rows(x, np.zeros((1, f)), 3)
    assert index.tolist() == [[1, 2, 0]]
    assert np.all(np.diff(distances[0]) > 0)


@COLUMNS
def test_no_row_is_its_own_neighbour_though_it_have_many_equals(rng, f):
    x = np.concatenate([np.ones((6, f)), rng.normal(size=(6, f))])
    distances, index = nearest_rows(x, x, 2, same=True)
    assert index.shape == distances.shape == (12, 2)
    assert not (index == np.arange(12)[:, None]).any()
    assert (distances[:6] == 0).all()
    assert (distances[6:] > 0).all()


def test_the_box_is_that_of_the_rows_alone_and_none_is_divided_by():
    rows, others = in_unit_box(np.array([[1e6, 5.0], [1e6 + 4, 1.0]]), np.array([[1e6 + 6, 3.0]]))
    assert rows.tolist() == [[-1.0, 1.0], [1.0, -1.0]]
    assert others.tolist() == [[2.0, 0.0]]
    assert in_unit_box(np.full((3, 2), 7.0))[0].tolist() == [[0.0, 0.0]] * 3
