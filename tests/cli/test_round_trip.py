"""fit -> predict -> score -> sample -> report, on every kind of file."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

import steinmix as sm
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

    model = sm.load(run / "model")
    found = table(run / "predictions.parquet")
    assert list(found) == ["row", "label", "start_label", "p0", "p1", "p2", "score"]
    assert found["row"] == list(range(90))
    assert np.array_equal(found["label"], model.labels_)
    assert np.array_equal(found["label"], model.predict(x))
    assert np.array_equal(np.column_stack([found[f"p{k}"] for k in range(3)]), model.predict_proba(x))
    assert np.array_equal(found["score"], model.score_samples(x))

    reordered = tmp_path / "new.csv"
    reordered.write_text("id,c,a,b\n" + "\n".join(f"x{i},{c},{a},{b}" for i, (a, b, c) in enumerate(x[:7])) + "\n")
    code, out, _ = cli("predict", run, reordered, "-o", tmp_path / "labels.csv", "--json")
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
    assert set(sm.load(run / "model").predict(rows)) == {1}
    assert cli("sample", run, "-n", "5", "--component", "1", "-o", tmp_path / "again.npy")[0] == 0
    assert (tmp_path / "new.npy").read_bytes() == (tmp_path / "again.npy").read_bytes()
    sure = ("sample", run, "-n", "5", "--component", "1", "--min_posterior", "0.9", "-o", tmp_path / "sure.npy")
    assert cli(*sure)[0] == 0
    assert sm.load(run / "model").predict_proba(np.load(tmp_path / "sure.npy"))[:, 1].min() > 0.85
    assert cli("sample", run, "-n", "4", "--seed", "3", "-o", tmp_path / "new.parquet")[0] == 0
    assert list(table(tmp_path / "new.parquet")) == ["a", "b", "c"]
    assert cli("predict", run, tmp_path / "new.parquet", "-o", tmp_path / "labels.parquet")[0] == 0


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
