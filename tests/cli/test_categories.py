"""Columns of text on the command line: from the raw file of the fit to raw new rows."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from steinmix.data import as_source


@pytest.mark.filterwarnings("always::steinmix.UnknownCategoryWarning")
@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_raw_rows_in_and_raw_new_rows(cli, fit, write, tmp_path, blobs, name):
    x, groups = blobs
    run, record = fit(write(name), "--categories", "kind")
    assert record["data"]["shape"] == [90, 6]
    assert record["data"]["categories"] == {"kind": ["class 0", "class 1", "class 2"]}
    assert record["data"]["feature_names"] == ["a", "b", "c", "kind=class 0", "kind=class 1", "kind=class 2"]
    labels = pq.read_table(run / "predictions.parquet")["label"].to_pylist()

    (tmp_path / "later").mkdir()
    new = write(name, x[30:50], groups[30:50], tmp_path / "later")  # of one class: the columns are those of the fit
    assert cli("predict", run, new, "-o", tmp_path / "new.npy")[::2] == (0, "")
    assert np.load(tmp_path / "new.npy")["label"].tolist() == labels[30:50]
    assert cli("score", run, new, "-o", tmp_path / "scores.npy")[::2] == (0, "")

    bare = tmp_path / "later" / f"bare.{name}.parquet"
    pq.write_table(pq.read_table(write("all.parquet")).drop_columns("kind"), bare)
    code, _, err = cli("predict", run, bare, "-o", tmp_path / "bare.npy")
    assert (code, err.count("\n")) == (2, 1)
    assert "no column 'kind', which is asked for or which the model was fitted on; there are 'a', 'b', 'c'" in err

    np.save(tmp_path / "later" / "bare.npy", x)
    code, _, err = cli("predict", run, tmp_path / "later" / "bare.npy", "-o", tmp_path / "bare.npy")
    words = (
        "bare.npy has 3 columns; expected the 6 that the model takes, of which some stand for kind: give a file that"
    )
    assert (code, words in err) == (2, True)

    strange = write(name, x[:5], ["new"] * 5, tmp_path / "later")
    code, _, err = cli("predict", run, strange, "-o", tmp_path / "strange.npy")
    assert code == 0
    assert "none of the 5 rows has a known value of 'kind': got for example 'class new'" in err


def test_a_category_that_is_named_twice_counts_once(fit, write):
    _, record = fit(write("rows.csv"), "--categories", "kind,kind")
    assert record["data"]["shape"] == [90, 6]


@pytest.mark.filterwarnings("always::steinmix.UnknownCategoryWarning")
def test_a_missing_value_is_called_so(cli, fit, write, tmp_path, blobs):
    run, _ = fit(write("rows.parquet"), "--categories", "kind")
    new = tmp_path / "new.parquet"
    pq.write_table(pq.read_table(write("rows.parquet")).slice(0, 2).set_column(3, "kind", [["class 1", None]]), new)
    assert "that is not known (none at all):" in cli("predict", run, new, "-o", tmp_path / "new.npy")[2]


def test_the_report_is_made_again_from_the_raw_file(cli, fit, write):
    run, _ = fit(write("rows.csv"), "--categories", "kind")
    assert cli("report", run)[0] == 0
    assert "kind=class 1" in (run / "report.html").read_text()


def test_a_file_of_text_is_packed_and_described(cli, write, tmp_path):
    packed = tmp_path / "packed.parquet"
    assert cli("data", "pack", write("rows.csv"), packed, "--categories", "kind")[0] == 0
    assert as_source(packed).n_features == 6
    code, out, _ = cli("data", "describe", write("rows.csv"), "--categories", "kind")
    assert code == 0
    assert "kind=class 2" in out


def test_mistakes(refused, write, tmp_path):
    to = ("--method", "gaussian-mixture", "-o", tmp_path / "run")
    both = "name them as categories with sm.as_source(X, categories=['kind']) (steinmix fit --categories kind)"
    assert both in refused("fit", write("rows.csv"), *to)
    assert "unknown columns ['kin']" in refused("fit", write("rows.csv"), "--categories", "kin", *to)
    assert "digits is a data set of numbers" in refused("fit", "digits", "--categories", "kind", *to)
    assert "unknown columns ['kind']" in refused("fit", write("rows.npy"), "--categories", "kind", *to)
    assert not (tmp_path / "run").exists()
