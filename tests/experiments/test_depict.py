import json
from types import SimpleNamespace

import numpy as np
import pytest

from steinmix import ConfigError
from steinmix.data import datasets
from steinmix.experiments import depict
from steinmix.experiments.depict import ROWS, Task, main, run_row, settings_of
from steinmix.methods import DEPICT


@pytest.fixture
def quick(monkeypatch):
    """One epoch of everything, and 300 of the digits."""
    for name in ("PRETRAINING", "MAIN"):
        monkeypatch.setattr(depict, name, 1)
    digits = datasets.load_digits()
    few = SimpleNamespace(data=digits.data[:300], target=digits.target[:300])
    monkeypatch.setattr(depict, "_data", lambda name: few)
    return few


def records(folder):
    return [json.loads(line) for line in (folder / "wang2019-digits.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_an_estimator_that_can_be_built(row):
    settings = settings_of(row)
    settings.pop("training__epochs", None)
    assert DEPICT(10, **settings).get_params()["pretraining__epochs"] == 0


def test_an_unknown_row_is_named():
    with pytest.raises(ConfigError, match="no row is called 'best'"):
        settings_of("best")


def test_rows_are_recorded_once_and_share_the_pretraining_of_their_seed(quick, tmp_path, capsys):
    arguments = ["--data", "digits", "--cache", str(tmp_path / "cache"), "--results", str(tmp_path)]
    rows = ["--row", "k-means", "--row", "ae+k-means", "--row", "code, released sign"]
    main([*arguments, *rows, "--seeds", "0-1"])
    main([*arguments, *rows, "--seeds", "0-1"])
    found = records(tmp_path)
    assert [(r["row"], r["seed"]) for r in found] == [(row, seed) for seed in (0, 1) for row in rows[1::2]]
    assert len(list((tmp_path / "cache").glob("*/model"))) == 2  # one for each seed, and no checkpoint is left
    assert not list((tmp_path / "cache").glob("*/*/state.json"))
    assert {"accuracy", "nmi", "ari"} == found[0]["metrics"].keys()
    assert found[1]["metrics"] == found[1]["start_metrics"]
    assert found[2]["start_metrics"] == found[1]["metrics"]
    assert found[2]["parameters"]["diversifier"]["$class"] == "ReleasedNSVGD"
    assert capsys.readouterr().out.count("\n") == 6


def test_labels_reach_the_scorer_only(quick, tmp_path, monkeypatch):
    task = Task("digits", quick.data, tmp_path)
    first = run_row("ae+k-means", 0, task)[0]
    monkeypatch.setattr(depict, "_data", lambda name: pytest.fail("labels were looked at"))
    assert np.array_equal(run_row("ae+k-means", 0, task)[0], first)
