import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.utils import check_array

from steinmix._typing import Source
from steinmix.data import as_source
from steinmix.errors import ConfigError, DataError

KEPT = ["uint8", "int8", "int32", "int64", "uint16", "float16", "float32", "float64"]


@pytest.mark.parametrize("dtype", KEPT)
def test_keeps_the_type_of_the_data(dtype, table, check_source):
    X = (10 * table).astype(dtype)
    check_source(as_source(X), X)


@pytest.mark.parametrize(("given", "kept"), [("bool", "uint8"), (">f4", "float32"), ("longdouble", "float64")])
def test_other_types_become_the_nearest(given, kept, table, check_source):
    X = (table > 0).astype(given)
    check_source(as_source(X), X.astype(kept))


@pytest.mark.parametrize("order", [np.asfortranarray, lambda X: X[::-1], lambda X: np.repeat(X, 2, axis=1)[:, ::2]])
def test_any_memory_order(order, table, check_source):
    check_source(as_source(order(table)), np.ascontiguousarray(order(table)))


def test_c_ordered_arrays_are_shared_and_blocks_are_not(table):
    source = as_source(table)
    assert source.array is table
    before = table.copy()
    for _, block in source.blocks(100):
        block[:] = 0
    source.take(np.arange(10))[:] = 0
    assert np.array_equal(table, before)


def test_read_only_arrays(table, check_source):
    X = table.copy()
    X.flags.writeable = False
    check_source(as_source(X), table)
    assert as_source(X).array is X


@pytest.mark.parametrize("shape", [(1, 3), (3, 1), (1, 1)])
def test_smallest_shapes(shape, check_source):
    X = np.ones(shape)
    check_source(as_source(X), X, rows=2)


def test_lists(check_source):
    check_source(as_source([[1, 2], [3, 4]]), np.array([[1, 2], [3, 4]]))


def test_objects_that_are_numbers(check_source):
    check_source(as_source(np.array([[1, 2.5]], dtype=object)), np.array([[1, 2.5]]))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.int64])
def test_tensors_share_memory(dtype, check_source):
    X = torch.arange(12).reshape(4, 3).to(dtype)
    source = as_source(X)
    check_source(source, X.numpy(), rows=3)
    assert np.shares_memory(source.array, X.numpy())


def test_tensors_numpy_does_not_know_and_with_gradients(check_source):
    X = torch.ones(4, 3, requires_grad=True)
    check_source(as_source(X), np.ones((4, 3), np.float32))
    check_source(as_source(X.detach().bfloat16()), np.ones((4, 3), np.float32))


@pytest.mark.parametrize("X", [torch.eye(3).to_sparse(), torch.empty(2, 2, device="meta")])
def test_tensors_elsewhere(X):
    with pytest.raises(DataError, match=r"expected a dense CPU tensor.*to_dense"):
        as_source(X)


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"])
@pytest.mark.parametrize("kind", ["array", "matrix"])
def test_sparse_formats(form, kind, table, check_source):
    X = np.where(np.abs(table) > 1, table, 0)
    X[50:] = 0  # few diagonals
    source = as_source(getattr(sp, f"{form}_{kind}")(X))
    check_source(source, X)
    assert source.describe() == {
        "kind": "sparse",
        "shape": [1000, 3],
        "dtype": "float64",
        "nnz": np.count_nonzero(X),
    }


def test_sparse_bool_and_columns(table, check_source):
    X = table > 0
    check_source(as_source(sp.csc_array(X), columns=[2, 0]), X[:, [2, 0]].astype(np.uint8))


def test_memmap_is_served_without_reading_it_all(tmp_path, table, check_source):
    X = np.memmap(tmp_path / "x.bin", dtype=np.float64, mode="w+", shape=table.shape)
    X[:] = table
    source = as_source(X)
    check_source(source, table)
    assert source.array is None
    assert source.describe()["path"] == str(tmp_path / "x.bin")
    assert type(source.take(np.array([0]))) is np.ndarray
    check_source(as_source(X, exclude=[1]), table[:, [0, 2]])


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(order, tmp_path, table, check_source):
    np.save(tmp_path / "x.npy", np.array(table, order=order))
    source = as_source(tmp_path / "x.npy")
    check_source(source, table)
    check_source(as_source(str(tmp_path / "x.npy"), columns=[2, 0]), table[:, [2, 0]])
    pickled = pickle.dumps(as_source(tmp_path / "x.npy", columns=[1]))
    assert len(pickled) < 1000
    check_source(pickle.loads(pickled), table[:, [1]])


