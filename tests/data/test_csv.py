import gzip
import pickle
import sys

import numpy as np
import pytest

from steinmix.data import arrays, as_source, csv, streams
from steinmix.data.arrays import held
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


def test_a_small_file_is_read_once_and_told_of_as_the_file(tmp_path, table, check_source, monkeypatch):
    path = write(tmp_path / "x.csv", table)
    source = as_source(path)
    kept = held(source, 2**31)
    path.unlink()
    check_source(kept, table)
    assert kept.random_access
    assert kept.describe() == source.describe()
    assert kept.feature_names == ["a", "b", "c"]
    assert held(source, 1000 * 3 * 8 - 1) is source
    monkeypatch.setattr(arrays, "HELD_BYTES", 1000)
    assert held(source, 2**31) is source


def test_without_a_header(tmp_path, table, check_source):
    path = tmp_path / "x.csv"
    np.savetxt(path, table, delimiter=",", fmt="%.17g")
    source = as_source(path, exclude=[0])
    check_source(source, table[:, 1:])
    assert source.feature_names is None


@pytest.mark.parametrize("header", ["1_1,2,3", "\n\r\na,b,c", '"a;;;",b,c', '"a\n\nb",b,c'])
def test_what_is_a_header(tmp_path, table, check_source, header):
    check_source(as_source(write(tmp_path / "x.csv", table, header=header)), table)


@pytest.mark.parametrize("header", ["0,1,2", "1,2,3", "2019,2020,2021", "400,410,420", "3,2,1", "-5,0,5"])
def test_numbers_that_count_or_go_in_equal_steps_are_a_header_and_told(tmp_path, table, check_source, header):
    with pytest.warns(NamesWarning, match=f"numbers such as '{header.split(',')[0]}' in its first line") as caught:
        source = as_source(write(tmp_path / "x.csv", table, header=header))
    check_source(source, table)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        ("x.csv", "height, cm;weight, kg\n1;2\n", [[1, 2]]),
        ("x.csv", "height, cm;weight, kg\n\n1;2\n", [[1, 2]]),
        ("x.csv", 'a,"b;c;d"\n1,2\n', [[1, 2]]),
        ("x.csv", "1,3\n", [[1, 3]]),
        ("x.tsv", "len, cm\n1\n3\n", [[1], [3]]),
        ("x.tsv", "x, y\ta, b\n1\t2\n", [[1, 2]]),
        ("x.tsv", "x, y\ta\n\n1\t2\n", [[1, 2]]),
    ],
)
def test_the_second_line_helps_to_find_the_separator(tmp_path, name, text, rows):
    (tmp_path / name).write_text(text)
    assert as_source(tmp_path / name).take(np.arange(len(rows))).tolist() == rows


@pytest.mark.parametrize("text", ["a;b\n1,5;2,5\n", "1,25;2,5\n3,5;4,5\n", 'a,b\n"1,5",2\n', "a\tb\n1\t2\n-1,5e3\t2\n"])
def test_decimal_commas_are_named(tmp_path, text):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=r"numbers with a comma, such as '-?\d,5.*expected decimal points") as caught:
        as_source(tmp_path / "x.csv")
    assert "categories" not in str(caught.value)


@pytest.mark.parametrize(("text", "row"), [("a\n1\n\n3\n", 1), ("1\n\n\n3\n", 1), ("\n\na\r\n\r\n1\r\n", 0)])
@pytest.mark.parametrize("options", [{}, {"categories": ["a"]}])
def test_an_empty_line_of_one_column_is_a_missing_value(tmp_path, text, row, options):
    if options and "a" not in text:
        text = f"a\n{text}"
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=f"missing value in row {row}, column"):
        as_source(tmp_path / "x.csv", **options)


def test_empty_lines_at_the_ends_are_none(tmp_path):
    (tmp_path / "x.csv").write_text("\n\na\n1\n2\n\n\n")
    assert as_source(tmp_path / "x.csv").n_rows == 2
    (tmp_path / "x.csv").write_text("a,b\n1,2\n\n2,3\n")
    assert as_source(tmp_path / "x.csv").n_rows == 2


def test_a_first_row_with_a_missing_value_is_no_header(tmp_path):
    (tmp_path / "x.csv").write_text("1.5,,3\n1,2,3\n")
    with pytest.raises(DataError, match=r"missing value in row 0, column 1;.*exclude=\[1\]"):
        as_source(tmp_path / "x.csv")
    assert as_source(tmp_path / "x.csv", exclude=[1]).take(np.arange(2)).tolist() == [[1.5, 3], [1, 3]]
    (tmp_path / "x.csv").write_text(",0,1\n0,2.5,3\n")
    with pytest.raises(DataError, match="without a name, often a row index"):
        as_source(tmp_path / "x.csv")


def test_columns_without_names_are_called_by_position(tmp_path):
    (tmp_path / "x.csv").write_text("1.5,2\n1,x\n")
    with pytest.raises(DataError, match=r"exclude=\[1\]"):
        as_source(tmp_path / "x.csv")


def test_fields_of_any_length(tmp_path):
    wide = ",".join(f"{i}.123456" for i in range(20_000))
    (tmp_path / "x.csv").write_text(f"{wide}\n{wide}\n")
    assert as_source(tmp_path / "x.csv").n_features == 20_000
    (tmp_path / "x.csv").write_text(f"a,b\n{'x' * 200_000},2\n")
    assert as_source(tmp_path / "x.csv", exclude=["a"]).take(np.arange(1)).tolist() == [[2]]
    for text in ("x" * 200_000, 'a,"b\n' + "1,2\n" * 9):
        (tmp_path / "x.csv").write_text(text)
        with pytest.raises(DataError) as caught:
            as_source(tmp_path / "x.csv")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("row", ["5,5,5", "2,4,8", "1.5,2,2.5", "2,4,"])
