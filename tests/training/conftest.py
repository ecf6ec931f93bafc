import numpy as np
import pytest
import torch
from torch import nn

from steinmix import Training
from steinmix.objective import Objective, Phase, Term
from steinmix.random import Streams
from steinmix.training import run


class Line(nn.Module):
    """y = w x + b in two parameters of their own, and a parameter that no objective names."""

    def __init__(self, f=3):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, f))
        self.bias = nn.Parameter(torch.tensor([0.5]))
        self.idle = nn.Parameter(torch.ones(2))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def square(self, batch):
        """The mean square of the output plus something of every parameter, so that all could get gradients."""
        out = batch.x @ self.weight + self.bias
        return {"square": Term((out.square()).mean()), "idle": Term(self.idle.sum(), 0.1)}

    def objective(self, **others):
        return Objective(self.square, [self.weight, self.bias], **others)


@pytest.fixture
def line():
    return Line()


@pytest.fixture
def rows(rng):
    return rng.normal(size=(24, 3)).astype(np.float32)


@pytest.fixture
def go(loader_of, rows):
    """Run phases of a module on `rows` (or others) and return the history."""

    def go(module, phases, x=None, callbacks=(), checkpoint=None, lr=0.1, streams=None, **training):
        streams = streams or Streams(0)
        training = Training(**{"batch_size": 8, "optimizer": "sgd", "progress": False} | training)
        resident = {"resident_bytes": training.resident_bytes}
        loader = loader_of(rows if x is None else x, training.batch_size, streams, **resident)
        phases = phases if isinstance(phases, list) else [phases]
        return run(module, phases, loader, training, streams, lr, callbacks, checkpoint)

    return go


@pytest.fixture
def one_phase():
    def build(module, epochs=1, **others):
        return Phase("p", epochs, [module.objective()], **others)

    return build


class Streamed:
    """A source that can be read in blocks only, as a file is."""

    random_access = False
    feature_names = None

    def __init__(self, array):
        self.array, self.dtype = array, array.dtype
        self.n_rows, self.n_features = array.shape
        self.largest = 0

    def take(self, index):
        raise AssertionError("single rows were asked of a source that is read in blocks")

    def blocks(self, rows, rng=None):
        self.largest = max(self.largest, rows)
        starts = np.arange(0, self.n_rows, rows)
        for start in starts if rng is None else rng.permutation(starts):
            stop = min(start + rows, self.n_rows)
            yield np.arange(start, stop), self.array[start:stop].copy()

    def describe(self):
        return {"kind": "streamed"}


@pytest.fixture
def streamed():
    return Streamed
