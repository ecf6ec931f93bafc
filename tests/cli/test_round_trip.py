"""fit -> predict -> score -> sample -> report, on every kind of file."""

import json
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import steinmix as sm
from steinmix.cli.fit import effective_words
from steinmix.cli.records import hardware_words, page_record
from steinmix.data import as_source
from steinmix.metrics import clustering_accuracy


def table(path):
    return pq.read_table(path).to_pydict()


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_named_columns(cli, fit, write, tmp_path, blobs, name):
    x, _ = blobs
    run, record = fit(write(name), "--labels", "kind")
    assert sorted(p.name for p in run.iterdir()) == ["model", "predictions.parquet", "run.json"]
    assert record["data"]["shape"] == [90, 3]
    assert record["data"]["feature_names"] == ["a", "b", "c"]
    assert record["metrics"]["with_labels"]["accuracy"] == 1.0
    assert "for scoring only" in record["metrics"]["labels_from"]
    assert record["seed"] == 0
    assert record["params"]["training"]["params"]["epochs"] == 1
    assert record["machine"]["peak_memory_mb"] > 1
    assert set(record["wall_seconds"]) == {"open", "fit", "predict", "score"}

    model, frame = sm.load(run / "model"), pd.DataFrame(x, columns=list("abc"))
    found = table(run / "predictions.parquet")
    assert list(found) == ["row", "label", "start_label", "p0", "p1", "p2", "score"]
    assert found["row"] == list(range(90))
    assert np.array_equal(found["label"], model.labels_)
    assert np.array_equal(found["label"], model.predict(frame))
    assert np.array_equal(np.column_stack([found[f"p{k}"] for k in range(3)]), model.predict_proba(frame))
    assert np.array_equal(found["score"], model.score_samples(frame))

    reordered = tmp_path / "new.csv"
    reordered.write_text("id,c,a,b\n" + "\n".join(f"x{i},{c},{a},{b}" for i, (a, b, c) in enumerate(x[:7])) + "\n")
    for folder in (run, run / "model"):
        code, out, _ = cli("predict", folder, reordered, "-o", tmp_path / "labels.csv", "--json")
        assert code == 0
        assert json.loads(out)["n_rows"] == 7
        lines = (tmp_path / "labels.csv").read_text().splitlines()
        assert lines[0] == "row,label,p0,p1,p2,score"
        assert [int(line.split(",")[1]) for line in lines[1:]] == found["label"][:7]
        assert [float(line.split(",")[-1]) for line in lines[1:]] == found["score"][:7]


def test_array_without_names(cli, fit, write, tmp_path, blobs):
    x, groups = blobs
    np.save(tmp_path / "truth.npy", groups)
    wide = write("wide.npy", np.column_stack([np.arange(90.0), x]))
    run, record = fit(wide, "--labels", tmp_path / "truth.npy", "--exclude", "0")
    assert record["data"]["shape"] == [90, 3]
    assert clustering_accuracy(groups, table(run / "predictions.parquet")["label"]) == 1.0
    assert cli("predict", run, wide, "-o", tmp_path / "labels.npy")[0] == 0
    found = np.load(tmp_path / "labels.npy")
    assert found.dtype.names == ("row", "label", "p0", "p1", "p2", "score")
    assert found["label"].tolist() == table(run / "predictions.parquet")["label"]


def test_labels_by_position(fit, tmp_path, blobs):
    x, groups = blobs
    np.save(tmp_path / "both.npy", np.column_stack([x, groups]))
    (tmp_path / "both.npy").rename(tmp_path / "BOTH.NPY")
    record = fit(tmp_path / "BOTH.NPY", "--labels", "3")[1]
    assert record["data"]["shape"] == [90, 3]
    assert record["metrics"]["with_labels"]["accuracy"] == 1.0


