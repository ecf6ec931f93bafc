import json
from pathlib import Path

import numpy as np
import pytest

from steinmix.experiments import arcs
from steinmix.experiments.records import read
from steinmix.metrics import distinct_components

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture(scope="module")
def found():
    data = arcs.load(n_samples=400)
    return {name: arcs.run(f"arcs/{name}", 0, data, epochs=2) for name in ("gmvae", "gmvae-cv-1-2")}


def test_every_row_is_a_setting_of_an_estimator():
    assert [row.name for row in arcs.ARCS.rows] == [f"arcs/{name}" for name in arcs.ROWS]
    for kind, settings in arcs.ROWS.values():
        assert settings.keys() < kind().get_params().keys()


def test_the_mixture_is_judged_apart_from_the_network_for_clusters(found):
    second, first = found["gmvae"], found["gmvae-cv-1-2"]
    assert second["mixture_distinct_components"] == pytest.approx(second["distinct_components"], rel=1e-4)
    assert first["mixture_distinct_components"] != pytest.approx(first["distinct_components"], rel=1e-4)
    for figures in found.values():
        assert all(np.isfinite(v) for v in figures.values() if isinstance(v, float))
        assert figures["distinct_components"] <= figures["effective_components"] + 1e-6
        assert len(figures["z_prior_by_epoch"]) == 2


def test_diagnostics_are_those_of_the_fitted_model():
    data = arcs.load(n_samples=200)
    kind, settings = arcs.ROWS["gmvae"]
    model = kind(8, latent_dim=2, w_dim=2, hidden=(4,), scaling="none", collapse="ignore", random_state=0, **settings)
    model.set_params(training=arcs.Training(epochs=1)).fit(data.rows)
    judged = arcs._judged(model, data)
    assert judged["distinct_components"] == distinct_components(model.predict_proba(data.rows))
    assert judged["used_components"] == int((np.bincount(model.labels_, minlength=8) > 2).sum())


def test_runs_that_have_a_record_are_not_repeated(tmp_path, monkeypatch):
    monkeypatch.setattr(arcs, "EPOCHS", 1)
    command = ["--row", "gmvae", "--results", str(tmp_path)]
    arcs.main(command)
    assert [record.seed for record in read([tmp_path / "dilokthanakul2016-arcs.jsonl"])] == [0]
    arcs.main([*command, "--seeds", "0-1"])
    records = read([tmp_path / "dilokthanakul2016-arcs.jsonl"])
    assert [record.seed for record in records] == [0, 1]
    picture = records[0].settings["picture"]
    assert np.asarray(picture["means"]).shape == np.asarray(picture["variances"]).shape == (8, 2)
    assert "picture" not in records[1].settings
    assert json.loads((tmp_path / "dilokthanakul2016-arcs.jsonl").read_text().splitlines()[0])["row"] == "arcs/gmvae"


@pytest.mark.parametrize(
    ("row", "metric", "least", "most"),
    [  # means of ten seeds: degenerate, overlapping, one large cluster, clusters; and what keeps components apart
        ("gmvae-cv-1-0", "mixture_distinct_components", 1.0, 1.1),
        ("gmvae-cv-0-0", "mixture_ambiguity", 0.05, 1.0),
        ("gmvae-cv-0-1", "largest_share", 0.5, 1.0),
        ("gmvae-cv-1-2", "mixture_distinct_components", 4.0, 6.0),
        ("gmvae", "mixture_distinct_components", 1.0, 1.5),
        ("gmvae+warm-up", "mixture_distinct_components", 6.8, 8.0),
        ("gmvae+free-bits", "effective_components", 7.2, 8.0),
        ("gmvae+nsvgd+warm-up", "effective_components", 7.2, 8.0),
        ("gmvae+nsvgd", "mixture_distinct_components", 3.5, 8.0),
        ("gmvae-cv-1-0+nsvgd", "mixture_distinct_components", 3.0, 8.0),
        ("gmvae-cv-1-0+nsvgd", "effective_components", 7.2, 8.0),
        ("gmvae-cv-1-0+shares", "distinct_components", 7.1, 8.0),
        ("gmvae-cv-1-0+shares", "purity", 0.99, 1.0),
        ("gmvae+shares", "mixture_distinct_components", 7.1, 8.0),
        ("gmvae-cv-1-2+shares+warm-up", "mixture_distinct_components", 4.9, 5.2),
        ("gmvae-cv-1-2+shares+warm-up", "purity", 0.92, 1.0),
    ],
)
def test_the_records_say_what_the_page_says(row, metric, least, most):
    records = [r for r in read([RESULTS / "dilokthanakul2016-arcs.jsonl"]) if r.row == f"arcs/{row}"]
    assert len(records) == 10
    assert least <= np.mean([r.metrics[metric] for r in records]) <= most


def test_the_prior_of_shares_undoes_the_papers_degenerate_setting():
    found = arcs.run("arcs/gmvae-cv-1-0+shares", 30, arcs.load())
    assert found["distinct_components"] > 6.5
    assert found["purity"] > 0.95


def test_nsvgd_alone_undoes_the_papers_degenerate_setting():
    """At the full setting, the mean of three seeds not looked at in development: one can fail to come apart."""
    data = arcs.load()

    def distinct(row):
        return np.mean([arcs.run(f"arcs/{row}", seed, data)["distinct_components"] for seed in (30, 31, 32)])

    assert distinct("gmvae") < 2
    assert distinct("gmvae+nsvgd") > 3
