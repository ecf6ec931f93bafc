"""Labels are for scores. Nothing that training makes may depend on them."""

import inspect

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steinmix.cli.fit import train
from steinmix.cli.labels import read_label_column, read_label_file
from steinmix.errors import DataError
from steinmix.random import Streams


@pytest.mark.parametrize("diversifier", [(), ("--diversifier", "Pairwise", "--diversifier.alpha", "0.1")])
def test_permuted_labels_change_no_byte(fit, write, blobs, diversifier):
    x, groups = blobs
    shuffled = Streams(1).numpy("labels").permutation(groups)
    first, record = fit(write("rows.parquet"), "--labels", "kind", *diversifier, run="first")
    second, other = fit(write("rows.parquet", x, shuffled), "--labels", "kind", *diversifier, run="second")
    assert (first / "predictions.parquet").read_bytes() == (second / "predictions.parquet").read_bytes()
    assert (first / "model/model.safetensors").read_bytes() == (second / "model/model.safetensors").read_bytes()
    assert record["metrics"]["with_labels"] != other["metrics"]["with_labels"]


def test_with_and_without_labels(fit, write):
    first, _ = fit(write("rows.csv"), "--labels", "kind", run="first")
    second, record = fit(write("rows.csv"), "--exclude", "kind", run="second")
    assert (first / "predictions.parquet").read_bytes() == (second / "predictions.parquet").read_bytes()
    assert "with_labels" not in record["metrics"]


def test_train_has_no_door_for_labels():
    assert list(inspect.signature(train).parameters) == ["model", "rows", "checkpoint", "resume"]


def test_wrong_number_of_labels_is_seen_before_training(refused, write, tmp_path):
    np.save(tmp_path / "few.npy", np.arange(3))
    data = write("rows.npy")
    assert "3 labels" in refused("fit", data, "--labels", tmp_path / "few.npy", "-o", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("n_lines", "n_labels"), [(89, 89), (92, 92)])
