r"""A recipe for the toy study that finds all modes, and what each of its ingredients does.

The paper's start, model and budget of steps, no truth in any choice. In the order of the run:

1. *annealed*: NSVGD whose alpha falls in a line to 0 over the first 80 % of the steps. Strong repulsion spreads the
   components over the data while they are still wide; what is left to do is local.
2. *prior*: normal with the mean and the standard deviation of the rows on means; on log-variances with mean
   :math:`2 \log(\mathrm{sd} / m)`, the width of an equal share of the data, and deviation 1. Without it particles leave
   the data, where no gradient calls them back.
3. *narrow*: the bandwidth :math:`h^2 = \mathrm{med}^2 / (2 \log(m + 1))` of the original SVGD code. With the median
   itself, gradients are smoothed over half of all components and no component can settle.
4. *polished*: the last fifth of the steps is plain ascent with a falling rate. NSVGD smooths gradients over components
   also where alpha is 0, which slows what tells neighbours apart. It is plain *gradient* ascent: RMSProp divides each
   step by a root that contains the step itself, which shifts its fixed point away from the maximum of F where
   components overlap and F is flat.
5. *selected*: of three strengths from three starts, the run with the best likelihood of held-out rows.

A fifth of the paper's steps is enough. Each competitor gets the same number of runs, optimiser, polishing, selection.
``python -m steinmix.experiments.annealing --part ablation`` runs the recipe without each ingredient in turn;
``--part kernels`` runs what is without all of them, with one thing more in turn.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed

from ..diversify import (
    NSVGD,
    RBF,
    Diversifier,
    LogDet,
    MeansOnly,
    NoDiversity,
    NormalPrior,
    Pairwise,
    Standardised,
    Wasserstein,
)
from ..mixtures import DiagonalMixture, start_mixture
from ..random import Streams
from ..training.schedules import Constant, Cosine, Fade
from ..training.study import Arm, Fitted, Problem, Study
from .records import append_lines
from .toy import Data, Point, command, draw, read, scored, started

__all__ = ["PARTS", "RECIPES", "Recipe", "run_recipe"]

STARTS = 3
POLISH = 0.2
"""Share of the steps after the diversifier has gone."""
RATES = {"sgd": 1.0, "tf_rmsprop": 0.05}
"""Learning rates of the polishing."""


@dataclass(frozen=True)
class Recipe:
    """One way to train; the defaults are the whole recipe."""

    method: str = "nsvgd"
    alphas: tuple[float, ...] = (10.0, 3.0, 1.0)
    bandwidth: str = "median_log"
    prior: str = "shares"
    annealed: bool = True
    polish: str = "sgd"
    selected: bool = True
    start: str = "paper"
    kernel: Callable[[Any], Any] | None = None
    """Made of the Gaussian kernel, if it is not that itself."""

    def diversifier(self, data: Sequence[Data]) -> Diversifier:
        """Return the diversifier for the trials of `data`, `STARTS` problems each."""
        kernel = RBF(self.bandwidth)
        kernel = kernel if self.kernel is None else self.kernel(kernel)
        if self.method == "nsvgd":
            return NSVGD(kernel=kernel, prior=None if self.prior == "none" else self._prior(data))
        return {"gmm": NoDiversity(), "gmm-pt": Pairwise(kernel=kernel), "gmm-logdet": LogDet(kernel=kernel)}[
            self.method
        ]

    def _prior(self, data: Sequence[Data]) -> NormalPrior:
        rows = torch.stack([d.observed.flatten() for d in data]).repeat_interleave(STARTS, 0)
        mean, sd = rows.mean(-1), rows.std(-1)
        width = 2 * (sd / len(data[0].means)).log() if self.prior == "shares" else torch.zeros_like(sd)
        loc, scale = torch.stack([mean, width], -1), torch.stack([sd, torch.ones_like(sd)], -1)
        return NormalPrior(loc[:, None, None], scale[:, None, None])


RECIPES: dict[str, Recipe] = {
    "ours": Recipe(),
    "not annealed": Recipe(annealed=False),
    "no prior": Recipe(prior="none"),
    "unit prior": Recipe(prior="unit"),
    "median bandwidth": Recipe(bandwidth="median"),
    "not polished": Recipe(polish=""),
    "polished by RMSProp": Recipe(polish="tf_rmsprop"),
    "not selected": Recipe(alphas=(3.0,), selected=False),
    "gmm": Recipe("gmm", (0.0, 0.0, 0.0)),
    "gmm-pt": Recipe("gmm-pt", (1.0, 0.1, 0.01), "median"),
    "gmm-logdet": Recipe("gmm-logdet", (1.0, 0.1, 0.01), "median"),
    "gmm from k-means": Recipe("gmm", (0.0,), start="kmeans"),
    "ours from k-means": Recipe(start="kmeans"),
}
"""The recipe, the recipe without each ingredient, its competitors under the same terms, and a start that needs none."""

PAPER = Recipe(alphas=(1.0,), bandwidth="median", prior="none", annealed=False, polish="")
KERNELS: dict[str, Recipe] = {
    "one strength": PAPER,
    "one strength, means only": replace(PAPER, kernel=MeansOnly),
    "one strength, wasserstein": replace(PAPER, kernel=Wasserstein),
    "one strength, standardised": replace(PAPER, kernel=Standardised),
    "one strength, median_log": replace(PAPER, bandwidth="median_log"),
    "one strength, prior": replace(PAPER, prior="shares"),
    "one strength, annealed": replace(PAPER, annealed=True),
    "one strength, pairwise": replace(PAPER, method="gmm-pt"),
    "no diversity": replace(PAPER, method="gmm", alphas=(0.0,)),
}
"""NSVGD at alpha = 1 without any of the recipe but its three starts, and with one thing more in turn."""

_HARD = [
    Point("code", 6, 5.0),
    Point("code", 10, 5.0),
    Point("centred", 6, 2.0),
    Point("centred", 10, 2.0),
    Point("centred", 10, 5.0),
]
_ALL = [Point(grid, m, delta) for grid in ("code", "centred") for m in range(2, 11) for delta in (2.0, 3.0, 4.0, 5.0)]
PARTS: dict[str, list[tuple[Point, str]]] = {
    "ablation": [(point, name) for point in _HARD for name in RECIPES],
    "all": [(p, n) for p in _ALL for n in ("ours", "gmm", "gmm-pt", "gmm-logdet", "gmm from k-means")],
    "ours": [(point, "ours") for point in _ALL],
    "kernels": [(point, name) for point in _HARD for name in KERNELS],
}


def run_recipe(
    recipe: Recipe, data: Sequence[Data], steps: int = 10_000, compiled: bool = False
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Train on every trial; returns the scores of each of the runs and, for each trial, which of them is selected."""
    made = [_problem(d, trial, start, recipe.start) for trial, d in enumerate(data) for start in range(STARTS)]
    last = int(POLISH * steps) if recipe.polish else 0
    fading = Fade(1.0) if recipe.annealed else Constant()
    arm = Arm(recipe.diversifier(data), recipe.alphas, "tf_rmsprop", alpha_schedule=fading)
    fitted = Study([arm], steps - last, compile=compiled).run(made)
    if last:
        made = [p._replace(means=m, log_vars=v) for p, m, v in zip(made, *fitted)]
        plain = Arm(NoDiversity(), (0.0,) * len(recipe.alphas), recipe.polish, RATES[recipe.polish], Cosine())
        fitted = Study([plain], last, compile=compiled).run(made)
    scores = scored(_by_trial(fitted, len(data)), data)
    best = np.argmax([score["held_out"] for score in scores], axis=0)
    return scores, best if recipe.selected else np.zeros_like(best)


