import pickle
import sys

import numpy as np
import pytest

from steinmix.data import as_source, streams
from steinmix.errors import ConfigError, DataError

pa = pytest.importorskip("pyarrow")
feather = pytest.importorskip("pyarrow.feather")


def write(path, table, rows=130, compression="uncompressed", **columns):
    named = {c: table[:, i] for i, c in enumerate("abc")}
    feather.write_feather(pa.table(named | columns), path, chunksize=rows, compression=compression)
    return path


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
@pytest.mark.parametrize("ending", [".arrow", ".feather", ".ipc"])
def test_scalar_columns(tmp_path, table, check_source, compression, ending):
    path = write(tmp_path / f"x{ending}", table, compression=compression, label=["x"] * len(table))
    source = as_source(path, exclude=["label"])
    check_source(source, table)
    assert source.feature_names == ["a", "b", "c"]
    assert not source.random_access
    shown = {"kind": "arrow", "shape": [1000, 3], "dtype": "float64", "path": str(path), "files": 1, "row_groups": 8}
    assert source.describe() == shown
    check_source(pickle.loads(pickle.dumps(as_source(path, columns=["c", "a"]))), table[:, [2, 0]])


def test_a_column_of_vectors(tmp_path, rng, check_source):
    X = rng.integers(0, 256, (500, 16), dtype=np.uint8)
    for name, column in {
        "fixed": pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 16),
        "list": pa.array(list(X)),
        "binary": pa.array([row.tobytes() for row in X], type=pa.binary(16)),
    }.items():
        path = tmp_path / f"{name}.arrow"
        feather.write_feather(pa.table({"label": np.arange(500), "image": column}), path, chunksize=130)
        check_source(as_source(path, columns=["image"]), X)


def test_large_batches_are_read_in_pieces(tmp_path, table, check_source, monkeypatch):
    monkeypatch.setattr(streams, "PIECE_BYTES", 100 * 3 * 8)
    source = as_source(write(tmp_path / "x.arrow", table, rows=1000))
    assert len(list(source._pieces(None, None))) == 10
    check_source(source, table)


def test_a_folder_in_the_order_of_names(tmp_path, table, check_source):
    write(tmp_path / "part-1.arrow", table[600:])
    write(tmp_path / "part-0.arrow", table[:600])
    (tmp_path / "notes.txt").write_text("not data")
    source = as_source(tmp_path)
    check_source(source, table)
    assert source.describe()["files"] == 2


def test_missing_values_are_located(tmp_path):
    path = tmp_path / "x.arrow"
    feather.write_feather(pa.table({"a": [1.0, 2.0, 3.0], "b": [1, 2, None]}), path, chunksize=2)
    with pytest.raises(DataError, match=r"missing value in row 2, column 'b'"):
        list(as_source(path).blocks(10))


def test_damaged_empty_and_streamed_files(tmp_path, table):
    path = write(tmp_path / "x.arrow", table)
    (tmp_path / "cut.arrow").write_bytes(path.read_bytes()[:-100])
    (tmp_path / "empty.arrow").write_bytes(b"")
    write(tmp_path / "rowless.arrow", table[:0])
    batch = pa.record_batch({"a": [1.0]})
    with pa.ipc.new_stream(str(tmp_path / "stream.arrow"), batch.schema) as writer:
        writer.write_batch(batch)
    for name, message in {
        "cut.arrow": "cannot be read",
        "empty.arrow": "cannot be read",
        "rowless.arrow": "0 rows",
        "stream.arrow": "not a stream",
        "absent.arrow": "There is no file",
    }.items():
        with pytest.raises(DataError, match=message) as caught:
            as_source(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_needs_pyarrow(tmp_path, table, monkeypatch):
    path = write(tmp_path / "x.arrow", table)
    monkeypatch.setitem(sys.modules, "pyarrow.ipc", None)
    with pytest.raises(ConfigError, match=r'pip install "steinmix\[data\]"'):
        as_source(path)
