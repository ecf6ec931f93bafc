"""The toy study, m = 6: microseconds per iteration of a run, as one program and one by one by autograd.

All four methods of the paper at their strengths on 20 trials, 320 runs. One by one, a run is a loop over minibatches as
one writes it: likelihood by ``logsumexp``, ``backward``, the diversifier, ``torch.optim.Adagrad``.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch

from steinmix import NSVGD, LogDet, NoDiversity, Pairwise, Particles
from steinmix.numerics.densities import diagonal_log_prob
from steinmix.random import Streams
from steinmix.training.study import Arm, Problem, Study, _Ascent, _passes

from .harness import interleave, machine, ratios, write

M, TRIALS, BATCH, STEPS = 6, 20, 256, 46
ALPHAS = (1.0, 0.5, 0.1, 0.05, 0.01)
METHODS = {"gmm": NoDiversity, "gmm-pt": Pairwise, "gmm-logdet": LogDet, "nsvgd": NSVGD}
GRID = 12 * 20 * 50_000
"""Iterations of a run of the paper's grid: settings x trials x steps."""


def problems() -> list[Problem]:
    """Return rows and starts as in the toy study."""
    streams = [Streams(trial) for trial in range(TRIALS)]
    grid = torch.linspace(-24, 24, M)
    made = []
    for s in streams:
        rows = grid.repeat(2000)[:, None] + torch.randn(2000 * M, 1, generator=s.torch("rows"))
        means = M * (2 * torch.rand(M, 1, generator=s.torch("start")) - 1)
        made.append(Problem(rows, means, torch.zeros(M, 1), s))
    return made


def one_by_one(one: Problem, method: str) -> Callable[[], None]:
    """Return a function that makes some iterations of one run."""
    means, log_vars = (t.clone().requires_grad_() for t in (one.means, one.log_vars))
    theta = Particles([means, log_vars])
    diversifier = NoDiversity() if method == "gmm" else METHODS[method](0.5)
    optimizer = torch.optim.Adagrad([means, log_vars], lr=0.05)
    generator = one.streams.torch("draws")

    def go() -> None:
        for _ in range(STEPS):
            x = one.x[torch.randint(len(one.x), (BATCH,), generator=generator)]
            optimizer.zero_grad()
            loss = -torch.logsumexp(diagonal_log_prob(x, means, log_vars), -1).mean()
            loss.backward()
            theta.diversify_(diversifier)
            optimizer.step()
            with torch.no_grad():
                log_vars.clamp_(-3, 3)

    return go


def study(compiled: bool) -> Callable[[], None]:
    """Return a function that makes as many iterations of all runs."""
    arms = [Arm(cls(), (0.0,) if name == "gmm" else ALPHAS) for name, cls in METHODS.items()]
    made = problems()
    with torch.inference_mode():
        ascent = _Ascent(Study(arms, batch_size=BATCH, compile=compiled), made)
        passes = _passes(made, BATCH)

    def go() -> None:
        with torch.inference_mode():
            ascent.schedule(0, 1)
            for batch in next(passes)[:STEPS]:
                ascent.advance(batch)

    return go


def main(rounds: int = 5) -> None:
    """Print and record microseconds per iteration of a run and the ratios."""
    torch.set_num_threads(1)
    runs = TRIALS * (1 + 3 * len(ALPHAS))
    one = problems()[0]
    variants: dict[str, Callable[[], None]] = {f"one by one, {name}": one_by_one(one, name) for name in METHODS}
    variants |= {"study": study(False), "study, compiled": study(True)}
    seconds = interleave(variants, rounds)
    alone = [seconds[f"one by one, {name}"] for name in METHODS]
    per_method = [1, *([len(ALPHAS)] * 3)]
    mean = [sum(w * s for w, s in zip(per_method, row)) / sum(per_method) for row in zip(*alone)]
    each = {name: [s / STEPS / (runs if name.startswith("study") else 1) for s in row] for name, row in seconds.items()}
    each["one by one"] = [s / STEPS for s in mean]
    faster = ratios(each, "one by one")
    micro = {name: round(1e6 * statistics.median(row), 2) for name, row in each.items()}
    minutes = {n: round(GRID * (runs / TRIALS) * micro[n] / 1e6 / 60 / 2, 1) for n in ("study", "study, compiled")}
    record = {"machine": machine(), "rounds": rounds, "runs": runs, "microseconds": micro}
    record |= {"faster": {name: round(f, 1) for name, f in faster.items()}, "whole_grid_minutes_on_two_cores": minutes}
    print(f"toy: {micro} us per iteration of a run; {record['faster']} x; the paper's grid on two cores: {minutes} min")
    write("toy", record)
