from dataclasses import replace

import numpy as np
import pytest
import torch

from steinmix import NSVGD, RBF
from steinmix.diversify import Standardised
from steinmix.experiments import annealing, toy
from steinmix.experiments.annealing import KERNELS, PARTS, RECIPES, Recipe, main, run_recipe
from steinmix.experiments.toy import Point
from steinmix.training.study import Study


@pytest.fixture
def data():
    return [toy.draw(Point("code", 3, 4.0), trial) for trial in range(2)]


def test_each_ablation_changes_one_thing():
    for name in ("not annealed", "no prior", "unit prior", "median bandwidth", "not polished", "polished by RMSProp"):
        differing = [f for f in vars(Recipe()) if getattr(RECIPES[name], f) != getattr(RECIPES["ours"], f)]
        assert len(differing) == 1
    assert {name for _, name in PARTS["ablation"]} == set(RECIPES)


def test_each_kernel_changes_one_thing(data):
    base = KERNELS["one strength"]
    for name, recipe in KERNELS.items():
        differing = [f for f in vars(base) if getattr(base, f) != getattr(recipe, f)]
        assert len(differing) == {"one strength": 0, "no diversity": 2}.get(name, 1)
    assert KERNELS["one strength, standardised"].diversifier(data).kernel == Standardised(RBF("median"))


def test_competitors_get_as_many_runs():
    assert {len(RECIPES[name].alphas) for name in ("ours", "gmm", "gmm-pt", "gmm-logdet")} == {3}
    assert all(RECIPES[name].polish == "sgd" and RECIPES[name].selected for name in ("gmm", "gmm-pt", "gmm-logdet"))


def test_the_prior_has_the_moments_of_each_trial(data):
    prior = Recipe().diversifier(data).prior
    for trial, one in enumerate(data):
        for start in range(annealing.STARTS):
            row = trial * annealing.STARTS + start
            mean, sd = one.observed.mean().item(), one.observed.std().item()
            assert prior.loc[row].flatten().tolist() == pytest.approx([mean, 2 * np.log(sd / 3)], rel=1e-4)
            assert prior.scale[row].flatten().tolist() == pytest.approx([sd, 1.0])


def test_the_run_with_the_best_held_out_likelihood_is_selected(data):
    scores, best = run_recipe(replace(Recipe(), alphas=(3.0, 1.0)), data, steps=40)
    assert len(scores) == annealing.STARTS * 2
    for trial, run in enumerate(best):
        assert scores[run]["held_out"][trial] == max(score["held_out"][trial] for score in scores)
    _, first = run_recipe(RECIPES["not selected"], data, steps=10)
    assert first.tolist() == [0, 0]


def test_the_last_fifth_is_plain_ascent_from_where_the_rest_ended(data, monkeypatch):
    made = []
    run = Study.run
    monkeypatch.setattr(Study, "run", lambda self, problems: made.append((self, problems)) or run(self, problems))
    run_recipe(Recipe(), data, steps=50)
    (first, start), (second, later) = made
    assert (first.steps, second.steps) == (40, 10)
    assert isinstance(first.arms[0].diversifier, NSVGD)
    assert [tuple(p.means.shape) for p in (start[0], later[0])] == [(3, 1), (3, 3, 1)]
    assert not torch.equal(later[0].means[0], later[0].means[1])
    assert type(second.arms[0].diversifier).__name__ == "NoDiversity"


def test_k_means_finds_what_the_paper_s_start_does_not(data):
    def error(name):
        scores, best = run_recipe(RECIPES[name], data, steps=1)
        return np.mean([scores[run]["mode_error"][trial] for trial, run in enumerate(best)])

    assert error("gmm from k-means") < 0.1 < 1 < error("gmm")


def test_annealed_repulsion_finds_modes_that_plain_ascent_does_not():
    """Two thousand steps on the released code's grid; plain ascent from the same starts leaves modes out."""
    data = [toy.draw(Point("code", 6, 5.0), trial) for trial in range(2)]
    found = {}
    for name in ("ours", "gmm"):
        scores, best = run_recipe(RECIPES[name], data, steps=3000)
        found[name] = np.mean([scores[run]["mode_error"][trial] for trial, run in enumerate(best)])
    assert found["ours"] < 1 < found["gmm"]


def test_the_command_runs_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(PARTS, "ours", [(Point("code", 3, 4.0), "ours"), (Point("code", 3, 4.0), "gmm")])
    output = tmp_path / "annealed.jsonl"
    arguments = ["--part", "ours", "--trials", "1", "--steps", "5", "--output", str(output), "--resume"]
    threads = torch.get_num_threads()
    main(arguments)
    main(arguments)
    torch.set_num_threads(threads)
    lines = output.read_text().splitlines()
    assert len(lines) == len(toy.read(output)) == 2
