"""DAGMM on the rows of KDD Cup 1999: milliseconds per restart and step against a straightforward port.

The port is written as public ones are: one restart, a Python loop over the components, covariance, inverse and Cholesky
of each, torch's own Adam, every row of the batch through the network. Ours is the estimator's module with the rows of a
batch once each, alone and with ten restarts stacked. CPU time of one thread.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from steinmix import DAGMM, Training, datasets
from steinmix.data import as_source
from steinmix.objective import Objective, Phase
from steinmix.random import StackedStreams, Streams
from steinmix.training import Loader, run
from steinmix.training.loader import StackedLoader
from steinmix.training.loop import RunState
from steinmix.training.stack import Restart, Stack, run_stack

from .harness import interleave, machine, ratios, write

BATCH, RESTARTS, K, ROWS = 1024, 10, 4, 20_480
CPU = torch.device("cpu")


class Port(nn.Module):
    """DAGMM as it is commonly written."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = [width, 60, 30, 10, 1]
        self.encoder = nn.Sequential(*[m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.Tanh())][:-1])
        back = sizes[::-1]
        self.decoder = nn.Sequential(*[m for a, b in pairwise(back) for m in (nn.Linear(a, b), nn.Tanh())][:-1])
        self.estimation = nn.Sequential(nn.Linear(3, 10), nn.Tanh(), nn.Dropout(0.5), nn.Linear(10, K), nn.Softmax(1))

    def loss(self, x: Tensor) -> Tensor:
        """Eq. 7 of the paper."""
        code = self.encoder(x)
        rebuilt = self.decoder(code)
        distance = (x - rebuilt).norm(dim=1) / x.norm(dim=1).clamp(min=1e-3)
        z = torch.stack([code[:, 0], distance, F.cosine_similarity(x, rebuilt)], 1)
        gamma = self.estimation(z)
        phi, mu = gamma.mean(0), (gamma.T @ z) / gamma.sum(0)[:, None]
        densities, penalty = [], torch.zeros(())
        for k in range(K):
            d = z - mu[k]
            sigma = (gamma[:, k, None, None] * d[:, :, None] * d[:, None]).sum(0) / gamma[:, k].sum()
            sigma = sigma + 1e-6 * torch.eye(3)
            root = torch.linalg.cholesky(2 * torch.pi * sigma).diagonal().prod()
            densities.append(phi[k] * torch.exp(-0.5 * ((d @ torch.inverse(sigma)) * d).sum(1)) / root)
            penalty = penalty + (1 / sigma.diagonal()).sum()
        energy = -torch.log(torch.stack(densities, 1).sum(1) + 1e-12)
        return (x - rebuilt).square().sum(1).mean() + 0.1 * energy.mean() + 0.005 * penalty


def port(rows: Tensor) -> Callable[[], None]:
    """Return a function that runs an epoch of the port."""
    torch.manual_seed(0)
    module = Port(rows.shape[1])
    optimizer = torch.optim.Adam(module.parameters(), 1e-4)

    def go() -> None:
        for index in torch.randperm(len(rows)).split(BATCH):
            optimizer.zero_grad()
            module.loss(rows[index]).backward()
            optimizer.step()

    return go


def phases(module: nn.Module, streams: Streams) -> list[Phase]:
    """Return one epoch of the whole objective."""
    return [Phase("mixture", 1, [Objective(partial(module.terms, streams=streams), list(module.parameters()))])]


def modules(rows: np.ndarray, count: int) -> tuple[list[nn.Module], list[Streams]]:
    """Return modules as the estimator builds them."""
    estimator = DAGMM(K, training=Training(epochs=1), random_state=0).fit(rows[:2048])
    streams = [Streams(s) for s in range(count)]
    return [estimator._module(estimator.plan_, s) for s in streams], streams


def alone(rows: np.ndarray, distinct: bool) -> Callable[[], object]:
    """Return a function that runs an epoch of one restart."""
    (module,), (streams,) = modules(rows, 1)
    loader = Loader(as_source(rows), torch.Tensor.float, BATCH, CPU, streams, distinct=distinct)
    training = Training(batch_size=BATCH, progress=False)
    return lambda: run(module, phases(module, streams), loader, training, streams, 1e-4)


def stacked(rows: np.ndarray) -> Callable[[], None]:
    """Return a function that runs an epoch of ten restarts, distinct rows once."""
    parts, streams = modules(rows, RESTARTS + 1)
    stack, members = Stack(parts[-1], parts[:-1]), StackedStreams(streams[:-1])
    first = Loader(as_source(rows), torch.Tensor.float, BATCH, CPU, members.members[0], distinct=True)
    loader = StackedLoader([first.sibling(s) for s in members.members])
    training, plan = Training(batch_size=BATCH, progress=False), phases(stack.module, members)

    def go() -> None:
        states = [RunState(m, phases(m, s), s) for m, s in zip(stack.members, members.members)]
        run_stack(stack, plan, [Restart(state, []) for state in states], loader, training, members, 1e-4)

    return go


def main(rounds: int = 5) -> None:
    """Print and record milliseconds per restart-step and the ratios."""
    torch.set_num_threads(1)
    data = datasets.load_kddcup99()
    attacks = data.data[data.target == 0]
    picked = Streams(0).numpy("rows").permutation(len(attacks))[:ROWS]
    rows = np.asarray(attacks)[picked].astype(np.float32)
    rows = (rows - rows.min(0)) / (np.ptp(rows, axis=0) + 1e-8)
    variants = {"port": port(torch.from_numpy(rows)), "ours, all rows": alone(rows, False)}
    variants |= {"ours, distinct rows": alone(rows, True), "ours, distinct rows, ten stacked": stacked(rows)}
    seconds = interleave(variants, rounds, time.process_time)
    runs = {name: RESTARTS if "stacked" in name else 1 for name in variants}
    each = {name: [s / runs[name] / (ROWS / BATCH) for s in row] for name, row in seconds.items()}
    record = {"machine": machine(), "rounds": rounds, "batch": BATCH, "clock": "CPU time, one thread"}
    record["milliseconds"] = {name: round(1e3 * statistics.median(row), 3) for name, row in each.items()}
    record["faster"] = {name: round(f, 2) for name, f in ratios(each, "port").items()}
    print(f"DAGMM: {record['milliseconds']} ms per restart-step; {record['faster']} x")
    write("dagmm_step", record)