def test_folder_of_parquet(fit, write, tmp_path, blobs):
    x, groups = blobs
    (tmp_path / "parts").mkdir()
    for name, rows in (("b.parquet", slice(40, 90)), ("a.parquet", slice(0, 40))):
        write(name, x[rows], groups[rows], folder=tmp_path / "parts")
    assert fit(tmp_path / "parts", "--labels", "kind")[1]["metrics"]["with_labels"]["accuracy"] == 1.0


def test_score(cli, fit, write, tmp_path, blobs):
    x, _ = blobs
    run, _ = fit(write("rows.parquet"), "--labels", "kind")
    odd = write("odd.parquet", np.vstack([x[:5], [[500.0, 500.0, 500.0]]]), np.zeros(6, int))
    code, out, err = cli("score", run, odd, "-o", tmp_path / "scores.parquet", "--json")
    assert (err, code) == ("", 0)
    summary = json.loads(out)
    assert summary["lowest rows"][0] == 5
    scores = table(tmp_path / "scores.parquet")
    assert scores["row"] == list(range(6))
    assert min(scores["score"]) == summary["lowest"] == scores["score"][5]
    code, out, _ = cli("score", run, odd)
    assert code == 0
    assert "lowest rows" in out


def test_sample(cli, fit, write, tmp_path):
    run, _ = fit(write("rows.parquet"), "--labels", "kind")
    assert cli("sample", run, "-n", "5", "--component", "1", "-o", tmp_path / "new.npy", "--quiet") == (0, "", "")
    rows = np.load(tmp_path / "new.npy")
    assert rows.shape == (5, 3)
    model = sm.load(run / "model")
    assert set(model.predict(pd.DataFrame(rows, columns=list("abc")))) == {1}
    assert cli("sample", run, "-n", "5", "--component", "1", "-o", tmp_path / "again.npy")[0] == 0
    assert (tmp_path / "new.npy").read_bytes() == (tmp_path / "again.npy").read_bytes()
    sure = ("sample", run, "-n", "5", "--component", "1", "--min_posterior", "0.9", "-o", tmp_path / "sure.npy")
    assert cli(*sure)[0] == 0
    sure = pd.DataFrame(np.load(tmp_path / "sure.npy"), columns=list("abc"))
    assert model.predict_proba(sure)[:, 1].min() > 0.85
    assert cli("sample", run, "-n", "4", "--seed", "3", "-o", tmp_path / "new.parquet")[0] == 0
    assert list(table(tmp_path / "new.parquet")) == ["a", "b", "c"]
    assert cli("predict", run, tmp_path / "new.parquet", "-o", tmp_path / "labels.parquet")[0] == 0


@pytest.mark.parametrize("ending", ["npy", "csv", "parquet"])
def test_many_rows_are_drawn_and_written_block_by_block(cli, fit, write, tmp_path, monkeypatch, ending):
    """The first block is what fewer rows are, the others are others, and memory holds one."""
    run, _ = fit(write("rows.parquet"), "--labels", "kind")
    sizes, draw = [], sm.GaussianMixture.sample

    def noted(model, n_samples, **options):
        sizes.append(n_samples)
        return draw(model, n_samples, **options)

    monkeypatch.setattr("steinmix.GaussianMixture.sample", noted)
    argv = ("sample", run, "-n", "40000", "--seed", "3", "-o", tmp_path / f"new.{ending}", "--quiet")
    assert cli(*argv) == (0, "", "")
    assert sizes == [16384, 16384, 7232]
    rows = sm.as_source(tmp_path / f"new.{ending}").take(np.arange(40_000))
    assert np.array_equal(rows[:16384], draw(sm.load(run / "model"), 16384, random_state=3))
    assert len(np.unique(rows, axis=0)) > 39_990


