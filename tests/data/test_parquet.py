import pickle
import sys
import tracemalloc
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest

from steinmix.data import as_source, column_statistics, streams
from steinmix.data.layout import flat_values
from steinmix.errors import ConfigError, DataError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
feather = pytest.importorskip("pyarrow.feather")


def write(path, table, rows=130, **columns):
    named = {c: table[:, i] for i, c in enumerate("abc")}
    pq.write_table(pa.table(named | columns), path, row_group_size=rows)
    return path


def vectors(X):
    yield "fixed list", pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), X.shape[1])
    yield "list", pa.array(list(X))
    yield "large list", pa.array(list(X), type=pa.large_list(pa.uint8()))
    yield "binary", pa.array([row.tobytes() for row in X], type=pa.binary(X.shape[1]))


def test_scalar_columns(tmp_path, table, check_source):
    path = write(tmp_path / "x.parquet", table, label=["x"] * len(table))
    source = as_source(path, exclude=["label"])
    check_source(source, table)
    assert source.feature_names == ["a", "b", "c"]
    assert not source.random_access
    assert source.describe() == {
        "kind": "parquet",
        "shape": [1000, 3],
        "dtype": "float64",
        "path": str(path),
        "files": 1,
        "row_groups": 8,
    }
    check_source(pickle.loads(pickle.dumps(as_source(path, columns=["c", "a"]))), table[:, [2, 0]])


def test_types_are_joined(tmp_path, table, check_source):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"f": table[:, 0].astype(np.float32), "b": table[:, 1] > 0}), path)
    check_source(as_source(path), np.column_stack([table[:, 0].astype(np.float32), table[:, 1] > 0]))
    check_source(as_source(path, columns=["b"]), (table[:, [1]] > 0).astype(np.uint8))


def test_decimals_are_numbers(tmp_path, check_source):
    """Databases export amounts of money so."""
    amounts = pa.array([Decimal("1.25"), Decimal("-3.50"), Decimal("1000.00")])
    pq.write_table(pa.table({"price": amounts, "count": [1, 2, 3]}), tmp_path / "x.parquet")
    check_source(as_source(tmp_path / "x.parquet"), np.array([[1.25, 1], [-3.5, 2], [1000, 3]]))


def test_columns_of_vectors(tmp_path, rng, check_source):
    X = rng.integers(0, 256, (500, 16), dtype=np.uint8)
    for name, column in vectors(X):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"image": column, "label": np.arange(500)}), path, row_group_size=130)
        source = as_source(path, columns=["image"])
        check_source(source, X)
        assert source.feature_names is None
        with pytest.raises(DataError, match=r"vectors in column 'image'.*columns=\['image'\]"):
            as_source(path)


def test_slices_of_vectors_start_where_they_should(rng):
    X = rng.integers(0, 256, (50, 4), dtype=np.uint8)
    for _, column in vectors(X):
        assert np.array_equal(flat_values(column.slice(7, 5), 4, np.uint8).reshape(5, 4), X[7:12])


def test_a_folder_in_the_order_of_names(tmp_path, table, check_source):
    write(tmp_path / "part-1.parquet", table[600:])
    write(tmp_path / "part-0.parquet", table[:600])
    (tmp_path / "notes.txt").write_text("not data")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    write(tmp_path / ".ipynb_checkpoints" / "part-0.parquet", table[:600])
    (tmp_path / "._part-1.parquet").write_bytes(b"what macOS leaves")
    (tmp_path / "part-1.parquet").rename(tmp_path / "part-1.PARQUET")
    source = as_source(tmp_path)
    check_source(source, table)
    assert source.describe()["files"] == 2


def test_files_of_a_folder_must_agree(tmp_path, table):
    write(tmp_path / "0.parquet", table)
    write(tmp_path / "1.parquet", table.astype(np.float32))
    with pytest.raises(DataError, match=r"1.parquet differs from .*0.parquet in the columns \['a', 'b', 'c'\]"):
        as_source(tmp_path)


def test_files_of_a_folder_are_of_one_kind(tmp_path, table):
    write(tmp_path / "0.parquet", table)
    feather.write_feather(pq.read_table(tmp_path / "0.parquet"), tmp_path / "1.feather")
    with pytest.raises(DataError, match=r"two kinds \(0.parquet and 1.feather\); expected one kind"):
        as_source(tmp_path)


def test_a_hidden_folder_may_be_named(tmp_path, table, check_source):
    (tmp_path / ".cache").mkdir()
    write(tmp_path / ".cache" / "0.parquet", table)
    check_source(as_source(tmp_path / ".cache"), table)


def test_pandas_index_is_no_feature(tmp_path, table):
    pd = pytest.importorskip("pandas")
    pd.DataFrame(table, columns=list("abc"), index=np.arange(1000)[::-1]).to_parquet(tmp_path / "x.parquet")
    assert as_source(tmp_path / "x.parquet").feature_names == ["a", "b", "c"]


