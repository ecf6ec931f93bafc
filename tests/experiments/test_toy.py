import json

import numpy as np
import pytest
import torch

from steinmix import ConfigError, metrics
from steinmix.experiments import find, toy
from steinmix.experiments.runner import Cell, complete, missing
from steinmix.experiments.toy import ALPHAS, METHODS, OPTIMIZERS, PARTS, Point, choose, main, problems, run_point

RUNS = 1 + 4 * len(ALPHAS)


@pytest.fixture(scope="module")
def records():
    return run_point(Point("code", 3, 4.0), "tf_rmsprop", trials=2, steps=30)


def test_the_settings_are_those_of_figure_2():
    """m = 6 and Delta from 2 to 5; Delta = 4 and m from 3 to 10; on both grids."""
    for grid in ("code", "centred"):
        found = {point[1:] for point in PARTS["figure2"] if point.grid == grid}
        assert found == {(6, d) for d in (2, 3, 4, 5)} | {(m, 4) for m in range(3, 11)}


def test_rows_and_starts_are_those_of_the_paper():
    data = [toy.draw(Point("code", 5, 2.0), trial) for trial in range(3)]
    assert data[0].means.tolist() == [-10, -5, 0, 5, 10]
    assert [tuple(d.observed.shape) for d in data] == [(10_000, 1)] * 3
    assert tuple(data[0].held_out.shape) == (1000, 1)
    assert float(data[0].observed.var()) == pytest.approx(51, rel=0.03)  # 50 between modes, 1 within
    starts = torch.stack([p.means for p in problems(data)])
    assert bool((starts.abs() <= 5).all())
    assert float(starts.std()) > 2
    assert len(starts.unique()) == 15
    assert not any(p.log_vars.any() for p in problems(data))


def test_there_is_a_record_for_every_method_and_strength(records):
    assert len(records) == RUNS == len({toy.key(r) for r in records})
    assert {r["method"] for r in records} == set(METHODS)
    assert all(len(r["mode_error"]) == len(r["held_out"]) == 2 for r in records)
    assert len({tuple(r["mode_error"]) for r in records}) == RUNS  # no two runs are the same


def test_the_code_s_temperature_is_alpha_over_m():
    """Its update is (sum_j K_ij g_j + T R_i) / sum_j K_ij, its kernel exp(-d^2 / median(d^2, zeros included))."""
    code = toy.arm("nsvgd-code", "tf_rmsprop", 6)
    assert code.alphas == pytest.approx([6 * t for t in ALPHAS])
    assert code.diversifier.row_normalised
    assert code.diversifier.kernel.bandwidth == "median_squared_with_zeros"
    paper = toy.arm("nsvgd", "tf_adagrad", 6)
    assert paper.alphas == ALPHAS
    assert (paper.diversifier.row_normalised, paper.diversifier.kernel.bandwidth) == (False, "median")


def test_scores_are_those_of_the_metrics(records):
    truth = np.array([[-12.0], [0.0], [12.0]])
    for record in records:
        means, variances = (np.array(record["first_trial"][k])[:, None] for k in ("means", "variances"))
        assert record["mode_error"][0] == pytest.approx(metrics.mode_recovering_error(truth, means), abs=1e-3)
        assert record["variance_ratio"][0] == pytest.approx(metrics.variance_ratio(truth, means, variances), abs=1e-3)


def test_held_out_likelihood_is_that_of_torch(records):
    from torch.distributions import Categorical, MixtureSameFamily, Normal

    x = toy.draw(Point("code", 3, 4.0), 0).held_out.double().flatten()
    for record in records[::7]:
        means, variances = (torch.tensor(record["first_trial"][k]).double() for k in ("means", "variances"))
        mixture = MixtureSameFamily(Categorical(torch.ones(3).double()), Normal(means, variances.sqrt()))
        assert record["held_out"][0] == pytest.approx(float(mixture.log_prob(x).mean()), rel=1e-3)


def test_strengths_are_chosen_by_the_truth_or_by_likelihood():
    def record(alpha, errors, likelihoods):
        return {"alpha": alpha, "mode_error": errors, "variance_ratio": errors, "held_out": likelihoods}

    given = [record(1.0, [1.0, 5.0], [-3.0, -1.0]), record(0.1, [2.0, 3.0], [-2.0, -2.0])]
    oracle = choose(given, "oracle")
    assert (oracle["alpha"], oracle["mode_error"].tolist()) == (0.1, [2.0, 3.0])
    honest = choose(given, "held-out")
    assert (honest["alpha"], honest["mode_error"].tolist()) == ([0.1, 1.0], [2.0, 5.0])
    with pytest.raises(ConfigError, match="by is 'luck'"):
        choose(given, "luck")


def test_the_command_adds_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(PARTS, "figure2", [Point("code", 3, 4.0)])
    output = tmp_path / "deep" / "toy.jsonl"
    arguments = ["--part", "figure2", "--trials", "1", "--steps", "2", "--output", str(output), "--resume"]
    threads = torch.get_num_threads()
    main(arguments)
    lines = output.read_text().splitlines()
    assert len(lines) == len(OPTIMIZERS) * RUNS
    output.write_text("\n".join(lines[: RUNS + 5]) + "\n" + lines[RUNS + 5][:50])  # as a crash leaves it
    monkeypatch.setattr(toy, "run_point", lambda *settings: [json.loads(line) for line in lines[RUNS:]])
    main(arguments)
    assert len(toy.read(output)) == 2 * RUNS
    assert len([json.loads(line) for line in output.read_text().splitlines()]) == RUNS + 5 + RUNS, "torn ones are gone"
    size = output.stat().st_size
    main(arguments)
    assert output.stat().st_size == size
    torch.set_num_threads(threads)


def test_the_table_runs_the_points_and_optimisers_that_are_asked_for(tmp_path, monkeypatch):
    """They alone, with all their methods; what has records again only if all is to be run anew."""
    ran = []

    def run_point(point, optimizer, *settings):
        ran.append((point, optimizer))
        scores = {name: [1.0] * toy.TRIALS for name in ("mode_error", "variance_ratio", "held_out")}
        where = {"point": point._asdict(), "optimizer": optimizer, "steps": toy.STEPS}
        runs = [(m, a) for m in METHODS for a in (ALPHAS if m != "gmm" else (0.0,))]
        return [where | {"method": method, "alpha": alpha} | scores for method, alpha in runs]

    monkeypatch.setattr(toy, "run_point", run_point)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    table = find("wang2019/figure2")
    rows = [row for row in table.rows if row.name.startswith("toy/centred/m3-d4/tf_adagrad/nsvgd/")]
    assert len(rows) == 2
    for _ in range(2):
        complete(table, missing(table, rows, range(20), tmp_path), tmp_path)
    assert ran == [(Point("centred", 3, 4.0), "tf_adagrad")]
    assert missing(table, rows, range(20), tmp_path) == []
    complete(table, missing(table, table.rows, [0], tmp_path)[:1], tmp_path)
    assert ran[1:] == [(Point("code", 6, 2.0), "tf_adagrad")]
    complete(table, [Cell(row, 0) for row in rows], tmp_path, fresh=True)
    assert ran[2:] == ran[:1]
    assert all(row.cost for row in table.rows)
