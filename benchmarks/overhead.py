"""What our loop costs over a hand-written loop of the same step, on the net of VaDE and on steps below a millisecond.

Both loops draw the same orders, take the same rows, evaluate the same terms with the same optimiser, and read the loss
once per epoch; the hand-written one has no phases, no history, no checks and no checkpoints. Times are CPU times of one
thread, so that other work on the machine tells less.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import nn

from steinmix import NSVGD, Particles, Training
from steinmix.data import as_source
from steinmix.data.prepare import Scaling
from steinmix.estimator.preparation import Preparation
from steinmix.methods.gaussian_mixture import _Density
from steinmix.methods.vade import VaDEModule
from steinmix.mixtures import DiagonalMixture
from steinmix.nn import Bernoulli, Gaussian
from steinmix.numerics.precision import onednn_products
from steinmix.objective import Batch, Objective, Phase
from steinmix.random import Streams
from steinmix.training import Loader, run
from steinmix.training.config import is_large

from .harness import interleave, machine, ratios, write
from .vade_step import images

Terms = Callable[[Batch], dict]


def vade(rows: np.ndarray, hidden: tuple[int, ...], likelihood: Gaussian | Bernoulli) -> tuple[nn.Module, Terms]:
    """Return VaDE's module of ten clusters in ten dimensions, and its terms."""
    streams = Streams(0)
    coder = {"n_features": rows.shape[1], "n_latent": 10, "hidden": hidden, "likelihood": likelihood}
    module = VaDEModule(10, len(rows), **coder, generator=streams.torch("weights"))
    module.mixture.set_moments_(streams.normal_like(module.mixture.means), torch.ones(10, 10))
    return module, partial(module.terms, streams=streams)


def mixture(rows: np.ndarray) -> tuple[nn.Module, Terms]:
    """Return a diagonal mixture of five components, and its terms."""
    module = _Density(DiagonalMixture(5, rows.shape[1]), len(rows))
    module.mixture.set_moments_(Streams(0).normal_like(module.mixture.means), torch.ones(5, rows.shape[1]))
    return module, module.terms


def ours(
    rows: np.ndarray, scaling: Scaling, batch: int, model: tuple[nn.Module, Terms], epochs: int, precision: str = "fp32"
) -> Callable:
    """Return a function that runs epochs of our loop."""
    (module, terms), streams, training = (
        model,
        Streams(0),
        Training(batch_size=batch, precision=precision, progress=False),
    )
    loader = Loader(as_source(rows), Preparation(scaling), batch, torch.device("cpu"), streams)
    objective = Objective(terms, list(module.parameters()), module.mixture.particles(), NSVGD(0.5))
    phases = [Phase("mixture", epochs, [objective], after_step=module.mixture.project_)]
    return lambda: run(module, phases, loader, training, streams, lr=1e-3)


def by_hand(rows: np.ndarray, scaling: Scaling, batch: int, model: tuple[nn.Module, Terms], epochs: int) -> Callable:
    """Return a function that runs epochs of a plain loop."""
    (module, terms), generator = model, Streams(0).torch("order")
    x, n_steps, theta = (
        torch.from_numpy(rows),
        -(-len(rows) // batch),
        Particles([*module.mixture.particles().parameters]),
    )
    shift, scale, diversifier = (
        torch.from_numpy(scaling.shift).float(),
        torch.from_numpy(scaling.scale).float(),
        NSVGD(0.5),
    )

    products = onednn_products if is_large(module) else contextlib.nullcontext  # as ours: it is the loop that is timed

    def go() -> None:
        with products():
            train()

    def train() -> None:
        optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, fused=True)
        for _ in range(epochs):
            losses = []
            for index in torch.randperm(len(x), generator=generator).tensor_split(n_steps):
                batch = Batch((x.index_select(0, index).float() - shift) / scale, index)
                loss = torch.stack([term.value for term in terms(batch).values()]).sum()
                loss.backward()
                theta.diversify_(diversifier)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                module.mixture.project_()
                losses.append(loss.detach())
            torch.stack(losses).mean().item()

    return go


def cases() -> dict[str, tuple[np.ndarray, Scaling, int, Callable, int]]:
    """Return rows, scaling, batch size, model and epochs of each case."""
    normal = Streams(0).numpy("rows").normal(size=(5120, 10)).astype(np.float32)
    unit = Scaling(np.zeros(10), np.ones(10))
    pixels = Scaling(np.zeros(784), np.full(784, 255.0))
    return {
        "VaDE 784-500-500-2000-10": (
            images(),
            pixels,
            256,
            partial(vade, hidden=(500, 500, 2000), likelihood=Bernoulli()),
            1,
        ),
        "VaDE 10-64-10": (normal, unit, 256, partial(vade, hidden=(64,), likelihood=Gaussian()), 10),
        "mixture m=5 d=2": (normal[:, :2].copy(), Scaling(np.zeros(2), np.ones(2)), 64, mixture, 5),
    }


def main(rounds: int = 5) -> None:
    """Print and record milliseconds per step and what our loop adds."""
    torch.set_num_threads(1)
    record = {"machine": machine(), "rounds": rounds, "clock": "CPU time, one thread", "runs": []}
    for name, (rows, scaling, batch, model, epochs) in cases().items():
        loops = {"by hand": by_hand, "ours": ours}
        variants = {k: loop(rows, scaling, batch, model(rows), epochs) for k, loop in loops.items()}
        seconds = interleave(variants, rounds, time.process_time)
        steps = epochs * -(-len(rows) // batch)
        row = {"case": name, "batch": batch, "over_by_hand": round(1 / ratios(seconds, "by hand")["ours"], 3)}
        row["milliseconds"] = {k: round(1e3 * statistics.median(v) / steps, 4) for k, v in seconds.items()}
        record["runs"].append(row)
        print(f"overhead {name}, batch {batch}: {row['milliseconds']} ms/step, {row['over_by_hand']} of by hand")
    write("overhead", record)
