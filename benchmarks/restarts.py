"""Restarts: stacked against one by one for small models, processes of one thread against threads for a large one.

The first part gives CPU milliseconds per restart and step on one thread, for ten restarts; from it come the methods'
limits of stacking (parameters x batch size). The second gives wall-clock seconds per run and epoch of 70,000 rows.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from joblib import Parallel, delayed

from steinmix import NSVGD, Training
from steinmix.data import as_source
from steinmix.data.prepare import Scaling
from steinmix.nn import Bernoulli, Gaussian
from steinmix.objective import Objective, Phase
from steinmix.random import StackedStreams, Streams
from steinmix.training import Loader, run
from steinmix.training.loader import StackedLoader
from steinmix.training.loop import RunState
from steinmix.training.stack import Restart, Stack, run_stack

from .harness import interleave, machine, ratios, write
from .overhead import mixture, ours, vade
from .vade_step import FEATURES, HIDDEN, ROWS, images

RESTARTS = 10
SMALL = {
    "mixture m=5 d=2": (2, mixture),
    "mixture m=5 d=100": (100, mixture),
    "VaDE 10-16-16-10": (10, partial(vade, hidden=(16, 16), likelihood=Gaussian())),
    "VaDE 64-64-64-10": (64, partial(vade, hidden=(64, 64), likelihood=Gaussian())),
    "VaDE 64-128-128-256-10": (64, partial(vade, hidden=(128, 128, 256), likelihood=Gaussian())),
    "VaDE 784-500-500-10": (784, partial(vade, hidden=(500, 500), likelihood=Gaussian())),
}


def phases(module: torch.nn.Module, streams: Streams) -> list[Phase]:
    """Return one epoch of the module's terms with a diversifier."""
    terms = partial(module.terms, streams=streams) if hasattr(module, "encoder") else module.terms
    objective = Objective(terms, list(module.parameters()), module.mixture.particles(), NSVGD(0.1))
    return [Phase("mixture", 1, [objective], after_step=module.mixture.project_)]


def one_by_one(rows: np.ndarray, model: Callable, training: Training) -> Callable:
    """Return a function that runs an epoch of each restart, one after another."""
    seeds = range(RESTARTS)
    modules, streams = [model(rows)[0] for _ in seeds], [Streams(s) for s in seeds]
    first = Loader(as_source(rows), torch.Tensor.float, training.batch_size, torch.device("cpu"), streams[0])
    loaders = [first.sibling(s) for s in streams]
    return lambda: [run(m, phases(m, s), it, training, s, 1e-3) for m, s, it in zip(modules, streams, loaders)]


def stacked(rows: np.ndarray, model: Callable, training: Training) -> Callable:
    """Return a function that runs an epoch of all restarts at once."""
    members = StackedStreams([Streams(s) for s in range(RESTARTS)])
    stack = Stack(model(rows)[0], [model(rows)[0] for _ in range(RESTARTS)])
    first = Loader(as_source(rows), torch.Tensor.float, training.batch_size, torch.device("cpu"), members.members[0])
    loader, plan = StackedLoader([first.sibling(s) for s in members.members]), phases(stack.module, members)

    def go() -> None:
        states = [RunState(m, phases(m, s), s) for m, s in zip(stack.members, members.members)]
        run_stack(stack, plan, [Restart(state, []) for state in states], loader, training, members, 1e-3)

    return go


def small_models(rounds: int) -> list[dict]:
    """Time the two ways for models of several sizes."""
    found = []
    torch.set_num_threads(1)
    for name, (width, model) in SMALL.items():
        rows = Streams(0).numpy("rows").normal(size=(2560, width)).astype(np.float32)
        for batch in (64, 256):
            training = Training(batch_size=batch, progress=False)
            ways = {"one by one": one_by_one, "stacked": stacked}
            seconds = interleave({k: f(rows, model, training) for k, f in ways.items()}, rounds, time.process_time)
            size = sum(p.numel() for p in model(rows)[0].parameters())
            row = {"case": name, "batch": batch, "parameters": size, "restarts": RESTARTS}
            per_step = RESTARTS * -(-len(rows) // batch)
            row["milliseconds"] = {k: round(1e3 * statistics.median(v) / per_step, 4) for k, v in seconds.items()}
            row["faster"] = round(ratios(seconds, "one by one")["stacked"], 2)
            found.append(row)
            print(f"restarts {name}, batch {batch}: {row['milliseconds']} ms per restart-step, {row['faster']} x")
    return found


def epoch(threads: int, batch: int, precision: str) -> float:
    """Run one epoch of VaDE's net on so many threads and return its seconds."""
    torch.set_num_threads(threads)
    rows, pixels = images(), Scaling(np.zeros(FEATURES), np.full(FEATURES, 255.0))
    go = ours(rows, pixels, batch, vade(rows, HIDDEN, Bernoulli()), 1, precision)
    go()
    start = time.perf_counter()
    go()
    return time.perf_counter() - start


def large_models(rounds: int, batch: int = 100, precision: str = "bf16") -> list[dict]:
    """Time two runs: in two processes of one thread at once, and on two threads one after another."""
    seconds: dict[str, list[float]] = {"two threads": [], "two processes": []}
    with Parallel(n_jobs=2) as pool:
        for _ in range(rounds):
            seconds["two threads"].append(epoch(2, batch, precision))
            both = pool(delayed(epoch)(1, batch, precision) for _ in range(2))
            seconds["two processes"].append(max(both) / 2)
    per_run = {k: round(statistics.median(v) * 70_000 / ROWS, 2) for k, v in seconds.items()}
    faster = round(ratios(seconds, "two threads")["two processes"], 2)
    print(f"restarts VaDE 784-500-500-2000-10, batch {batch}, {precision}: {per_run} s per run-epoch, {faster} x")
    return [{"case": "VaDE 784-500-500-2000-10", "batch": batch, "precision": precision, "seconds": per_run}]


def main(rounds: int = 5) -> None:
    """Print and record both parts."""
    record = {"machine": machine(), "rounds": rounds}
    record["small"] = small_models(rounds)
    record["large"] = large_models(rounds)
    write("restarts", record)
