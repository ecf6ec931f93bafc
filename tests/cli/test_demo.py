import json
import types

import numpy as np
import pytest

from steinmix.cli import demo


@pytest.fixture
def tiny(monkeypatch):
    """Three contestants without training, and a page that is quickly drawn."""

    def contestants(x):
        model = types.SimpleNamespace(score=lambda x: 1.5)
        return {
            "one": lambda seed: demo._kmeans(x[:, 20:40], seed),
            "two": lambda seed: demo._kmeans(x, seed)._replace(model=model),
        }

    monkeypatch.setattr(demo, "_contestants", contestants)
    monkeypatch.setattr(demo, "WORKERS", 1)  # other processes would not see what is put in place here
    page = lambda model, X, record, path, labels=None, rows=None: path.write_text(record["title"])  # noqa: E731
    monkeypatch.setattr("steinmix.report.write_report", page, raising=False)


def test_demo(cli, tiny, tmp_path):
    code, out, err = cli("demo", "--seeds", "2", "-o", tmp_path / "demo")
    assert (err, code) == ("", 0)
    assert "scoring only" in out
    assert "largest bound" in out
    record = json.loads((tmp_path / "demo/demo.json").read_text())
    rows = record["results"]["two"]
    assert [row["seed"] for row in rows] == [0, 1]
    found = record["summary"]["two"]
    assert np.isclose(found["accuracy_mean"], np.mean([row["accuracy"] for row in rows]))
    assert found["accuracy_min"] == min(row["accuracy"] for row in rows)
    assert record["reported"] == {"name": "two", "seed": 0, "mean_bound": 1.5}
    assert (tmp_path / "demo/report.html").read_text() == "two on digits, seed 0"
    assert cli("demo", "--seeds", "1", "-o", tmp_path / "demo", "--quiet") == (0, "", "")


def test_demo_keeps_out_of_other_folders(refused, tiny, tmp_path):
    (tmp_path / "mine.txt").write_text("")
    assert "other files" in refused("demo", "-o", tmp_path)
    assert "--seeds" in refused("demo", "--seeds", "0", "-o", tmp_path / "demo")


def test_failing_page_leaves_nothing(refused, tiny, tmp_path, monkeypatch):
    def fails(*args, **kwargs):
        raise OSError(28, "No space left on device", "report.html")

    monkeypatch.setattr("steinmix.report.write_report", fails)
    assert "No space" in refused("demo", "--seeds", "1", "-o", tmp_path / "demo")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_real_contestants(monkeypatch):
    from steinmix.data.datasets import load_digits
    from steinmix.estimator import Pretraining
    from steinmix.training import Training

    short = {"training": Training(epochs=1), "pretraining": Pretraining(epochs=1), "anchor_epochs": 1}
    monkeypatch.setattr(demo, "VADE", short | {"start": "kmeans"})
    monkeypatch.setattr(demo, "NSVGD", {"alpha": 0.0})
    digits = load_digits()
    results, best = demo._contest(digits.data, digits.target, range(1), quiet=True)
    assert list(results) == list(demo._contestants(digits.data))
    assert all("mean_bound" in results[name][0] for name in ("VaDE", "VaDE + NSVGD"))
    assert best["model"].predict(digits.data).shape == (1797,)
