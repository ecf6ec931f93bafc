"""What all tests share: the path to the oracles, generators, and the real loop on a small module."""

import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from steinmix.data.sources import as_source
from steinmix.objective import Objective, Phase, Term
from steinmix.random import Streams
from steinmix.training import Loader, Training, run

sys.path.insert(0, str(Path(__file__).parent))

CPU = torch.device("cpu")


@pytest.fixture
def streams():
    return Streams(0)


@pytest.fixture
def generator(streams):
    return streams.torch("tests")


@pytest.fixture
def rng(streams):
    return streams.numpy("tests")


@pytest.fixture
def normal(generator):
    """Standard normal tensors, in float64 unless asked otherwise."""

    def draw(*shape, dtype=torch.float64):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    return draw


@pytest.fixture
def global_generators():
    """A function that tells the states of the generators of Python, NumPy and torch."""

    def states():
        name, keys, *rest = np.random.get_state()  # noqa: NPY002
        return random.getstate(), (name, keys.tolist(), *rest), torch.get_rng_state().tolist()

    return states


@pytest.fixture
def loader_of():
    """Build a loader over an array or a source."""

    def build(rows, batch_size=8, streams=None, prepare=torch.Tensor.float, **options):
        return Loader(as_source(rows), prepare, batch_size, CPU, streams or Streams(0), **options)

    return build


class Free(nn.Module):
    """Nothing but particles (*r, m, p)."""

    def __init__(self, theta):
        super().__init__()
        self.theta = nn.Parameter(theta.clone())


@pytest.fixture
def optimise(loader_of):
    """Maximise F over free particles through the real loop, one step per epoch; returns all positions (t, *r, m, p)."""
    from steinmix.particles import Particles
    from steinmix.training import Callback

    class Positions(Callback):
        def __init__(self, module):
            self.found = [module.theta.detach().clone()]

        def on_epoch_end(self, state):
            self.found.append(state.module.theta.detach().clone())

    def go(theta, diversifier, ascend=None, steps=10, optimizer="sgd", lr=0.1, **settings):
        module = Free(theta)

        def terms(batch):
            return {"objective": Term(0 * module.theta.sum() if ascend is None else -ascend(module.theta))}

        objective = Objective(terms, [module.theta], Particles([module.theta], theta.ndim - 2), diversifier)
        watch, training = Positions(module), Training(optimizer=optimizer, progress=False, **settings)
        run(module, [Phase("p", steps, [objective])], loader_of(np.zeros((1, 1))), training, Streams(0), lr, [watch])
        return torch.stack(watch.found)

    return go
