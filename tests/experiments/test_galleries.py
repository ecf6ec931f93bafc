from functools import partial

import numpy as np
import pytest

from steinmix import GMVAE, Training, VaDE
from steinmix.data import datasets
from steinmix.experiments import galleries
from steinmix.experiments.pictures import unpack
from steinmix.experiments.samples import make_gallery


@pytest.fixture(scope="module")
def data():
    digits = datasets.load_digits()
    return make_gallery(digits.data[:300], digits.target[:300])


def test_each_cluster_has_samples_and_rows_of_its_own(data, monkeypatch):
    quick = partial(VaDE, start="kmeans", hidden=(16,), training=Training(epochs=1))
    monkeypatch.setattr(galleries, "VaDE", quick)
    found = galleries.run_clusters("digits/vade-k4", 0, data)
    samples, rows = (unpack(p["images"]) for p in found["settings"]["pictures"])
    assert samples.shape == rows.shape == (4, galleries.COLUMNS, 8, 8)
    model = quick(4, collapse="ignore", random_state=0).fit(data.rows)
    members = galleries._members(model, data.rows)
    for c, own in enumerate(members):
        n = min((model.labels_ == c).sum(), galleries.COLUMNS)
        assert (model.predict(own[:n]) == c).all()
        assert not own[n:].any()
    grey = np.clip(members / members.max(), 0, 1).reshape(rows.shape) * 255
    assert np.abs(rows - grey).max() <= 8.6
    assert {"one_class", "classes", "judge_error"} <= set(found)


def test_the_style_that_does_most_is_shown(data, monkeypatch):
    monkeypatch.setattr(galleries, "GMVAE_EPOCHS", {"digits": 2})
    small = {"hidden": (16,), "latent_dim": 4, "w_dim": 3}
    monkeypatch.setattr(galleries, "DENSE", galleries.DENSE._replace(parameters=small))
    found = galleries.run_styles("digits/gmvae", 0, data)
    samples, styles = found["settings"]["pictures"]
    assert unpack(samples["images"]).shape == unpack(styles["images"]).shape == (10, galleries.COLUMNS, 8, 8)
    model = GMVAE(10, **small, start="random", collapse="ignore", random_state=0)
    model.set_params(training=Training(epochs=2, batch_size=256)).fit(data.rows)
    assert styles["title"].startswith(f"coordinate {np.argmax(model.style_effects())} ")
