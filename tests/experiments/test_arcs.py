import json

import numpy as np
import pytest

from steinmix.experiments import arcs
from steinmix.experiments.records import read
from steinmix.metrics import distinct_components


@pytest.fixture(scope="module")
def found():
    data = arcs.load(n_samples=400)
    return {name: arcs.trained(f"arcs/{name}", 0, data, epochs=2) for name in ("gmvae", "gmvae-cv-1-2")}


def test_every_row_is_a_setting_of_an_estimator():
    assert [row.name for row in arcs.ARCS.rows] == [f"arcs/{name}" for name in arcs.ROWS]
    assert set(arcs.DEGENERATE) < set(arcs.ROWS)
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
    arcs.main([*command, "--seeds", "0"])
    arcs.main([*command, "--seeds", "0-1"])
    records = read([tmp_path / "dilokthanakul2016-arcs.jsonl"])
    assert [record.seed for record in records] == [0, 1]
    picture = records[0].settings["picture"]
    assert np.asarray(picture["means"]).shape == np.asarray(picture["variances"]).shape == (8, 2)
    assert "picture" not in records[1].settings
    assert json.loads((tmp_path / "dilokthanakul2016-arcs.jsonl").read_text().splitlines()[0])["row"] == "arcs/gmvae"