def test_npy_of_foreign_byte_order(tmp_path, table, check_source):
    np.save(tmp_path / "x.npy", table.astype(">f8"))
    check_source(as_source(tmp_path / "x.npy"), table)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda p: p.write_bytes(b""), "cannot be read"),
        (lambda p: p.write_bytes(b"not an array"), "cannot be read"),
        (lambda p: np.save(p, np.array([[{}]], dtype=object)), "cannot be read"),
        (lambda p: np.save(p, np.arange(3)), "Expected 2D array, got 1D array"),
        (lambda p: np.save(p, np.empty((3, 0))), "at least one row and one column"),
        (lambda p: np.save(p, np.array([["a"]])), "expected numbers"),
        (lambda p: np.save(p, np.array([[1j]])), "Complex data not supported"),
        (lambda p: (np.save(p, np.ones((99, 9))), p.write_bytes(p.read_bytes()[:300])), "cannot be read"),
    ],
)
def test_damaged_npy(write, message, tmp_path):
    path = tmp_path / "x.npy"
    write(path)
    with pytest.raises(DataError, match=message):
        as_source(path)


BAD = {
    "one dimension": np.arange(3),
    "three dimensions": np.ones((2, 2, 2)),
    "a number": 3,
    "nothing": None,
    "no rows": np.empty((0, 3)),
    "no columns": np.empty((3, 0)),
    "NaN": np.array([[1, np.nan]]),
    "infinity": np.array([[1, np.inf]], dtype=np.float32),
    "complex": np.array([[1j]]),
    "text": np.array([["a"]]),
    "text in objects": np.array([[1, "b"]], dtype=object),
    "sparse NaN": sp.csr_array(np.array([[1, np.nan]])),
    "sparse, no rows": sp.csr_array((0, 3)),
}


@pytest.mark.parametrize("name", BAD)
def test_unusable_arrays_fail_with_the_words_of_scikit_learn(name):
    with pytest.raises(ValueError, match=r".") as theirs:
        check_array(BAD[name], accept_sparse="csr", input_name="X")
    with pytest.raises(DataError) as ours:
        as_source(BAD[name])
    assert str(ours.value).startswith(str(theirs.value))


def test_the_first_nan_is_located():
    X = np.ones((4, 3))
    X[2, 1] = X[3, 0] = np.nan
    with pytest.raises(DataError, match="row 2, column 1"):
        as_source(X)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_type_errors_pass():
    with pytest.raises(TypeError, match=r"argument must be .* string.* number"):
        as_source(np.array([[1, {"foo": "bar"}]], dtype=object))
    with pytest.raises(TypeError, match=r"np.matrix is not supported"):
        as_source(np.asmatrix(np.eye(2)))


def test_dates_and_masks():
    with pytest.raises(DataError, match=r"datetime64.*expected numbers"):
        as_source(np.array([["2020-01-01"]], dtype="datetime64[D]"))
    with pytest.raises(DataError, match="masked"):
        as_source(np.ma.masked_less(np.eye(3), 0.5))


def test_columns_by_position(table, check_source):
    check_source(as_source(table, columns=[2, 0]), table[:, [2, 0]])
    check_source(as_source(table, exclude=[1]), table[:, [0, 2]])
    with pytest.raises(ConfigError, match=r"no column 7, .*positions 0 to 2"):
        as_source(table, columns=[7])
    with pytest.raises(ConfigError, match="leave no column"):
        as_source(table, exclude=[0, 1, 2])


def test_blocks_come_in_random_order_only_with_a_generator(table, rng):
    source = as_source(table)
    assert [i[0] for i, _ in source.blocks(100)] == list(range(0, 1000, 100))
    assert [i[0] for i, _ in source.blocks(100, rng)] != list(range(0, 1000, 100))
    with pytest.raises(ConfigError, match="at least 1"):
        next(source.blocks(0))


def test_is_a_source(table):
    source = as_source(table)
    assert isinstance(source, Source)
    assert as_source(source) is source
    with pytest.raises(ConfigError, match="a Source already"):
        as_source(source, exclude=[0])


@pytest.mark.parametrize(("how", "word"), [({"columns": [True, False]}, "True"), ({"exclude": [1.0]}, r"1\.0")])
def test_positions_are_whole_numbers(how, word):
    with pytest.raises(ConfigError, match=rf"hold {word}, and the columns of these data have no names; expected pos"):
        as_source(np.eye(3), **how)


def test_columns_may_come_as_an_array():
    assert as_source(np.eye(3), columns=np.array([2, 0])).take(np.arange(3)).tolist() == [[0, 1], [0, 0], [1, 0]]
    assert as_source(np.eye(3), exclude=np.array([1])).n_features == 2


def test_entries_of_one_place_count_as_their_sum():
    twice = sp.csr_matrix((np.array([20, 10], np.uint8), np.array([1, 1]), np.array([0, 2, 2])), shape=(2, 3))
    source = as_source(twice)
    assert source.take(np.arange(2)).tolist() == [[0, 30, 0], [0, 0, 0]]
    assert twice.nnz == 2  # the data of the user stay as they are
