from itertools import product

import numpy as np
import pytest

from steinmix import GMVAE, GMVAECV, ConfigError, metrics
from steinmix.experiments import gmvae
from steinmix.experiments.records import read
from steinmix.random import Streams


@pytest.fixture
def split():
    rng = Streams(0).numpy("images")
    draw = [rng.integers(0, 256, size=(n, 784), dtype=np.uint8) for n in (60, 40)]
    return gmvae.Split(*draw, np.arange(40) % 3)


def test_the_cells_are_those_of_the_papers():
    assert len(gmvae.CELLS) == 10
    assert gmvae.row_name(1, 10, 1) == "mnist/gmvae-cv-k10-m1"
    assert gmvae.row_name(2, 30, 10, "dense", "+free") == "mnist/gmvae-k30-m10-dense+free"


def test_rows_share_one_loader_so_that_data_are_read_once():
    assert len({row.load for network in gmvae.NETWORKS for row in gmvae.rows(network=network)}) == 1
    assert len({row.load for row in gmvae.rows(n_rows=100)}) == 1


@pytest.mark.parametrize(("version", "kind"), [(1, GMVAECV), (2, GMVAE)])
def test_without_additions_the_objective_is_the_papers(version, kind):
    settings = gmvae.settings_of(version, "conv")
    assert settings["warm_up"] == 0
    assert settings.get("free_bits", 0.0) == 0.0
    assert (settings["latent_dim"], settings["w_dim"], settings["image_shape"]) == (200, 150, (28, 28))
    training = gmvae.training_of("conv")
    assert (training.batch_size, training.lr, training.epochs) == (50, 1e-4, 100)
    assert settings.keys() < kind().get_params().keys()


def test_a_cell_is_judged_on_the_test_images(split, monkeypatch):
    seen = {}
    fit = GMVAE.fit

    def watched(self, x, *others, **named):
        seen["model"], seen["rows"] = self, x
        assert not others
        assert named == {"checkpoint": None, "resume": False}  # no labels
        return fit(self, x)

    monkeypatch.setattr(GMVAE, "fit", watched)
    found = gmvae.run("mnist/gmvae-k4-m2-dense", 0, split, epochs=1)
    assert seen["rows"] is split.train
    proba = seen["model"].predict_proba(split.test)
    assert proba.shape == (40, 4)
    assert found["exemplar_accuracy"] == metrics.exemplar_accuracy(split.labels, proba)
    assert found["accuracy"] == metrics.clustering_accuracy(split.labels, proba.argmax(1))
    assert found["purity"] == metrics.purity(split.labels, proba.argmax(1))


def test_cells_stand_beside_k_means_of_as_many_clusters(split):
    """The image that k-means is surest of is one near a centre and far from the others."""
    names = [row.name for row in gmvae.null_rows()]
    assert names == ["mnist/k-means-k10", "mnist/k-means-k16", "mnist/k-means-k30"]
    beside = {(cell[1], *row.nulls) for cell, row in zip(gmvae.CELLS, gmvae.rows(network="dense"), strict=True)}
    assert beside == {(k, f"mnist/k-means-k{k}") for k in (10, 16, 30)}
    grey = np.zeros((60, 784), dtype=np.uint8)
    grey[:20, :392], grey[20:40, 392:], grey[40:, ::2] = 255, 255, 255
    labels = np.repeat([4, 5, 6], 20)
    found = gmvae.run_null("mnist/k-means-k3", 0, gmvae.Split(grey, grey, labels))
    assert [found[name] for name in ("exemplar_accuracy", "accuracy", "purity", "nmi")] == pytest.approx([1.0] * 4)
    found = gmvae.run_null("mnist/k-means-k16", 0, split)
    assert found["accuracy"] < 1
    assert found["settings"]["rows"] == 60


def test_the_command_runs_what_is_asked_for_and_missing(split, tmp_path, monkeypatch):
    monkeypatch.setattr(gmvae, "load", lambda name, n_rows=None: split)
    command = ["--k", "10", "--m", "1", "--epochs", "1", "--results", str(tmp_path)]
    gmvae.main([*command, "--version", "2"])
    gmvae.main(command)
    records = read([tmp_path / "dilokthanakul2016-table1.jsonl"])
    assert [record.row for record in records] == ["mnist/gmvae-k10-m1-dense", "mnist/gmvae-cv-k10-m1-dense"]


def test_names_lead_back_to_their_cells(split):
    with pytest.raises(ConfigError, match="mnist/gmvae-k30-m10-dense"):
        gmvae.run("mnist/vade", 0, split)
    for cell, network, variant in product(gmvae.CELLS, gmvae.NETWORKS, gmvae.VARIANTS):
        named = gmvae.NAME.fullmatch(gmvae.row_name(*cell, network, variant))
        assert (1 if named["cv"] else 2, int(named["k"]), int(named["m"])) == cell
        assert (named["network"] or "conv", named["variant"] or "") == (network, variant)


def test_a_cell_goes_on_from_its_last_epoch(split, tmp_path, monkeypatch):
    name = gmvae.row_name(2, 10, 1, "dense")
    whole = gmvae.run(name, 0, split, epochs=3)
    assert whole["earlier_seconds"] == pytest.approx(0.0, abs=1e-9)

    class Stop(Exception):
        pass

    class Clock(gmvae._Clock):
        def on_epoch_end(self, state):
            super().on_epoch_end(state)
            if state.epochs_done == 3:
                raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(gmvae, "_Clock", Clock)
        with pytest.raises(Stop):
            gmvae.run(name, 0, split, epochs=3, checkpoint=tmp_path / "run")
    gone_on = gmvae.run(name, 0, split, epochs=3, checkpoint=tmp_path / "run")
    assert gone_on.pop("earlier_seconds") > 0
    assert gone_on == {key: value for key, value in whole.items() if key != "earlier_seconds"}
