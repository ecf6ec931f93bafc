"""Columns that were left out of a fit by position, and new rows with or without them."""

import numpy as np
import pandas as pd
import pytest

from steinmix.data.datasets import load_digits


def scores(cli, tmp_path, run, data):
    assert cli("predict", run, data, "-o", tmp_path / "labels.npy", "--quiet") == (0, "", "")
    return np.load(tmp_path / "labels.npy")["score"].tolist()


@pytest.fixture
def wide(tmp_path, blobs):
    """A file without names: class, a, b, c, number; and a way to write some of its columns."""
    x, groups = blobs
    table = np.column_stack([groups, x, np.arange(90.0) + 0.5])

    def write(name, *columns):
        part = table[:, list(columns)]
        np.save(tmp_path / name, part) if name.endswith("npy") else np.savetxt(tmp_path / name, part, delimiter=",")
        return tmp_path / name

    return write


@pytest.mark.parametrize("ending", ["npy", "csv"])
def test_new_rows_with_and_without_what_was_left_out(cli, refused, fit, tmp_path, wide, ending):
    run, record = fit(wide("rows.csv", 0, 1, 2, 3, 4), "--labels", "0", "--exclude", "4")
    assert record["data"]["shape"] == [90, 3]
    expected = scores(cli, tmp_path, run, tmp_path / "rows.csv")
    assert scores(cli, tmp_path, run, wide(f"all.{ending}", 0, 1, 2, 3, 4)) == expected
    assert scores(cli, tmp_path, run, wide(f"features.{ending}", 1, 2, 3)) == expected
    for columns in ((1, 2, 3, 4), (0, 1, 2, 3), (1, 2), (0, 1, 2, 3, 4, 4)):
        error = refused("predict", run, wide(f"new.{ending}", *columns), "-o", tmp_path / "x.csv")
        assert f"new.{ending} has {len(columns)} columns; expected the 3 that the model takes, or 5, of" in error
        assert "left out at the fit (4, 0)" in error
    assert not (tmp_path / "x.csv").exists()


def test_a_file_with_the_target_and_the_published_set_without(cli, fit, tmp_path):
    digits = load_digits()
    np.savetxt(tmp_path / "all.csv", np.column_stack([digits.target, digits.data]), delimiter=",")
    run, _ = fit(tmp_path / "all.csv", "--labels", "0", "--start", "random", "--collapse", "ignore")
    expected = scores(cli, tmp_path, run, tmp_path / "all.csv")
    assert scores(cli, tmp_path, run, "digits") == pytest.approx(expected, rel=1e-5)


def test_positions_of_the_fit_are_no_names_of_new_rows(cli, fit, tmp_path, wide):
    """A column that is called 1 is not the one at position 1."""
    run, _ = fit(wide("rows.csv", 0, 1, 2, 3), "--exclude", "0,1")
    table = pd.DataFrame(np.loadtxt(tmp_path / "rows.csv", delimiter=","), columns=["a", "b", "2", "1"])
    table.to_csv(tmp_path / "named.csv", index=False)
    assert scores(cli, tmp_path, run, tmp_path / "named.csv") == scores(cli, tmp_path, run, tmp_path / "rows.csv")


def test_columns_of_a_published_set_by_name(cli, fit, tmp_path):
    digits = load_digits()
    frame = pd.DataFrame(digits.data, columns=digits.feature_names)
    frame.iloc[:, ::-1].assign(kind=digits.target).to_parquet(tmp_path / "rows.parquet")
    options = ("--exclude", "kind,pixel_0_0", "--start", "random", "--collapse", "ignore")
    run, _ = fit(tmp_path / "rows.parquet", *options)
    expected = scores(cli, tmp_path, run, tmp_path / "rows.parquet")
    assert scores(cli, tmp_path, run, "digits") == pytest.approx(expected, rel=1e-5)
