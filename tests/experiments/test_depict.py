import json

import numpy as np
import pytest

from steinmix import ConfigError, Training
from steinmix._machine import finite
from steinmix.data import datasets
from steinmix.experiments import depict
from steinmix.experiments.clustering import make_task
from steinmix.experiments.depict import ROWS, Task, run, run_row, settings_of
from steinmix.methods import DEPICT
from steinmix.random import Streams


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """An epoch of pretraining, five of the main phase, whose last one has the Stein step, and 300 of the digits."""
    for name, epochs in (("PRETRAINING", 1), ("MAIN", 5)):
        monkeypatch.setattr(depict, name, epochs)
    monkeypatch.setattr(depict, "LONGER", {})
    monkeypatch.setattr(depict, "cache_folder", lambda: tmp_path)
    digits = datasets.load_digits()
    return make_task("digits", digits.data[:300], digits.target[:300])


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_an_estimator_that_can_be_built(row):
    settings = settings_of(row)
    settings.pop("training__epochs")
    assert DEPICT(10, **settings).get_params()["pretraining__epochs"] == 0


def test_few_rows_take_more_epochs():
    few, many = settings_of("code, T 0", "digits"), settings_of("code, T 0")
    assert (many["training__epochs"], many["diversify_from"]) == (12, 4)
    assert (few["training__epochs"], few["diversify_from"]) == (120, 40)
    assert settings_of("depict", "digits")["anchor_epochs"] == 10 * settings_of("depict")["anchor_epochs"]
    assert settings_of("ae+k-means", "digits")["training__epochs"] == 0


def test_an_unknown_row_is_named():
    with pytest.raises(ConfigError, match="no row is called 'best'"):
        settings_of("best")


def test_rows_share_the_pretraining_of_their_seed(quick, tmp_path):
    rows = ("digits/ae+k-means", "digits/code-released-sign")
    first, second = (run(row, 0, quick) for row in rows)
    kept = tmp_path / "pretrained"
    assert len(list(kept.glob("*/model"))) == 1  # no second pretraining, and no checkpoint is left
    assert not list(kept.glob("*/*/state.json"))
    assert first["accuracy"] == first["initial_accuracy"] == second["initial_accuracy"]
    assert second["settings"]["parameters"]["diversifier"]["$class"] == "ReleasedNSVGD"
    assert second["settings"]["parameters"]["training"]["params"]["callbacks"] == {"$tuple": []}  # no weights
    assert json.dumps(finite(second["settings"]))
    run(rows[0], 1, quick)
    assert len(list(kept.glob("*/model"))) == 2


def test_weights_of_other_settings_are_not_taken(quick, tmp_path, monkeypatch):
    task, made = Task("digits", quick.rows, tmp_path), []

    def kept():
        depict.pretrained(task, 0)
        made.append(len(list(tmp_path.glob("*/model"))))

    kept()
    kept()
    monkeypatch.setattr(depict, "_training", lambda epochs: Training(epochs=epochs, batch_size=100, progress=False))
    kept()
    monkeypatch.setattr(depict, "__version__", "another")
    kept()
    assert made == [1, 1, 2, 3]


def test_labels_reach_the_scorer_only(quick, tmp_path):
    labels = [run_row("ae+k-means", 0, Task("digits", quick.rows, tmp_path / str(i)))[0] for i in range(2)]
    assert np.array_equal(*labels)
    shuffled = make_task("digits", quick.rows, Streams(0).numpy("labels").permutation(300) % 10)
    found = [run("digits/gaussian", 0, task)["settings"]["last_epoch"] for task in (quick, shuffled)]
    assert found[0] == found[1]