def test_a_line_of_names_is_not_taken_off_where_the_count_is_wrong(refused, write, tmp_path, n_lines, n_labels):
    (tmp_path / "y.csv").write_text("0\n1\n" * (n_lines // 2) + "0\n" * (n_lines % 2))
    error = refused("fit", write("rows.npy"), "--labels", tmp_path / "y.csv", "-o", tmp_path / "run")
    assert f"got {n_labels} labels from the file y.csv for 90 rows" in error


def test_missing_labels(refused, tmp_path):
    (tmp_path / "rows.csv").write_text("a,kind\n1,x\n2,\n3,y\n")
    assert "missing" in refused("fit", tmp_path / "rows.csv", "--labels", "kind", "-o", tmp_path / "run")


def test_unknown_column(refused, write, tmp_path):
    for data, word in [("rows.csv", "knd"), ("rows.parquet", "absent.npy"), ("rows.npy", "7"), ("rows.npy", "kind")]:
        text = refused("fit", write(data), "--labels", word, "-o", tmp_path / "run")
        assert f"--labels: got '{word}', which is no column of {data} and no file; expected some of" in text
        assert "Correct --labels." in text
    assert "['x']" in refused("fit", write("rows.csv"), "--labels", "kind", "--exclude", "x", "-o", tmp_path / "run")


def test_numbers_as_labels(fit, tmp_path, blobs):
    x, groups = blobs
    lines = ["a,b,c,y", *(f"{a},{b},{c},{g}" for (a, b, c), g in zip(x, groups))]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "plain.csv").write_text("\n".join(lines[1:]) + "\n")
    for name, column in (("rows.csv", "y"), ("plain.csv", "3")):
        record = fit(tmp_path / name, "--labels", column, run=f"run {column}")[1]
        assert record["metrics"]["with_labels"]["accuracy"] == 1.0
        assert record["data"]["shape"] == [90, 3]


@pytest.mark.parametrize(
    "texts", [("01", "1"), ("2_1", "21"), ("9007199254740993", "9007199254740992"), ("inf", "-inf")]
)
def test_texts_that_differ_stay_apart(tmp_path, texts):
    (tmp_path / "x.csv").write_text("a,y\n" + "".join(f"1,{text}\n" for text in texts))
    assert read_label_column(tmp_path / "x.csv", "y", named=True).tolist() == list(texts)
    (tmp_path / "plain.csv").write_text("".join(f"1.5,{text}\n" for text in ("7", *texts)))
    assert read_label_column(tmp_path / "plain.csv", "1", named=False).tolist() == ["7", *texts]


@pytest.mark.parametrize("texts", [["True", "False", "True"], ["true", "FALSE", "true"]])
def test_true_and_false_are_one_and_zero(tmp_path, texts):
    (tmp_path / "y.csv").write_text("\n".join(["kind", *texts]))
    assert read_label_file(tmp_path / "y.csv", 3).tolist() == [1, 0, 1]


def test_labels_without_use_are_told(cli, write, tmp_path):
    options = ("--labels", "kind", "--method", "vae", "--training.epochs", "1", "-o", tmp_path / "run")
    code, text, _ = cli("fit", write("rows.csv"), *options)
    assert code == 0
    assert "VAE has no clusters" in text


def test_numbers_too_large_stay_apart(tmp_path):
    pq.write_table(pa.table({"y": [1e300, 1e301, 2.0]}), tmp_path / "y.parquet")
    assert read_label_file(tmp_path / "y.parquet", 3).tolist() == [1e300, 1e301, 2.0]


@pytest.mark.parametrize(
    "lines", [["0", "1", "2.0"], ["0", "0", "1", "2"], ["kind", "0", "1", "2"], ["", "0", "1", "2"]]
)
def test_a_label_file_has_a_name_if_it_has_one_line_more(tmp_path, lines):
    (tmp_path / "y.csv").write_text("\n".join(lines) + "\n")
    assert read_label_file(tmp_path / "y.csv", 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "words"),
    [("kind\na\n\nb\n", "1 labels of .* missing"), ("a;b\n1;2\n", "has 2 columns"), ("\n", "is empty")],
)
def test_bad_label_files(tmp_path, text, words):
    (tmp_path / "y.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        read_label_file(tmp_path / "y.csv", 3)


@pytest.mark.parametrize("name", ["Y.NPY", "y.csv.parquet", "y.TSV"])
def test_endings_of_label_files(fit, write, tmp_path, blobs, name):
    if name == "Y.NPY":
        np.save(tmp_path / "y.npy", blobs[1])
        (tmp_path / "y.npy").rename(tmp_path / name)
    elif name == "y.TSV":
        (tmp_path / name).write_text("\n".join(map(str, blobs[1])))
    else:
        pq.write_table(pa.table({"y": blobs[1]}), tmp_path / name)
    record = fit(write("rows.npy"), "--labels", tmp_path / name)[1]
    assert record["metrics"]["with_labels"]["accuracy"] == 1.0


def test_a_detector_is_judged_by_outliers_and_by_nothing_else(cli, write, blobs, tmp_path):
    x, groups = blobs
    for name, labels in (("outliers", (groups == 0).astype(int)), ("classes", groups + 1)):
        np.save(tmp_path / "y.npy", labels)
        options = ("--method", "dagmm", "--training.epochs", "1", "--labels", tmp_path / "y.npy")
        code, text, _ = cli("fit", write("rows.npy", x), *options, "-o", tmp_path / name)
        assert code == 0
        assert ("average_precision" in text) is (name == "outliers")
        assert ("not scored: for a detector, 1 is an outlier and 0 any other row" in text) is (name == "classes")
        assert "isolation forest" in text


@pytest.mark.parametrize("lines", [["kind", *"01" * 2], ["kind", *"0123"], ["kind", *"aabb"]])
def test_a_name_and_one_label_too_few(refused, write, tmp_path, blobs, lines):
    (tmp_path / "y.csv").write_text("\n".join(lines))
    text = "got 4 labels from .*y.csv below the name 'kind' for 5 rows"
    with pytest.raises(DataError, match=text):
        read_label_file(tmp_path / "y.csv", 5)
    options = ("--labels", tmp_path / "y.csv", "-o", tmp_path / "run")
    assert "below the name 'kind'" in refused("fit", write("rows.npy", blobs[0][:5], range(5)), *options)
    assert read_label_file(tmp_path / "y.csv", 4).tolist() in ([0, 1, 0, 1], [0, 1, 2, 3], list("aabb"))


@pytest.mark.parametrize("lines", ["aaaaa", "aabbc", "abcdd", "1aabb", "ab0ab"])
def test_first_lines_that_may_be_labels(tmp_path, lines):
    (tmp_path / "y.csv").write_text("\n".join(lines))
    assert read_label_file(tmp_path / "y.csv", 5).tolist() == list(lines)


@pytest.mark.parametrize("name", ["y.npy", "y.parquet", "rows.parquet"])
def test_labels_that_are_nan_are_seen_before_training(refused, write, tmp_path, blobs, name, monkeypatch):
    labels = np.where(blobs[1] == 1, np.nan, blobs[1])
    np.save(tmp_path / "y.npy", labels)
    pq.write_table(pa.table({"y": labels}), tmp_path / "y.parquet")
    pq.write_table(pa.table({"a": blobs[0][:, 0], "y": labels}), tmp_path / "rows.parquet")
    data, given = (tmp_path / name, "y") if name == "rows.parquet" else (write("rows.npy"), tmp_path / name)
    monkeypatch.setattr("steinmix.cli.fit.train", None)
    error = refused("fit", data, "--labels", given, "-o", tmp_path / "run")
    assert "30 labels from the" in error
    assert name in error