def test_report_again(cli, write, tmp_path):
    run, data = tmp_path / "run", write("rows.parquet")
    code, out, err = cli(
        *("fit", data, "--method", "gaussian-mixture", "--n_components", "3", "--training.epochs", "1"),
        *("--labels", "kind", "-o", run),
    )
    assert (err, code) == ("", 0)
    assert "k-means" in out
    page, record = (run / "report.html").read_bytes(), json.loads((run / "run.json").read_text())
    assert b"k-means" in page
    assert all(set(row) == {"name", "what", "scores"} for row in record["null_rows"])
    assert record["null_rows"][0]["scores"]["accuracy"] == 1.0
    (run / "report.html").unlink()
    assert cli("report", run, "--json")[0] == 0
    assert (run / "report.html").stat().st_size > 0.9 * len(page)


def test_clusters_by_probability_and_by_label_have_different_names(cli, write, tmp_path):
    options = ("--n_components", "3", "--training.epochs", "1", "--exclude", "kind", "-o", tmp_path / "run")
    code, out, _ = cli("fit", write("rows.csv"), "--method", "gaussian-mixture", *options)
    assert code == 0
    assert re.search(r"effective components +3\.00 of 3, by probability", out)
    assert "effective_clusters" in out
    assert "effective_components" not in out


@pytest.mark.parametrize(
    ("hard", "text"),
    [
        ([0.5, 0.5, 0, 0], "4.00 of 4, by probability; 2.00 by rows"),
        ([0.25, 0.25, 0.3, 0.2], "4.00 of 4, by probability"),
    ],
)
def test_components_without_rows_are_told(hard, text):
    metrics = {"effective_components": 4.0, "occupancy": [0.25] * 4, "hard_occupancy": hard}
    assert effective_words(metrics) == text


@pytest.mark.parametrize(("n", "text"), [(1, "cpu, 1 thread, Linux"), (2, "cpu, 2 threads, Linux")])
def test_threads_are_counted_in_words(n, text):
    assert hardware_words({"device": "cpu", "threads": n, "platform": "Linux"}) == text


def test_model_without_clusters(cli, write, tmp_path):
    run = tmp_path / "run"
    options = ("--latent-dim", "2", "--hidden", "[4]", "--training.epochs", "1", "--exclude", "kind", "--no-report")
    code, out, err = cli("fit", write("rows.csv"), "--method", "vae", *options, "-o", run, "--json")
    assert (err, code) == ("", 0)
    assert "effective_components" not in json.loads(out)["metrics"]
    assert list(table(run / "predictions.parquet")) == ["row", "z0", "z1", "score"]
    assert cli("sample", run, "-o", tmp_path / "new.csv")[0] == 0


def test_published_data(cli, tmp_path):
    options = ("--method", "gaussian-mixture", "--n_components", "2", "--start", "random", "--training.epochs", "1")
    for more, scored in (((), True), (("--no-labels",), False)):
        run = tmp_path / f"run{scored}"
        code, out, err = cli(
            "fit", "digits", *options, "--collapse", "ignore", "--no_report", "-o", run, "--json", *more
        )
        assert (err, code) == ("", 0)
        assert ("with_labels" in json.loads(out)["metrics"]) is scored
        assert json.loads(out)["data"]["shape"] == [1797, 64]


def test_report_finds_the_data_from_elsewhere(cli, fit, write, tmp_path, monkeypatch):
    write("rows.parquet")
    monkeypatch.chdir(tmp_path)
    run, record = fit("rows.parquet", "--labels", "kind")
    assert record["request"]["data"] == str(tmp_path / "rows.parquet")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert cli("report", run)[0] == 0


@pytest.mark.parametrize("name", ["y.npy", "y.csv"])
def test_a_report_finds_moved_labels(cli, refused, fit, write, tmp_path, blobs, name):
    data, labels = write("rows.npy"), tmp_path / name
    np.save(labels, blobs[1]) if name == "y.npy" else np.savetxt(labels, blobs[1], "%d")
    run, _ = fit(data, "--labels", labels)
    labels.rename(tmp_path / f"moved-{name}")
    assert f"there is no file {labels} of labels; say with --labels where it is now" in refused("report", run)
    assert cli("report", run, "--labels", tmp_path / f"moved-{name}", "--quiet") == (0, "", "")
    assert "Accuracy" in (run / "report.html").read_text()