def test_large_row_groups_are_read_in_pieces(tmp_path, table, check_source, monkeypatch):
    monkeypatch.setattr(streams, "PIECE_BYTES", 100 * 3 * 8)
    path = write(tmp_path / "x.parquet", table, rows=1000)
    source = as_source(path)
    assert len(list(source._pieces(None, None))) == 10
    check_source(source, table)


def test_groups_and_blocks_are_shuffled_with_a_generator(tmp_path, table, rng):
    source = as_source(write(tmp_path / "x.parquet", table, rows=250))
    starts = [i[0] for i, _ in source.blocks(50, rng)]
    groups = [start // 250 for start in starts]
    assert groups != sorted(groups)
    assert any(a > b for a, b in pairwise(starts) if a // 250 == b // 250)


def test_memory_does_not_grow_with_the_rows(tmp_path, rng):
    path = tmp_path / "x.parquet"
    block = pa.table({f"x{i}": rng.random(5000, dtype=np.float32) for i in range(20)})
    with pq.ParquetWriter(path, block.schema) as writer:
        for _ in range(40):
            writer.write_table(block)
    source = as_source(path)
    whole = source.n_rows * source.n_features * 4
    before, arrow = pa.total_allocated_bytes(), 0
    tracemalloc.start()
    for _ in source.blocks(1000, rng):
        arrow = max(arrow, pa.total_allocated_bytes() - before)
    column_statistics(source, rows=1000)
    source.take(np.array([0, 199_999]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert whole == 16_000_000
    assert peak < whole / 5
    assert arrow < whole / 5


def test_take_reads_only_the_groups_it_needs(tmp_path, table, monkeypatch):
    source = as_source(write(tmp_path / "x.parquet", table, rows=100))
    read = []
    decoded = source._decoded
    monkeypatch.setattr(source, "_decoded", lambda group: read.append(group.number) or decoded(group))
    source.take(np.array([950, 120, 130]))
    assert read == [1, 9]
    with pytest.raises(IndexError, match="expected rows of 0 to 999"):
        source.take(np.array([1000]))


def test_text_columns_are_named(tmp_path, table):
    path = write(tmp_path / "x.parquet", table, label=["x"] * 1000, day=[["x"]] * 1000)
    with pytest.raises(
        DataError, match=r"'label' \(string\), .*exclude=\['label', 'day'\]\) .*fit --exclude label,day\)"
    ):
        as_source(path)
    with pytest.raises(ConfigError, match="no column 'z'"):
        as_source(path, columns=["z"])


def test_missing_values_are_located(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": [1.0, 2.0, 3.0], "b": [1, 2, None]}), path, row_group_size=2)
    with pytest.raises(DataError, match=r"missing value in row 2, column 'b'.*exclude=\['b'\]\) .*fit --exclude b\)"):
        list(as_source(path).blocks(10))


@pytest.mark.parametrize("column", [[[1, 2], [1, 2], [3]], [[1, 2], [1, 2], [3, None]], [[1, 2], None, [1, 2]]])
def test_ragged_vectors(column, tmp_path):
    pq.write_table(pa.table({"v": column}), tmp_path / "x.parquet")
    source = as_source(tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"'v'.*(length 2|missing value)|missing value in row 1, column 'v'"):
        list(source.blocks(10))


def test_damaged_empty_and_absent_files(tmp_path, table):
    path = write(tmp_path / "x.parquet", table)
    (tmp_path / "cut.parquet").write_bytes(path.read_bytes()[:-100])
    (tmp_path / "empty.parquet").write_bytes(b"")
    write(tmp_path / "rowless.parquet", table[:0])
    pq.write_table(pa.table({"v": [[], []]}, schema=pa.schema({"v": pa.list_(pa.int8())})), tmp_path / "v.parquet")
    (tmp_path / "folder").mkdir()
    for name, message in {
        "cut.parquet": "cannot be read",
        "empty.parquet": "cannot be read",
        "rowless.parquet": "0 rows",
        "v.parquet": "length 0",
        "folder": "holds no Parquet or Arrow file",
        "absent.parquet": "There is no file",
    }.items():
        with pytest.raises(DataError, match=message) as caught:
            as_source(tmp_path / name)
        assert "expected" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_damage_inside_is_reported_when_read(tmp_path, table):
    path = write(tmp_path / "x.parquet", table)
    raw = bytearray(path.read_bytes())
    raw[4:2000] = bytes(1996)
    path.write_bytes(raw)
    with pytest.raises(DataError, match="cannot be read"):
        list(as_source(path).blocks(100))


def test_needs_pyarrow(tmp_path, table, monkeypatch):
    path = write(tmp_path / "x.parquet", table)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigError, match=r'pip install "steinmix\[data\]"'):
        as_source(path)