def _by_trial(fitted: Fitted, trials: int) -> Fitted:
    """Let the starts of a trial stand beside its strengths: (trials, starts * v, m, d)."""
    return Fitted(*(t.reshape(trials, -1, *t.shape[-2:]) for t in fitted))


def _problem(one: Data, trial: int, number: int, start: str) -> Problem:
    streams = Streams(1000 * number + trial)
    if start != "kmeans":
        return started(one, streams)
    mixture = DiagonalMixture(len(one.means), 1, learn_weights=False, log_var_range=(-3.0, 3.0))
    start_mixture("kmeans", mixture, one.observed, streams)
    return Problem(one.observed, mixture.means.detach(), mixture.log_vars.detach(), streams)


def record(point: Point, name: str, trials: int, steps: int, compiled: bool) -> dict[str, Any]:
    """Run a recipe at a point and return its record: scores of the selected runs, lists over trials."""
    data = [draw(point, trial) for trial in range(trials)]
    scores, best = run_recipe((RECIPES | KERNELS)[name], data, steps, compiled)
    chosen = {
        metric: [scores[run][metric][trial] for trial, run in enumerate(best)]
        for metric in ("mode_error", "variance_ratio", "held_out")
    }
    runs = [round(float(np.mean(score["mode_error"])), 4) for score in scores]
    settings = {"point": point._asdict(), "optimizer": "tf_rmsprop", "method": name, "alpha": "", "steps": steps}
    return settings | chosen | {"selected": best.tolist(), "mean_error_of_runs": runs}


def _work(point: Point, name: str, trials: int, steps: int, compiled: bool, output: str) -> None:
    torch.set_num_threads(1)
    start = time.perf_counter()
    made = record(point, name, trials, steps, compiled)
    seconds = round(time.perf_counter() - start, 1)
    append_lines(output, [json.dumps(made | {"wall_seconds": seconds, "torch": torch.__version__})])
    figures = [round(float(np.mean(made[metric])), 3) for metric in ("mode_error", "variance_ratio")]
    sys.stderr.write(f"{tuple(point)}, {name}: error {figures[0]}, ratio {figures[1]}, {seconds} s\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a part and append its records."""
    parser = command("annealing", sorted(PARTS), "results/wang2019-toy-annealed.jsonl")
    parser.set_defaults(steps=10_000)
    chosen = parser.parse_args(arguments)
    known = chosen.output if chosen.resume else os.devnull
    done = {(*r["point"].values(), r["method"], r["steps"], len(r["mode_error"])) for r in read(known)}
    settings = (chosen.trials, chosen.steps, chosen.compile, chosen.output)
    work = [(p, n) for p, n in PARTS[chosen.part] if (*p, n, chosen.steps, chosen.trials) not in done]
    Parallel(n_jobs=chosen.jobs)(delayed(_work)(point, name, *settings) for point, name in work)


if __name__ == "__main__":
    main()
