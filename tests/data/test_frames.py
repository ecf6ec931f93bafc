import sys

import numpy as np
import pytest

import steinmix as sm
from steinmix.data import as_source
from steinmix.data.arrays import SparseSource
from steinmix.errors import ConfigError, DataError

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")


@pytest.fixture(params=["pandas", "pyarrow"])
def frame(request, table):
    columns = {
        "a": table[:, 0],
        "b": table[:, 1].astype(np.float32),
        "s": ["x"] * len(table),
        "d": table[:, 2] > 0,
    }
    return pd.DataFrame(columns) if request.param == "pandas" else pa.table(columns)


def test_numeric_columns_and_their_names(frame, table, check_source):
    source = as_source(frame, exclude=["s"])
    expected = np.column_stack([table[:, 0], table[:, 1].astype(np.float32), table[:, 2] > 0])
    check_source(source, expected)
    assert source.feature_names == ["a", "b", "d"]
    check_source(as_source(frame, columns=["b", "a"]), expected[:, [1, 0]])
    check_source(as_source(frame, columns=["b"]), expected[:, [1]].astype(np.float32))


def test_text_columns_are_named(frame):
    with pytest.raises(
        DataError, match=r"numbers: 's' \(\w+\).*exclude=\['s'\].*ories=\['s'\]\) .*fit --categories s\)"
    ):
        as_source(frame)


@pytest.mark.parametrize("dtype", [float, bool, "uint8"])
def test_a_frame_of_sparse_columns_stays_sparse(table, check_source, dtype):
    dummies = pd.get_dummies(np.where(table[:, 0] > 0, "up", "down"), sparse=True, dtype=dtype)
    source = as_source(dummies)
    assert isinstance(source, SparseSource)
    assert source.feature_names == ["down", "up"]
    expected = np.column_stack([table[:, 0] <= 0, table[:, 0] > 0])
    check_source(source, expected.astype(np.float64 if dtype is float else np.uint8))
    model = sm.GaussianMixture(2, training=sm.Training(epochs=1, progress=False), random_state=0).fit(dummies)
    assert model.predict(dummies).shape == (1000,)


def test_a_frame_of_sparse_columns_may_be_full_of_other_numbers():
    frame = pd.DataFrame({"a": pd.arrays.SparseArray([1.0, 1.0, 0.0], fill_value=1.0)})
    assert as_source(frame).take(np.arange(3)).tolist() == [[1], [1], [0]]


def test_unknown_columns(frame):
    with pytest.raises(ConfigError, match=r"unknown columns \['z'\].*'a'"):
        as_source(frame, exclude=["z"])


def test_a_name_with_a_comma_is_quoted():
    with pytest.raises(DataError, match=r"""sm\.as_source\(X, exclude=\['a, b'\]\) .*fit --exclude '"a, b"'\)"""):
        as_source(pd.DataFrame({"x": [1.0, 2.0], "a, b": ["u", "v"]}))


@pytest.mark.parametrize("hole", [np.array([1.0, np.nan]), np.array([1.0, np.inf]), pd.array([1, None], dtype="Int64")])
def test_the_first_bad_value_of_a_frame_is_located(hole):
    with pytest.raises(DataError, match=r"contains (NaN|infinity)[^$]*row 1, column 1 \('b'\)"):
        as_source(pd.DataFrame({"a": [1.0, 2.0], "b": hole}))
    with pytest.raises(DataError, match=r"row 1, column 1\."):
        as_source(pd.DataFrame({0: [1.0, 2.0], 1: hole}))


def test_one_name_is_not_a_list_of_letters(frame):
    with pytest.raises(ConfigError, match="expected a list"):
        as_source(frame, exclude="s")


def test_pandas_needs_no_narwhals_and_others_say_so(monkeypatch, table):
    monkeypatch.setitem(sys.modules, "narwhals.stable.v1", None)
    assert as_source(pd.DataFrame(table)).n_rows == len(table)
    with pytest.raises(ConfigError, match=r'pip install "steinmix\[data\]"'):
        as_source(pa.table({"a": table[:, 0]}))


def test_pandas_types(check_source):
    frame = pd.DataFrame({"i": pd.array([1, 2], dtype="Int64"), "o": np.array([1.5, 2], dtype=object)})
    check_source(as_source(frame), np.array([[1, 1.5], [2, 2]]), rows=1)
    with pytest.raises(DataError, match="contains NaN"):
        as_source(pd.DataFrame({"i": pd.array([1, None], dtype="Int64")}))
    with pytest.raises(DataError, match=r"'t'.*'c'"):
        as_source(pd.DataFrame({"t": pd.to_datetime(["2020-01-01"]), "c": pd.Categorical(["x"])}))


def test_names_that_are_numbers_are_no_names(table):
    assert as_source(pd.DataFrame(table)).feature_names is None
    assert as_source(pd.DataFrame(table), columns=[2]).n_features == 1


def test_missing_values_of_other_frames():
    with pytest.raises(DataError, match=r"contains NaN[^$]*column 1 \('b'\)"):
        as_source(pa.table({"a": [1.0, 2.0], "b": [1.0, None]}))


def test_a_series_is_no_table(table):
    with pytest.raises(DataError, match="2-dimensional"):
        as_source(pd.Series(table[:, 0]))
