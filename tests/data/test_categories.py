"""Category columns against scikit-learn's encoder, from every kind of data that has names."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as pf
import pytest
from sklearn.preprocessing import OneHotEncoder

import steinmix as sm
from steinmix.data import as_source, categories, choose_scaling, column_statistics
from steinmix.data.pack import pack
from steinmix.data.texts import canonical
from steinmix.errors import ConfigError, DataError

NAMES = ["kind", "size"]


@pytest.fixture
def frame(rng):
    kinds = rng.choice(["tcp", "udp", "icmp", ""], size=60)
    return pd.DataFrame(
        {"a": rng.normal(size=60), "kind": kinds, "b": rng.integers(0, 9, size=60) / 4, "size": rng.integers(1, 4, 60)}
    )


def folder(frame, path):
    path.mkdir()
    frame[:25].to_parquet(path / "0.parquet", row_group_size=10)
    frame[25:].to_parquet(path / "1.parquet")
    return path


def arrow(frame, path):
    pf.write_feather(pa.Table.from_pandas(frame), str(path))
    return path


KINDS = {
    "csv": lambda f, p: f.to_csv(p / "x.csv", index=False) or p / "x.csv",
    "csv.gz": lambda f, p: f.to_csv(p / "x.csv.gz", index=False) or str(p / "x.csv.gz"),
    "parquet": lambda f, p: folder(f, p / "parts"),
    "arrow": lambda f, p: arrow(f, p / "x.arrow"),
    "pandas": lambda f, p: f,
    "pyarrow": lambda f, p: pa.Table.from_pandas(f),
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_encoder_of_scikit_learn(frame, kind, tmp_path):
    source = as_source(KINDS[kind](frame, tmp_path), categories=NAMES)
    encoder = OneHotEncoder(sparse_output=False).fit(frame[NAMES].astype(str))
    expected = np.hstack([frame[["a", "b"]], encoder.transform(frame[NAMES].astype(str))])
    values = [f"{name}={value}" for name, found in zip(NAMES, encoder.categories_) for value in found]
    assert source.feature_names == ["a", "b", *values]
    assert source.describe()["shape"] == list(expected.shape) == [source.n_rows, source.n_features]
    np.testing.assert_array_equal(source.take(np.arange(60)), expected)
    for index, rows in source.blocks(7, np.random.default_rng(0)):
        np.testing.assert_array_equal(rows, expected[index])


@pytest.mark.parametrize("kind", KINDS)
def test_all_columns_may_be_categories(frame, kind, tmp_path):
    source = as_source(KINDS[kind](frame[NAMES], tmp_path), categories=NAMES)
    expected = OneHotEncoder(sparse_output=False).fit_transform(frame[NAMES].astype(str))
    assert source.dtype == np.float32
    np.testing.assert_array_equal(source.take(np.arange(60)), expected)
    for index, rows in source.blocks(7, np.random.default_rng(0)):
        np.testing.assert_array_equal(rows, expected[index])
    (tmp_path / "new").mkdir()
    again = as_source(KINDS[kind](frame[:9], tmp_path / "new"), columns=[], categories=source.categories)
    np.testing.assert_array_equal(again.take(np.arange(9)), expected[:9])


def test_new_rows_get_the_columns_of_the_first(frame):
    first = as_source(frame, categories=NAMES)
    few = as_source(frame[:4], categories=first.categories)
    assert few.feature_names == first.feature_names
    np.testing.assert_array_equal(few.take(np.arange(4)), first.take(np.arange(4)))


def test_values_not_seen_before_are_told_and_nought(frame):
    first = as_source(frame, categories=["kind"], exclude=["size"])
    other = frame.assign(kind=["sctp"] * 2 + ["udp"] * 58)
    with pytest.warns(sm.UnknownCategoryWarning, match=r"2 of the rows .* 'kind' that is not known \('sctp'\)"):
        rows = as_source(other, categories=first.categories, exclude=["size"]).take(np.array([1, 2]))
    assert rows[0, 2:].sum() == 0
    assert rows[1, 2:].tolist() == [float(value == "udp") for value in first.categories["kind"]]


def test_a_column_of_which_no_value_is_known_has_probably_changed(frame):
    first = as_source(frame, categories=["kind"], exclude=["size"])
    known = first.categories["kind"][0]
    text = f"got for example '6', expected for example '{known}'. The type or the coding of the column .*say little"
    with pytest.warns(sm.UnknownCategoryWarning, match=f"none of the 60 rows has a known value of 'kind': {text}"):
        as_source(frame.assign(kind=6), categories=first.categories, exclude=["size"])
    with pytest.warns(sm.UnknownCategoryWarning, match=r"1 of the rows .*their scores say little"):
        as_source(frame[:1].assign(kind=6), categories=first.categories, exclude=["size"])


def test_what_is_missing_is_a_value_of_its_own():
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "kind": ["a", None, float("nan")]})
    for found in (frame, pa.Table.from_pandas(frame)):
        assert as_source(found, categories=["kind"]).take(np.arange(3))[:, 1:].tolist() == [[0, 1], [1, 0], [1, 0]]


@pytest.mark.parametrize("kind", KINDS)
def test_one_value_has_one_spelling_in_every_kind_of_data(kind, tmp_path):
    days = pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-01"])
    columns = {"paid": [True, False, True], "code": [1.0, float("nan"), 20.0], "day": days}
    times = pd.Series(days) + pd.to_timedelta([0, 0, 36_000_500], unit="ms")
    table = pd.DataFrame(columns | {"at": times})
    found = as_source(KINDS[kind](table, tmp_path), categories=list(table)).categories
    assert found == {
        "paid": ["false", "true"],
        "code": ["", "1", "20"],
        "day": ["2020-01-01", "2020-01-02"],
        "at": ["2020-01-01", "2020-01-01 10:00:00.5", "2020-01-02"],
    }


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("TRUE", "true"),
        ("truely", "truely"),
        ("-0.0", "0"),
        ("-0", "0"),
        ("1e+15", "1000000000000000"),
        ("1.25e+01", "1.25e+01"),
        ("1.50", "1.50"),
        ("01.0", "01.0"),
        ("12E4", "12E4"),
        ("2020-01-01T00:00:00.000", "2020-01-01"),
        ("2020-01-01 00:00:01.000", "2020-01-01 00:00:01"),
        ("10.0.0.1", "10.0.0.1"),
    ],
)
def test_spellings(written, text):
    assert canonical(written) == text


def test_values_of_earlier_models_are_known_by_their_old_spelling():
    table = pd.DataFrame({"paid": [True, False], "code": [2.0, 1.0]})
    known = {"paid": ["False", "True"], "code": ["1.0", "2.0"]}
    source = as_source(table, columns=[], categories=known)
    assert source.feature_names == ["paid=False", "paid=True", "code=1.0", "code=2.0"]
    assert source.take(np.arange(2)).tolist() == [[0, 1, 0, 1], [1, 0, 1, 0]]


@pytest.mark.parametrize(
    ("dtype", "value", "text"),
    [("string", "a", "a"), ("boolean", True, "true"), ("Int64", 3, "3"), ("Float64", 2.0, "2")],
)
def test_nullable_types_of_pandas_may_miss_values(dtype, value, text):
    table = pd.DataFrame({"x": [1.0, 2.0], "kind": pd.array([value, pd.NA], dtype=dtype)})
    assert as_source(table, categories=["kind"]).categories == {"kind": ["", text]}


def test_what_is_not_a_number_is_missing_in_a_file(tmp_path):
    pf.write_feather(pa.table({"code": [1.0, float("nan")]}), str(tmp_path / "x.arrow"))
    assert as_source(tmp_path / "x.arrow", categories=["code"]).categories == {"code": ["", "1"]}


def test_rows_keep_their_type(frame, tmp_path):
    narrow = frame[["a", "kind"]].astype({"a": np.float32})
    assert as_source(narrow, categories=["kind"]).take(np.array([0])).dtype == np.float32


@pytest.mark.parametrize("kind", ["uint8", "bool"])
def test_bytes_become_floats_for_0_and_1_are_no_pixels(kind):
    table = pd.DataFrame({"a": np.array([0, 1, 1, 0], kind), "kind": list("xyxy")})
    source = as_source(table, categories=["kind"])
    assert source.dtype == source.take(np.arange(4)).dtype == np.float32
    assert source.describe()["dtype"] == "float32"
    scaling = choose_scaling(column_statistics(source), "auto", source.dtype)
    assert scaling.scale.tolist() == [1, 1, 1]


@pytest.mark.parametrize("ending", ["csv", "parquet", "arrow", "csv.parquet"])
def test_files_without_the_category(frame, tmp_path, ending):
    path = tmp_path / f"flows.{ending}"
    table = frame.drop(columns="size")
    if ending == "csv":
        table.to_csv(path, index=False)
    else:
        arrow(table, path) if ending == "arrow" else table.to_parquet(path)
    assert as_source(path, columns=["a"], categories=["kind"]).n_features == 5
    with pytest.raises(ConfigError, match=r"no column 'size', which is asked .* fitted on; there are 'a', 'kind', 'b'"):
        as_source(path, columns=["a"], categories=["size"])


def test_a_source_of_categories_is_packed(frame, tmp_path):
    source = as_source(frame, categories=NAMES)
    pack(source, tmp_path / "packed.parquet")
    packed = as_source(tmp_path / "packed.parquet")
    assert packed.feature_names == source.feature_names
    np.testing.assert_array_equal(packed.take(np.arange(60)), source.take(np.arange(60)))


def test_an_estimator_takes_it(frame):
    source = as_source(frame, categories=["kind"])
    model = sm.GaussianMixture(2, random_state=0).fit(source)
    again = as_source(frame[:9], categories=source.categories)
    assert np.array_equal(model.predict(again), model.labels_[:9])


def test_bad_requests(frame, tmp_path, monkeypatch):
    frame.to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(ConfigError, match=r"Got one string .* Write \['name'\]"):
        as_source(frame, categories="kind")
    with pytest.raises(ConfigError, match="Got unknown columns"):
        as_source(frame, categories=["kin"])
    with pytest.raises(ConfigError, match="Got unknown columns"):
        as_source(tmp_path / "x.csv", categories=["kin"])
    with pytest.raises(ConfigError, match=r"Got \['kind'\] as categories and in `columns` or `exclude`"):
        as_source(frame, categories=["kind"], exclude=["kind"])
    with pytest.raises(ConfigError, match="ndarray; expected a file or a data frame"):
        as_source(np.eye(3), categories=[0])
    monkeypatch.setattr(categories, "MOST_VALUES", 3)
    with pytest.raises(DataError, match=r"'kind' has 4 different values; .* 3 at most.*fit --exclude kind\)"):
        as_source(frame, categories=["kind"])


@pytest.mark.parametrize("table", [{"x": ["a", "b"], "x=a": [1.0, 2.0]}, {"a": ["b=c", "d"], "a=b": ["c", "d"]}])
def test_two_columns_of_one_name_are_refused(table):
    kinds = [name for name, values in table.items() if isinstance(values[0], str)]
    with pytest.raises(DataError, match=r"two columns would be called '.=.*'"):
        as_source(pd.DataFrame(table), categories=kinds)
