import json

import numpy as np
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from steinmix.data.datasets import available


def test_list(cli):
    code, out, _ = cli("data", "list", "--json")
    assert code == 0
    assert list(json.loads(out)) == list(available())
    assert "digits" in cli("data", "list")[1]


def test_a_quiet_list_is_none(cli):
    assert cli("data", "list", "--quiet") == (0, "", "")


@pytest.mark.parametrize(
    ("argv", "got"),
    [
        (("list", "foo"), "foo"),
        (("list", "--exclude", "x"), "--exclude"),
        (("get", "digits", "a.parquet"), "a.parquet"),
        (("get", "digits", "--labels", "x"), "--labels"),
        (("describe", "digits", "a.parquet"), "a.parquet"),
    ],
)
def test_what_is_not_used_is_refused(refused, argv, got):
    assert f"got {got}, and `steinmix data {argv[0]}` has no use for it; leave" in refused("data", *argv)


def test_columns_in_two_lists_are_refused(refused, write):
    assert "got --exclude twice" in refused("data", "describe", write("rows.csv"), "--exclude", "a", "--exclude=kind")


def test_a_line_break_in_a_value_tears_no_table(cli, tmp_path):
    (tmp_path / "rows.csv").write_text('a,city\n1,"New\nYork"\n2,Rome\n3,Rome\n')
    code, out, _ = cli("data", "describe", tmp_path / "rows.csv", "--categories", "city")
    assert code == 0
    assert "city=New York  " in out


def test_get(cli, refused):
    code, out, err = cli("data", "get", "digits", "--json")
    assert (err, code) == ("", 0)
    assert json.loads(out)["shape"] == [1797, 64]
    assert "1797 rows x 64 columns, 10 classes" in cli("data", "get", "digits")[1]
    assert "did you mean 'mnist'" in refused("data", "get", "mnst")
    assert "no parts" in refused("data", "get", "digits:train")
    assert "needs a name" in refused("data", "get")


def test_describe(cli, refused, write, blobs):
    code, out, _ = cli("data", "describe", write("rows.csv"), "--exclude", "kind", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["shape"] == [90, 3]
    assert found["columns"]["b"]["max"] == blobs[0][:, 1].max()
    code, out, _ = cli("data", "describe", "digits")
    assert code == 0
    assert "44 more columns" in out
    assert "kind" in refused("data", "describe", write("rows.csv"))


def test_pack(cli, fit, refused, write, tmp_path):
    """What is packed is fitted to the same model, labels and all."""
    rows, packed = write("rows.parquet"), tmp_path / "packed.parquet"
    code, out, err = cli("data", "pack", rows, packed, "--labels", "kind", "--json")
    assert (err, code) == ("", 0)
    assert json.loads(out)["shape"] == [90, 3]
    plain, first = fit(rows, "--labels", "kind", run="plain")
    fast, second = fit(packed, "--labels", "kind", run="fast")
    assert (plain / "predictions.parquet").read_bytes() == (fast / "predictions.parquet").read_bytes()
    assert first["metrics"] == second["metrics"] | {"labels_from": first["metrics"]["labels_from"]}
    assert second["data"]["feature_names"] == ["a", "b", "c"]
    assert "OUT.parquet" in refused("data", "pack", rows, tmp_path / "x.csv")
    assert "OUT.parquet" in refused("data", "pack", rows)
    assert cli("data", "pack", "digits", packed, "--quiet") == (0, "", "")


def test_labels_of_a_file_are_packed_in_a_column(cli, fit, write, tmp_path, blobs, monkeypatch):
    """The packed file needs neither the file of labels nor the folder it was named from."""
    write("rows.csv")
    np.save(tmp_path / "y.npy", blobs[1])
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    options = ("--labels", "../y.npy", "--exclude", "kind")
    assert cli("data", "pack", "../rows.csv", "packed.parquet", *options, "--quiet") == (0, "", "")
    assert pq.read_schema("packed.parquet").names == ["rows", "y"]
    (tmp_path / "y.npy").unlink()
    monkeypatch.chdir(tmp_path)
    record = fit("inside/packed.parquet", "--labels", "y")[1]
    assert record["data"]["shape"] == [90, 3]
    assert record["metrics"]["with_labels"]["accuracy"] == 1.0


def test_labels_of_a_hidden_file_have_a_name_too(cli, write, tmp_path):
    (tmp_path / ".h.csv").write_text("0\n1\n" * 45)
    options = ("--labels", tmp_path / ".h.csv", "--exclude", "kind", "--quiet")
    assert cli("data", "pack", write("rows.csv"), tmp_path / "packed.parquet", *options) == (0, "", "")
    assert pq.read_schema(tmp_path / "packed.parquet").names == ["rows", "h"]


def test_arrow_files(cli, fit, write, tmp_path):
    rows = pq.read_table(write("rows.parquet"))
    feather.write_feather(rows, tmp_path / "rows.arrow")
    plain, first = fit(write("rows.parquet"), "--labels", "kind", run="plain")
    arrow, second = fit(tmp_path / "rows.arrow", "--labels", "kind", run="arrow")
    assert (plain / "predictions.parquet").read_bytes() == (arrow / "predictions.parquet").read_bytes()
    assert first["metrics"]["with_labels"] == second["metrics"]["with_labels"]
