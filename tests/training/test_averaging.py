"""Averages of weights, against a loop by hand."""

import pytest
import torch
from torch import nn

from steinmix import Training
from steinmix.objective import Objective, Phase, Term
from steinmix.random import Streams
from steinmix.training import Callback, run
from steinmix.training.checkpoint import Checkpoint


class Pulled(nn.Module):
    """A point that is drawn to noisy rows, with a buffer of whole numbers beside it."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(3))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.seen = []

    def note(self):
        self.count += 1
        self.seen.append(self.w.detach().double().clone())

    def phases(self):
        pulled = Objective(lambda batch: {"distance": Term((batch.x - self.w).square().mean())}, [self.w])
        return [Phase("first", 2, [pulled], after_step=self.note), Phase("last", 3, [pulled], after_step=self.note)]


class Stop(Callback):
    def __init__(self, epochs):
        self.epochs = epochs

    def on_epoch_end(self, state):
        if state.epochs_done == self.epochs:
            raise KeyboardInterrupt


@pytest.fixture
def train(loader_of, rows):
    def train(callbacks=(), checkpoint=None, **settings):
        module, streams = Pulled(), Streams(5)
        loader = loader_of(rows, 8, streams)
        settings = Training(batch_size=8, progress=False, **settings)
        return module, run(module, module.phases(), loader, settings, streams, 0.1, callbacks, checkpoint)

    return train


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_the_result_is_the_average_over_the_last_phase(train, decay):
    (plain, before), (module, history) = train(), train(ema=decay)
    assert history == before  # the steps themselves do not know of it
    assert all(torch.equal(a, b) for a, b in zip(plain.seen, module.seen))
    first = 2 * (len(plain.seen) // 5)
    expected = plain.seen[first - 1]
    for t, w in enumerate(plain.seen[first:], start=1):
        d = min(decay, t / (t + 9))
        expected = d * expected + (1 - d) * w
    torch.testing.assert_close(module.w.detach().double(), expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(module.w, plain.w, rtol=1e-3)
    assert int(module.count) == len(plain.seen)


@pytest.mark.parametrize("epochs", [1, 2, 3, 4])
def test_a_resumed_run_has_the_same_average(train, tmp_path, epochs):
    whole, history = train(ema=0.9)
    with pytest.raises(KeyboardInterrupt):
        train([Stop(epochs + 1)], Checkpoint(tmp_path, {}, True), ema=0.9)
    resumed, again = train((), Checkpoint(tmp_path, {}, True), ema=0.9)
    assert torch.equal(resumed.w, whole.w)
    assert again == history
    finished, _ = train((), Checkpoint(tmp_path, {}, True), ema=0.9)
    assert torch.equal(finished.w, whole.w)


@pytest.mark.parametrize("decay", [None, 0.5])
def test_what_follows_the_last_phase_finds_the_result_in_place(loader_of, rows, decay):
    module, streams, seen = Pulled(), Streams(5), []
    phases = module.phases()
    for phase in phases:
        phase.after = lambda: seen.append(module.w.detach().clone())
    settings = Training(batch_size=8, progress=False, ema=decay)
    run(module, phases, loader_of(rows, 8, streams), settings, streams, 0.1)
    assert len(seen) == len(phases)
    assert torch.equal(seen[-1], module.w)


def test_the_average_is_of_what_a_step_leaves_after_its_projection(loader_of, rows):
    module = Pulled()

    def project():
        with torch.no_grad():
            module.w.fill_(2.0)

    phase = Phase("p", 1, [Objective(lambda batch: {"sum": Term(module.w.sum())}, [module.w])], after_step=project)
    settings, streams = Training(batch_size=8, progress=False, ema=0.999), Streams(5)
    run(module, [phase], loader_of(rows, 8, streams), settings, streams, 0.1)
    kept = (1 / 10) * (2 / 11) * (3 / 12)  # of the start, which is 0
    torch.testing.assert_close(module.w.detach(), torch.full((3,), 2 * (1 - kept)))
