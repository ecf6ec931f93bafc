import numpy as np
import pytest
from sklearn.utils import Bunch

from steinmix import GMVAE, GMVAECV, metrics
from steinmix.data import datasets
from steinmix.errors import DataError
from steinmix.experiments import svhn
from steinmix.experiments.gmvae import Split
from steinmix.random import Streams


@pytest.fixture
def split():
    """Images of three colours, to train on and to be judged."""
    rng = Streams(0).numpy("images")
    colours = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200]])
    parts = [np.tile(colours[np.arange(n) % 3], 1024) + rng.integers(0, 50, size=(n, 3072)) for n in (24, 30)]
    return Split(*(part.astype(np.uint8) for part in parts), np.arange(30) % 3)


@pytest.mark.parametrize("name", ["gmvae-k10-m1", "gmvae-cv-k10-m1-alpha-0.4"])
def test_a_model_is_judged_on_the_test_images(split, monkeypatch, name):
    monkeypatch.setattr(svhn, "EPOCHS", 1)
    seen = {}

    class Watched(svhn.MODELS[name][0]):
        def fit(self, x, y=None, **named):
            seen["model"], seen["rows"] = self, x
            assert y is None
            return super().fit(x, **named)

    monkeypatch.setitem(svhn.MODELS, name, (Watched, svhn.MODELS[name][1]))
    found = svhn.run(f"svhn/{name}", 0, split)
    assert seen["rows"] is split.train
    proba = seen["model"].predict_proba(split.test)
    assert found["exemplar_accuracy"] == metrics.exemplar_accuracy(split.labels, proba)
    assert found["accuracy"] == metrics.clustering_accuracy(split.labels, proba.argmax(1))
    assert seen["model"].get_params()["image_shape"] == (32, 32, 3)
    assert set(svhn.SVHN.metrics) <= set(found)


def test_the_models_are_those_of_the_papers():
    kinds = {name: (kind, settings.get("consistency")) for name, (kind, settings) in svhn.MODELS.items()}
    assert kinds == {
        "gmvae-k10-m1": (GMVAE, None),
        "gmvae-cv-k10-m1-alpha-0": (GMVAECV, 0.0),
        "gmvae-cv-k10-m1-alpha-0.4": (GMVAECV, 0.4),
    }
    assert (svhn.TRAINING, svhn.EPOCHS) == ({"batch_size": 128, "lr": 1e-4}, 500)


def test_the_null_row_trains_on_some_images(split, monkeypatch):
    monkeypatch.setattr(svhn, "NULL_ROWS", 20)
    found = svhn.run("svhn/k-means", 0, split)
    assert found["purity"] == 1  # ten clusters for three colours
    assert found["settings"]["rows"] == 20


def test_train_and_extra_train_and_nothing_is_fetched(monkeypatch):
    def loader(*, subset, download_if_missing):
        assert not download_if_missing
        n = {"train": 2, "extra": 3, "test": 4}[subset]
        return Bunch(data=np.full((n, 3072), n, np.uint8), target=np.arange(n))

    monkeypatch.setattr(datasets, "load_svhn", loader)
    found = svhn.load()
    assert found.train[:, 0].tolist() == [2, 2, 3, 3, 3]
    assert found.test[:, 0].tolist() == [4] * 4
    assert found.labels.tolist() == [0, 1, 2, 3]


def test_images_that_are_not_here(monkeypatch, tmp_path):
    monkeypatch.setenv("STEINMIX_DATA", str(tmp_path))
    monkeypatch.setattr("steinmix.data.fetch.cache_folder", lambda: tmp_path / "cache")
    assert datasets.absent("svhn") == "svhn/train_32x32.mat not present (steinmix data get svhn)"
    with pytest.raises(DataError, match=r"train_32x32.mat was not found.*ufldl.stanford.edu"):
        svhn.load()
