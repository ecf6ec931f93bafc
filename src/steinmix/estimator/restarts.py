"""Several restarts of one fit.

Each restart is what ``fit`` gives with its own seed. Small models run as one program (`training.stack`), equal
to that up to rounding; others run one after another or, through joblib, in processes of one thread each, with the same
bits.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..errors import DivergedError, DivergedWarning
from ..random import StackedStreams, Streams, restart_seed
from ..training import Progress
from ..training.checkpoint import Checkpoint, Checkpoints
from ..training.config import OPTIMIZERS
from ..training.distributed import world_size
from ..training.loader import StackedLoader
from ..training.loop import RunState, run_state
from ..training.stack import Restart, Stack, run_stack
from .job import FitContext, Job, Launch
from .selection import Outcome

if TYPE_CHECKING:
    from .base import DeepEstimator

__all__ = ["fit_restarts"]


def fit_restarts(estimator: DeepEstimator, job: Job, seed: int, store: Checkpoints) -> list[Outcome]:
    """Run the estimator's `n_init` restarts.

    Parameters
    ----------
    estimator : DeepEstimator
    job : Job
    seed : int
        Root seed; `steinmix.random.restart_seed` derives the others.
    store : Checkpoints
        Of the fit.

    Raises
    ------
    DivergedError
        If all restarts diverged: the first one's. Of those that did among others there is a warning.
    ConfigError
        If checkpoints of other restarts lie there.
    """
    seeds = [restart_seed(seed, r) for r in range(estimator.n_init)]
    stacked = _stackable(estimator, job, estimator._module(job.plan, Streams(seed)))
    outcomes = (_in_stacks if stacked else _apart)(estimator, job, seeds, store)
    lost = {r: outcome.error for r, outcome in enumerate(outcomes) if outcome.error is not None}
    if len(lost) == len(outcomes):
        raise lost[0]
    for r, error in lost.items():
        warnings.warn(f"restart {r} of {len(outcomes)} was dropped: {error}", DivergedWarning, stacklevel=4)
    return outcomes


def _stackable(estimator: DeepEstimator, job: Job, module: nn.Module) -> bool:
    """Say whether to stack: a step is to cost more in calls than in arithmetic, and to keep restarts apart.

    Optimisers by name act element by element; of others nothing is known. Processes share out the rows of one restart.
    Averages of weights are those of one module.
    """
    if world_size() > 1 or job.training.ema is not None:
        return False
    size = sum(p.numel() for p in module.parameters()) * job.training.batch_size
    return size < estimator._stack_limit and job.training.optimizer in OPTIMIZERS and job.source.random_access


def _in_stacks(estimator: DeepEstimator, job: Job, seeds: Sequence[int], store: Checkpoints) -> list[Outcome]:
    """Run one stack or, if the user asks for processes, one in each: they take seconds to start."""
    n_jobs = 1 if estimator.n_jobs is None else _processes(estimator.n_jobs, len(seeds), job.device)
    bounds = [round(i * len(seeds) / n_jobs) for i in range(n_jobs + 1)]
    names = ["stack" if n_jobs == 1 else f"stack{i}-{j - 1}" for i, j in pairwise(bounds)]
    parts = [seeds[i:j] for i, j in pairwise(bounds)]
    stores = store.of({name: part[0] for name, part in zip(names, parts)})
    calls = [(estimator, job, part, own) for part, own in zip(parts, stores)]
    return [outcome for part in _spread(_run_stacked, calls, n_jobs) for outcome in part]


def _apart(estimator: DeepEstimator, job: Job, seeds: Sequence[int], store: Checkpoints) -> list[Outcome]:
    stores = store.of({f"restart{r}": seed for r, seed in enumerate(seeds)})
    calls = [(estimator, job, seed, own) for seed, own in zip(seeds, stores)]
    return _spread(_run_alone, calls, _processes(estimator.n_jobs, len(seeds), job.device))


def _spread(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], n_jobs: int) -> list[Any]:
    """Call the function here, or in processes of one thread."""
    from joblib import Parallel, delayed

    if n_jobs == 1:
        return [function(*arguments) for arguments in calls]
    return list(Parallel(n_jobs=n_jobs)(delayed(_on_one_thread)(function, *arguments) for arguments in calls))


def _run_stacked(estimator: DeepEstimator, job: Job, seeds: Sequence[int], store: Checkpoint | None) -> list[Outcome]:
    first = job.loader(Streams(seeds[0], job.device))
    launches = [estimator._launch(job, seed, first) for seed in seeds]
    stack = Stack(estimator._module(job.plan, Streams(0)).to(job.device), [it.module for it in launches])
    streams = StackedStreams([it.context.streams for it in launches])
    loader = StackedLoader([it.context.loader for it in launches])
    phases = estimator._phases(stack.module, FitContext(loader, streams, job.training, job.plan))
    bar = [Progress(job.training.progress)]
    restarts = [
        Restart(RunState(it.module, it.phases, it.context.streams), [*it.callbacks, *(bar if r == 0 else [])])
        for r, it in enumerate(launches)
    ]
    with suppress(DivergedError):  # all of them did, as their records tell
        run_stack(stack, phases, restarts, loader, job.training, streams, estimator._lr, store)
    return [
        _outcome(estimator, launch, seed, restart.state.history, restart.error)
        for launch, seed, restart in zip(launches, seeds, restarts)
    ]


def _processes(n_jobs: int | None, n_runs: int, device: torch.device) -> int:
    """Return how many processes to use: the user's word, else that of joblib's context, else one on each core.

    On two cores two processes of one thread each beat one of two threads. A GPU is left to one process.
    """
    from joblib import cpu_count, effective_n_jobs
    from joblib.parallel import get_active_backend

    if world_size() > 1:
        return 1
    if n_jobs is not None:
        return min(effective_n_jobs(n_jobs), n_runs)
    backend, chosen = get_active_backend()
    if chosen is not None:
        return min(effective_n_jobs(chosen), n_runs)
    inside = getattr(backend, "nesting_level", 0) or device.type != "cpu"
    return 1 if inside else min(cpu_count(), n_runs)


def _on_one_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return function(*arguments)
    finally:
        torch.set_num_threads(before)


def _run_alone(estimator: DeepEstimator, job: Job, seed: int, store: Checkpoint | None) -> Outcome:
    launch, error = estimator._launch(job, seed), None
    state = RunState(launch.module, launch.phases, launch.context.streams)
    watchers = [*launch.callbacks, Progress(job.training.progress)]
    try:
        run_state(state, launch.context.loader, job.training, estimator._lr, watchers, store)
    except DivergedError as caught:
        error = caught
    return _outcome(estimator, launch, seed, state.history, error)


def _outcome(
    estimator: DeepEstimator, launch: Launch, seed: int, history: list[dict[str, Any]], error: DivergedError | None
) -> Outcome:
    module = launch.module.eval()
    labels = None if error else estimator._labels_of(module, launch.context.loader)
    loss = None if error else estimator._loss_of(module, launch.context.loader)
    state = {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
    return Outcome(seed, state, launch.context.streams.state_dict(), history, labels, error, loss)
