import json

import numpy as np
import pytest
import torch

from steinmix.experiments.toy import METHODS, Point, run_point
from steinmix.report import toy


@pytest.fixture(scope="module")
def records():
    points = [Point("code", 5, 2.0), Point("code", 6, 4.0)]
    return [r for point in points for r in run_point(point, "tf_rmsprop", trials=2, steps=3)]


def test_a_density_is_that_of_torch():
    from torch.distributions import Categorical, MixtureSameFamily, Normal

    x, means, variances = np.linspace(-4, 4, 9), [-1.0, 2.0], [0.5, 2.0]
    mixture = MixtureSameFamily(Categorical(torch.ones(2)), Normal(torch.tensor(means), torch.tensor(variances).sqrt()))
    np.testing.assert_allclose(toy.density(x, means, variances), mixture.log_prob(torch.tensor(x)).exp(), rtol=1e-5)


def test_figure_1_has_a_panel_for_the_start_and_each_method(records):
    svg = toy.densities(records, "code", "tf_rmsprop")
    assert svg.startswith("<svg")
    assert svg.count('id="toy-code-tf_rmsprop-') > 0
    assert toy.densities(records, "code", "tf_rmsprop") == svg
    for _, _, panels in [toy._panels(records, Point("code", 5, 2.0), "tf_rmsprop")]:
        assert list(panels) == ["start", *METHODS]


def test_a_panel_shows_the_strength_that_is_best_by_the_truth(records):
    given = [dict(r, mode_error=[9.0], first_trial={"means": [0.0], "variances": [1.0]}) for r in records[:3]]
    given[1] = dict(given[1], method="gmm", mode_error=[1.0], first_trial={"means": [7.0], "variances": [1.0]})
    given[0] = dict(given[0], method="gmm")
    assert toy._panels(given, Point("code", 5, 2.0), "tf_rmsprop")[2]["gmm"]["means"] == [7.0]


def test_the_table_has_means_and_intervals():
    def record(method, errors):
        point = {"grid": "code", "m": 6, "delta": 5.0}
        return {"point": point, "method": method, "mode_error": errors, "variance_ratio": [1.0] * len(errors)}

    table = toy.ingredients([record("ours", [0.0, 0.2]), record("gmm", [4.0, 4.0])]).splitlines()
    assert table[0] == "| grid | m | Δ | gmm | ours |"
    # Student's t with one degree of freedom, 12.706 standard errors of 0.1
    assert table[2:] == ["| code | 6 | 5 | 4.000 ± 0.000; 1.000 | 0.100 ± 1.271; 1.000 |"]


def test_the_command_writes_figures_or_prints(records, tmp_path, capsys):
    file = tmp_path / "records.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in records))
    toy.main([str(file), "-o", str(tmp_path / "figures")])
    (figure,) = (tmp_path / "figures").iterdir()
    assert figure.name == "toy-figure1-code-tf_rmsprop.svg"
    assert "xmlns" in figure.read_text()[:80]
    toy.main([str(file)])
    assert "| gmm |" in capsys.readouterr().out