def test_numbers_in_other_steps_are_a_row(tmp_path, row):
    (tmp_path / "x.csv").write_text(f"{row}\n1,0,7\n")
    assert as_source(tmp_path / "x.csv", exclude=[2]).n_rows == 2


def test_years_beside_the_index_of_pandas_are_names(tmp_path):
    (tmp_path / "x.csv").write_text(",2019,2020,2021\n0,4,1,7\n1,5,2,9\n")
    assert as_source(tmp_path / "x.csv", exclude=[""]).feature_names == ["2019", "2020", "2021"]


def test_other_counts_are_a_row(tmp_path):
    for name, text in {"two.csv": "2,3\n4,5\n", "one.csv": "1\n2\n", "steps.csv": "2,4,6\n3,5,7\n"}.items():
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
    with pytest.warns(NamesWarning, match=r"numbers such as '2.5' in its first line") as caught:
        as_source(tmp_path / "x.csv", exclude=["tcp"])
    assert caught[0].filename == __file__


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
        ("a,a\n1,2\n", "several columns of one name, 'a';"),
        ("Customers 2024,,,\nid,age,income,x\n1,2,3,4\n", r"looks like a title \('Customers 2024'\)\. Remove it"),
        ("My table\n\na,b\n1,2\n", r"one field in its first line .*My table.* and 2 in.*Remove the first line"),
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


@pytest.mark.parametrize("block", [64, 2**20])
@pytest.mark.parametrize("cell", ["oops", "-", "Total"])
def test_the_one_cell_that_is_no_number_is_named(tmp_path, monkeypatch, block, cell):
    monkeypatch.setattr(csv, "_BLOCK_BYTES", block)
    (tmp_path / "x.csv").write_text("age,income\n" + "1,1\n2,2.5\n" * 500 + f"3,{cell}\n4,x\n5,NA\n")
    with pytest.raises(DataError, match=rf"row 1000, column 'income', but '{cell}'; expected a number") as caught:
        as_source(tmp_path / "x.csv")
    assert "categories" not in str(caught.value)
    (tmp_path / "x.csv").write_text(f"1.5,2\n3,4\n{cell},6\n")
    with pytest.raises(DataError, match=rf"row 2, column 0, but '{cell}'.*exclude=\[0\]"):
        as_source(tmp_path / "x.csv")


def test_columns_that_are_mostly_text_are_named_alone(tmp_path):
    (tmp_path / "x.csv").write_text("kind,age\na,\n2,oops\nb,3\n")
    with pytest.raises(DataError, match=r"columns that are not numbers: 'kind' \(string\); expected"):
        as_source(tmp_path / "x.csv")


def test_not_gzip(tmp_path):
    (tmp_path / "x.csv.gz").write_text("a\n1\n")
    with pytest.raises(DataError, match="cannot be read"):
        as_source(tmp_path / "x.csv.gz")


@pytest.mark.parametrize("separator", list(";,\t^"))
@pytest.mark.parametrize("names", ["x", "x;y", ""])
def test_a_first_line_that_tells_the_separator_is_obeyed(tmp_path, separator, names):
    rows = np.arange(12.0).reshape(6, 2)[:, : names.count(";") + 1] / 4
    lines = [f"sep={separator}", *filter(None, [names]), *(";".join(map(str, row)) for row in rows)]
    (tmp_path / "x.csv").write_text("\r\n".join(lines).replace(";", separator), encoding="utf-8-sig")
    source = as_source(tmp_path / "x.csv")
    assert source.feature_names == (names.split(";") if names else None)
    assert source.take(np.arange(6)).tolist() == rows.tolist()
    if names:
        assert as_source(tmp_path / "x.csv", categories=["x"]).n_rows == 6


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
@pytest.mark.parametrize(("text", "rows"), [("größe,Ort\n", 0), ("a,Ort\n", 9), ("a,Ort\n", 9999)])
def test_other_encodings_are_refused_in_one_line(tmp_path, encoding, text, rows):
    (tmp_path / "x.csv").write_bytes((text + "1,Bonn\n" * rows + "2,Köln\n").encode(encoding))
    with pytest.raises(DataError, match=r"x.csv is not UTF-8 text; expected .* Save it as UTF-8\.$"):
        as_source(tmp_path / "x.csv", categories=["Ort"])


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


@pytest.mark.parametrize(("rows", "how"), [(3, "fewer"), (9, "more")])
def test_a_file_that_changes_after_it_was_opened_is_told(tmp_path, rows, how):
    """Rows that are gone would be whatever stood in memory."""
    path = tmp_path / "x.csv"
    path.write_text("a,b\n" + "1,2\n" * 6)
    source = as_source(path)
    path.write_text("a,b\n" + "1,2\n" * rows)
    with pytest.raises(DataError, match=rf"x\.csv had 6 rows when it was opened and now has {how}"):
        list(source.blocks(2))
    if how == "fewer":
        with pytest.raises(DataError, match="now has fewer"):
            source.take(np.arange(6))
    assert source.take(np.array([2, 0])).tolist() == [[1, 2], [1, 2]]
