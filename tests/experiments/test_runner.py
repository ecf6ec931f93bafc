"""Only what is missing is run; what failed is kept."""

import random
from dataclasses import replace
from functools import lru_cache

import pytest

from steinmix.errors import DataError, DivergedError
from steinmix.experiments import Row, Study
from steinmix.experiments.records import append
from steinmix.experiments.runner import complete, missing, records_of, unavailable, why_not


def test_only_what_is_missing_is_run(tmp_path, experiment, calls, record):
    append(tmp_path / "paper-table.jsonl", record(1, accuracy=0.9))
    append(tmp_path / "paper-table-second-machine.jsonl", record(0, "set/null", accuracy=0.9))
    append(tmp_path / "paper-table.jsonl", record(0, protocol="another", accuracy=0.9))
    cells = missing(experiment, experiment.rows, [0, 1], tmp_path)
    assert [(cell.row.name, cell.seed) for cell in cells] == [("set/method", 0), ("set/null", 1)]
    assert complete(experiment, cells, tmp_path, progress=False) == 0
    assert calls == [("set/method", 0, "SET"), ("set/null", 1, "SET")]
    assert missing(experiment, experiment.rows, [0, 1], tmp_path) == []
    found = records_of(experiment, tmp_path)
    done = found["paper/table", "set/null", "all rows", 1]
    assert (done.metrics, done.settings) == ({"accuracy": 0.1}, {"said": "so"})
    assert done.wall_seconds >= 0
    assert done.peak_mb > 1
    assert found["paper/table", "set/method", "all rows", 1].metrics == {"accuracy": 0.9}  # the old one, untouched


def test_it_stops_and_goes_on(tmp_path, experiment, calls):
    def stops(row, seed, data):
        if seed == 1:
            raise KeyboardInterrupt
        return {"accuracy": 0.5}

    stopping = replace(experiment, rows=(replace(experiment.rows[0], run=stops),))
    cells = missing(stopping, stopping.rows, range(3), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        complete(stopping, cells, tmp_path, progress=False)
    assert [cell.seed for cell in missing(experiment, experiment.rows[:1], range(3), tmp_path)] == [1, 2]


def test_a_run_goes_on_from_its_own_folder_until_it_is_recorded(tmp_path, experiment):
    seen = []

    def run(row, seed, data, checkpoint):
        seen.append(sorted(p.name for p in checkpoint.glob("*")))
        checkpoint.mkdir(parents=True, exist_ok=True)
        (checkpoint / str(len(seen))).touch()
        if len(seen) == 1 or len(seen) == 3:
            raise KeyboardInterrupt
        return {"accuracy": 0.5, "earlier_seconds": 100.0}

    long = replace(experiment, rows=(replace(experiment.rows[0], run=run, resumable=True),))
    cells = missing(long, long.rows, [0], tmp_path)
    with pytest.raises(KeyboardInterrupt):
        complete(long, cells, tmp_path, progress=False)
    complete(long, cells, tmp_path, progress=False)
    (found,) = records_of(long, tmp_path).values()
    assert 100 <= found.wall_seconds < 200
    assert found.metrics == {"accuracy": 0.5}
    with pytest.raises(KeyboardInterrupt):
        complete(long, cells, tmp_path, progress=False)
    complete(long, cells, tmp_path, progress=False, fresh=True)
    assert seen == [[], ["1"], [], []]
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_failed_seed_has_its_record_and_a_mistake_has_none(tmp_path, experiment):
    def fails(row, seed, data):
        if seed == 0:
            raise DivergedError("mixture", 3, "latent")
        raise ZeroDivisionError

    failing = replace(experiment, rows=(replace(experiment.rows[0], run=fails),))
    cells = missing(failing, failing.rows, range(2), tmp_path)
    with pytest.raises(ZeroDivisionError):
        complete(failing, cells, tmp_path, progress=False)
    (found,) = records_of(failing, tmp_path).values()
    assert found.metrics == {}
    assert "DivergedError" in found.failure


def test_several_processes(tmp_path, experiment):
    cells = missing(experiment, experiment.rows, range(3), tmp_path)
    complete(replace(experiment), [c._replace(row=replace(c.row, run=_seed)) for c in cells], tmp_path, 2, False)
    assert missing(experiment, experiment.rows, range(3), tmp_path) == []


def test_what_shares_a_training_stays_in_one_process(tmp_path, experiment):
    rows = [Row(f"set/{name}", _process, shared=name[0]) for name in ("a1", "a2", "b1")]
    shared = replace(experiment, rows=tuple(rows))
    complete(shared, missing(shared, rows, range(4), tmp_path), tmp_path, 2, False)
    found = {(key[1], key[3]): record.metrics["accuracy"] for key, record in records_of(shared, tmp_path).items()}
    assert len(found) == 12
    assert all(found["set/a1", seed] == found["set/a2", seed] for seed in range(4))
    assert len(set(found.values())) == 8  # what it trained, it trained once


@lru_cache(maxsize=1)
def _trained(kind, seed):
    return random.random()


def _process(row, seed, data):
    return {"accuracy": _trained(row[4], seed)}


def _seed(row, seed, data):
    return {"accuracy": float(seed)}


def test_why_a_row_is_not_run(experiment):
    def absent(name):
        raise DataError(f"no file of {name}")

    rows = (*experiment.rows, replace(experiment.rows[0], name="gone/row", load=absent))
    reasons = unavailable(experiment, rows)
    assert reasons == {"set/other": "no runner in this version", "gone/row": "no data: no file of gone"}


def test_data_that_are_not_here_are_not_loaded(experiment):
    def never(name):
        raise AssertionError(f"{name} was loaded")

    gone = replace(experiment.rows[0], name="gone/row", load=never, absent=lambda name: f"{name}.npz not present")
    reason = "not run here: gone.npz not present"
    assert unavailable(experiment, [gone]) == {"gone/row": reason}
    assert why_not(experiment, gone) == reason
    assert why_not(experiment, replace(gone, absent=lambda name: "")) == ""


def test_a_study_has_records_of_its_own_and_runs_rows_at_once(tmp_path, experiment, record):
    asked = []
    study = Study(
        lambda rows, folder, jobs, fresh: asked.append((rows, folder, jobs, fresh)),
        lambda folder: [record(0, accuracy=1.0)],
    )
    studied = replace(experiment, rows=(Row("set/method"), Row("set/other")), study=study)
    cells = missing(studied, studied.rows, range(2), tmp_path)
    assert [(cell.row.name, cell.seed) for cell in cells] == [("set/other", 0), ("set/method", 1), ("set/other", 1)]
    assert unavailable(studied, studied.rows) == {}
    complete(studied, cells, tmp_path, jobs=3)
    complete(studied, cells[:1], tmp_path, fresh=True)
    assert asked == [(["set/other", "set/method"], tmp_path, 3, False), (["set/other"], tmp_path, 1, True)]