def test_the_time_of_a_page_is_that_of_the_run_without_it():
    seconds = {"open": 1.0, "fit": 2.0, "report": 4.0}
    record = {
        "class": "VAE", "data": {"name": "x"}, "command": "", "created": "", "seed": 0, "wall_seconds": seconds,
        "machine": {"peak_memory_mb": 1, "device": "cpu", "threads": 1, "platform": ""}, "versions": {},
    }  # fmt: skip
    assert page_record(record)["wall_s"] == 3.0


@pytest.mark.parametrize("name", ["p.CSV", "p.Npy", "p.PARQUET"])
def test_capitals_in_the_ending_of_an_output_make_no_difference(cli, fit, write, tmp_path, name):
    run, _ = fit(write("rows.npy"))
    assert cli("predict", run, tmp_path / "rows.npy", "-o", tmp_path / name, "--quiet") == (0, "", "")
    assert cli("sample", run, "-o", tmp_path / f"new-{name}", "--quiet") == (0, "", "")
    assert as_source(tmp_path / f"new-{name}").n_features == 3


def test_a_report_is_of_the_rows_of_the_fit(cli, refused, fit, write, tmp_path, blobs):
    x, groups = blobs
    run, _ = fit(write("rows.parquet"), "--labels", "kind")
    for name, rows, words in (
        ("few.parquet", x[:9], "its shape is [9, 3], and was [90, 3]"),
        ("reversed.parquet", x[::-1], "order differ"),
    ):
        other = write(name, rows, groups[: len(rows)])
        assert words in refused("report", run, "--data", other)
    order = pq.read_table(tmp_path / "rows.parquet").select(["b", "a", "c", "kind"])
    pq.write_table(order, tmp_path / "order.parquet")
    assert "columns have other names or another order" in refused("report", run, "--data", tmp_path / "order.parquet")
    assert not (run / "report.html").exists()
    (tmp_path / "moved").mkdir()
    assert cli("report", run, "--data", write("rows.csv", folder=tmp_path / "moved"), "--quiet") == (0, "", "")


def test_columns_left_out_of_a_published_set(cli, fit, tmp_path):
    run, record = fit("digits", "--exclude", "pixel_0_0,63")
    assert record["data"]["shape"] == [1797, 62]
    assert cli("predict", run, "digits", "-o", tmp_path / "labels.npy", "--quiet") == (0, "", "")
    assert np.load(tmp_path / "labels.npy")["label"].tolist() == table(run / "predictions.parquet")["label"]


def test_names_with_commas(fit, tmp_path, blobs):
    pq.write_table(pa.table({**dict(zip("abc", blobs[0].T)), "x, in cm": ["text"] * 90}), tmp_path / "rows.parquet")
    assert fit(tmp_path / "rows.parquet", "--exclude", 'a,"x, in cm"')[1]["data"]["feature_names"] == ["b", "c"]


def test_a_model_of_a_data_frame_knows_its_columns(cli, refused, write, tmp_path, blobs):
    frame = pd.DataFrame(blobs[0], columns=list("abc"))
    model = sm.GaussianMixture(3, training=sm.Training(epochs=1), random_state=0).fit(frame)
    model.save(tmp_path / "bare")
    frame[["c", "a", "b"]].to_csv(tmp_path / "order.csv", index=False)
    argv = ("predict", tmp_path / "bare", tmp_path / "order.csv", "-o", tmp_path / "labels.npy", "--quiet")
    assert cli(*argv) == (0, "", "")
    assert np.array_equal(np.load(tmp_path / "labels.npy")["score"], model.score_samples(frame))
    frame[["c", "a"]].to_csv(tmp_path / "order.csv", index=False)
    assert "'b'" in refused(*argv)
