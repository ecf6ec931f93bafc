"""Labels are for scores. Nothing that training makes may depend on them."""

import inspect

import numpy as np
import pytest

from steinmix.cli.fit import train
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


def test_missing_labels(refused, tmp_path):
    (tmp_path / "rows.csv").write_text("a,kind\n1,x\n2,\n3,y\n")
    assert "missing" in refused("fit", tmp_path / "rows.csv", "--labels", "kind", "-o", tmp_path / "run")


def test_unknown_column(refused, write, tmp_path):
    assert "'knd'" in refused("fit", write("rows.csv"), "--labels", "knd", "-o", tmp_path / "run")


def test_numbers_as_labels(fit, tmp_path, blobs):
    x, groups = blobs
    lines = ["a,b,c,y", *(f"{a},{b},{c},{g}" for (a, b, c), g in zip(x, groups))]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "plain.csv").write_text("\n".join(lines[1:]) + "\n")
    for name, column in (("rows.csv", "y"), ("plain.csv", "3")):
        record = fit(tmp_path / name, "--labels", column, run=f"run {column}")[1]
        assert record["metrics"]["with_labels"]["accuracy"] == 1.0
        assert record["data"]["shape"] == [90, 3]


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
