import gzip
import pickle
import sys

import numpy as np
import pytest

from steinmix.data import as_source, csv, streams
from steinmix.errors import ConfigError, DataError, NamesWarning

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def write(path, table, header="a,b,c"):
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt") as file:
        np.savetxt(file, table, delimiter=",", header=header, comments="", fmt="%.17g")
    return path


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "X.CSV"])
def test_rows_and_names(name, tmp_path, table, check_source):
    path = write(tmp_path / name, table)
    source = as_source(path)
    check_source(source, table)
    assert source.feature_names == ["a", "b", "c"]
    assert source.describe() == {"kind": "csv", "shape": [1000, 3], "dtype": "float64", "path": str(path)}
    check_source(pickle.loads(pickle.dumps(as_source(path, columns=["c", "a"]))), table[:, [2, 0]])


def test_many_blocks(tmp_path, table, check_source, monkeypatch, rng):
    monkeypatch.setattr(csv, "_BLOCK_BYTES", 4096)
    source = as_source(write(tmp_path / "x.csv", table))
    assert len(list(source._pieces(None, None))) > 5
    check_source(source, table, rows=7)
    starts = [i[0] for i, _ in source.blocks(7, rng)]
    assert starts != sorted(starts)


def test_without_a_header(tmp_path, table, check_source):
    path = tmp_path / "x.csv"
    np.savetxt(path, table, delimiter=",", fmt="%.17g")
    source = as_source(path, exclude=[0])
    check_source(source, table[:, 1:])
    assert source.feature_names is None


@pytest.mark.parametrize("header", ["0,1,2", "1,2,3", "1_1,2,3", "\n\r\na,b,c", '"a;;;",b,c'])
def test_what_is_a_header(tmp_path, table, check_source, header):
    check_source(as_source(write(tmp_path / "x.csv", table, header=header)), table)


def test_other_counts_are_a_row(tmp_path):
    for name, text in {"two.csv": "2,3\n4,5\n", "one.csv": "1\n2\n"}.items():
        (tmp_path / name).write_text(text)
        source = as_source(tmp_path / name)
        assert (source.n_rows, source.feature_names) == (2, None)


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "X.TSV.GZ", "X.CSV.GZ"])
@pytest.mark.parametrize("separator", [";", "\t", "|"])
@pytest.mark.parametrize("header", ["a,b,c", '"a, in cm",b,c', "1.5,2.5,3.5"])
def test_other_separators(tmp_path, table, check_source, name, separator, header):
    path = tmp_path / name
    lines = [*next(csv.csv.reader([header])), *np.char.mod("%.17g", table).ravel()]
    text = "\n".join(separator.join(lines[i : i + 3]) for i in range(0, len(lines), 3))
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("GZ") else text.encode())
    check_source(as_source(path), np.vstack([[1.5, 2.5, 3.5], table]) if header.startswith("1") else table)


def test_the_last_ending_decides(tmp_path, table, check_source):
    pq.write_table(pa.table(dict(zip("abc", table.T))), tmp_path / "x.csv.parquet")
    check_source(as_source(tmp_path / "x.csv.parquet"), table)
    np.save(tmp_path / "x.npy", table)
    check_source(as_source((tmp_path / "x.npy").rename(tmp_path / "X.csv.NPY")), table)


def test_a_first_line_that_may_be_a_row_is_told(tmp_path):
    (tmp_path / "x.csv").write_text("tcp,1,2.5\nudp,3,4\n")
    with pytest.warns(NamesWarning, match=r"numbers such as '2.5' in its first line"):
        as_source(tmp_path / "x.csv", exclude=["tcp"])


def test_whole_numbers_then_others(tmp_path, monkeypatch, check_source):
    monkeypatch.setattr(csv, "_BLOCK_BYTES", 64)
    X = np.append(np.arange(200.0), 0.5)[:, None]
    check_source(as_source(write(tmp_path / "x.csv", X, header="a")), X)


def test_bool_becomes_number(tmp_path, check_source):
    (tmp_path / "x.csv").write_text("a,b\ntrue,1\nfalse,2\n")
    check_source(as_source(tmp_path / "x.csv"), np.array([[1.0, 1.0], [0.0, 2.0]]), rows=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        ("a,b\n", "0 rows"),
        ("a,b\n1,2\n3\n", "cannot be read"),
        ("a,b\n1,x\n", r"'b' \(string\).*exclude=\['b'\]"),
        ("a,b\n1,2\n,3\n", r"missing value in row 1, column 'a'"),
        ("a,a\n1,2\n", "several columns of one name"),
        (",a\n1,2\n", r"without a name.*exclude=\[''\]"),
        ("a,b\n1;2\n3;4\n", "cannot be read"),
    ],
)
def test_damaged_files(text, message, tmp_path):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        as_source(tmp_path / "x.csv")
    assert "expected" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_text_late_in_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(csv, "_BLOCK_BYTES", 64)
    (tmp_path / "x.csv").write_text("a\n" + "1\n" * 1000 + "x\n")
    with pytest.raises(DataError, match=r"cannot be read.*'x'"):
        as_source(tmp_path / "x.csv")


def test_not_gzip(tmp_path):
    (tmp_path / "x.csv.gz").write_text("a\n1\n")
    with pytest.raises(DataError, match="cannot be read"):
        as_source(tmp_path / "x.csv.gz")


def test_a_row_index_can_be_left_out(tmp_path, check_source):
    (tmp_path / "x.csv").write_text(",a\n0,2\n1,3\n")
    check_source(as_source(tmp_path / "x.csv", exclude=[""]), np.array([[2.0], [3.0]]), rows=1)


def test_unknown_files(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"")
    for name, message in {"x.zip": "unknown kind", "absent.csv": "There is no file"}.items():
        with pytest.raises(DataError, match=rf"{message}.*\.csv\.gz.*Parquet"):
            as_source(tmp_path / name)


def test_needs_pyarrow(tmp_path, table, monkeypatch):
    path = write(tmp_path / "x.csv", table)
    monkeypatch.setitem(sys.modules, "pyarrow.csv", None)
    with pytest.raises(ConfigError, match=r'pip install "steinmix\[data\]"'):
        as_source(path)


def test_the_base_defines_no_pieces(tmp_path):
    with pytest.raises(TypeError, match="abstract"):
        streams.StreamedSource(tmp_path, 1, 1, np.float32, None, "none")
