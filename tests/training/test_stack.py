"""Stacked restarts beside the same restarts run one by one through the plain loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from steinmix import NSVGD, DivergedError, LogDet, Particles, Training
from steinmix.objective import Objective, Phase, Term
from steinmix.random import StackedStreams, Streams, restart_seed
from steinmix.training import Annealed, Callback, Cosine, EarlyStopping, run
from steinmix.training.checkpoint import Checkpoint
from steinmix.training.loader import StackedLoader
from steinmix.training.loop import RunState
from steinmix.training.stack import Restart, Stack, run_stack
from steinmix.training.stepper import clip_each_

SEEDS = [restart_seed(5, r) for r in range(3)]


class Cloud(nn.Module):
    """Particles, a scale, a buffer that counts steps, and noise: all with or without a restart axis in front."""

    def __init__(self, seed):
        super().__init__()
        self.theta = nn.Parameter(torch.randn(4, 3, generator=Streams(seed).torch("weights")))
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("steps", torch.zeros(1, dtype=torch.int64))

    def terms(self, batch, streams):
        x = (batch.x + 0.3 * streams.normal_like(batch.x)) * self.scale[..., None, None]
        distance = (x.unsqueeze(-2) - self.theta.unsqueeze(-3)).square().sum(-1)
        return {"nearest": Term(-torch.logsumexp(-distance, -1).mean(-1)), "size": Term(self.scale.square(), 0.1)}

    def count(self):
        self.steps += 1

    def begin(self, streams):
        with torch.no_grad():
            self.theta += 0.1 * streams.normal_like(self.theta, "start")

    def shake(self, epoch, streams):
        with torch.no_grad():
            self.theta += 0.01 * (epoch + 1) * streams.normal_like(self.theta, "shake")

    def phases(self, streams, diversifier=None, epochs=(8, 4)):
        terms = lambda batch: self.terms(batch, streams)  # noqa: E731
        particles = Particles([self.theta], self.theta.ndim - 2)
        both = Objective(terms, [self.theta], particles, diversifier)
        scale = Objective(terms, [{"params": [self.scale], "lr": 0.003}])
        begin, shake = (lambda: self.begin(streams)), (lambda epoch: self.shake(epoch, streams))
        return [
            Phase("both", epochs[0], [both, scale], before=begin, after_step=self.count),
            Phase("last", epochs[1], [both], before=begin, before_epoch=shake),
        ]


class Fall(Callback):
    """Ends the first phase of a restart as soon as its loss has fallen to a share: each at another epoch."""

    share = 0.7

    def on_epoch_end(self, state):
        losses = [r["loss"] for r in state.history if r["phase"] == "both"]
        return state.phase_name == "both" and losses[-1] < self.share * losses[0]


class Stop(Exception):
    pass


class StopAfter(Callback):
    """Ends the process, as it were, at the end of an epoch, before it is written."""

    def __init__(self, epochs):
        self.epochs = epochs

    def on_epoch_end(self, state):
        if state.epochs_done > self.epochs:
            raise Stop


@pytest.fixture
def rows(rng):
    return rng.normal(size=(50, 3)).astype(np.float32)


@pytest.fixture
def alone(loader_of, rows):
    """Run each restart by itself; returns modules and histories."""

    def go(training, callbacks=(), modules=None, **phases):
        modules, histories = modules or [Cloud(seed) for seed in SEEDS], []
        for module, seed in zip(modules, SEEDS):
            streams = Streams(seed)
            loader = loader_of(rows, training.batch_size, streams)
            own = module.phases(streams, **phases)
            histories.append(run(module, own, loader, training, streams, 0.05, callbacks))
        return modules, histories

    return go


@pytest.fixture
def stacked(loader_of, rows):
    """Run all restarts as one program; returns modules and restarts."""

    def go(training, callbacks=(), modules=None, folder=None, resume=False, kind=Cloud, **phases):
        modules, streams = modules or [Cloud(seed) for seed in SEEDS], [Streams(seed) for seed in SEEDS]
        first = loader_of(rows, training.batch_size, streams[0])
        stack, together = Stack(kind(0), modules), StackedStreams(streams)
        restarts = [Restart(RunState(m, m.phases(s, **phases), s), list(callbacks)) for m, s in zip(modules, streams)]
        loader = StackedLoader([first.sibling(s) for s in streams])
        store = folder and Checkpoint(folder, {}, resume)
        whole = stack.module.phases(together, **phases)
        run_stack(stack, whole, restarts, loader, training, together, 0.05, store)
        return modules, restarts

    return go


def settings(**others):
    return Training(**{"batch_size": 16, "optimizer": "adam", "progress": False} | others)


def assert_alike(one, other):
    (modules, histories), (windows, restarts) = one, other
    for module, history, window, restart in zip(modules, histories, windows, restarts, strict=True):
        torch.testing.assert_close(window.state_dict(), module.state_dict(), rtol=1e-4, atol=1e-5)
        assert len(restart.state.history) == len(history)
        for record, expected in zip(restart.state.history, history):
            assert record.pop("phase") == expected.pop("phase")
            assert record == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "adagrad", "rmsprop"])
def test_a_stack_is_its_restarts_run_apart(alone, stacked, optimizer):
    training = settings(optimizer=optimizer, schedule=Cosine())
    assert_alike(alone(training), stacked(training))


@pytest.mark.parametrize("diversifier", [NSVGD(2.0), LogDet(0.5), Annealed(NSVGD(2.0))])
def test_diversifiers_act_within_each_restart(alone, stacked, diversifier):
    plain, one = alone(settings()), alone(settings(), diversifier=diversifier)
    assert not torch.allclose(plain[0][0].theta, one[0][0].theta, atol=1e-3)
    assert_alike(one, stacked(settings(), diversifier=diversifier))


@pytest.mark.parametrize("others", [{"clip_norm": 0.2}, {"accumulate": 2}, {"precision": "bf16"}])
def test_settings_act_within_each_restart(alone, stacked, others):
    plain, one = alone(settings()), alone(settings(**others))
    if "precision" not in others:  # nothing here is a matrix product
        assert not torch.allclose(plain[0][0].theta, one[0][0].theta, atol=1e-4)
    assert_alike(one, stacked(settings(**others)))


def test_a_restart_that_stops_early_keeps_its_state_and_draws_nothing(alone, stacked):
    one = alone(settings(), [Fall()])
    lengths = [sum(r["phase"] == "both" for r in history) for history in one[1]]
    assert len(set(lengths)) == 3, "each restart is to stop at another epoch"
    assert_alike(one, stacked(settings(), [Fall()]))


def test_all_may_stop_at_once(alone, stacked):
    lazy = EarlyStopping(patience=1, tol=10.0)
    one = alone(settings(), [lazy])
    assert [len(history) for history in one[1]] == [4, 4, 4]
    assert_alike(one, stacked(settings(), [lazy]))


def test_windows_are_of_one_storage_while_a_phase_runs():
    members = [Cloud(seed) for seed in SEEDS]
    before = [m.theta.detach().clone() for m in members]
    stack = Stack(Cloud(0), members)
    assert stack.module.theta.shape == (3, 4, 3)
    assert torch.equal(stack.module.theta.detach(), torch.stack(before))
    with torch.no_grad():
        members[1].theta.fill_(7.0)
        stack.module.theta[2].fill_(8.0)
    assert stack.module.theta[1].eq(7).all()
    assert members[2].theta.eq(8).all()
    stack.keep([2], [])
    with torch.no_grad():
        stack.module.theta.zero_()
    assert members[1].theta.eq(7).all()
    assert members[2].theta.eq(0).all()


def test_a_restart_that_diverges_leaves_the_others_alone(alone, stacked):
    modules = [Cloud(seed) for seed in SEEDS]
    with torch.no_grad():
        modules[1].theta.fill_(1e30)
    windows, restarts = stacked(settings(clip_norm=1.0), modules=modules)
    assert [r.error is None for r in restarts] == [True, False, True]
    assert (restarts[1].error.phase, restarts[1].error.step, restarts[1].error.term) == ("both", 0, "nearest")
    assert restarts[1].state.history == []
    assert windows[1].theta.detach().flatten().tolist() == pytest.approx([1e30] * 12)
    one = alone(settings(clip_norm=1.0))
    assert_alike([part[::2] for part in one], [windows[::2], restarts[::2]])


@pytest.mark.parametrize(("at", "term"), [(6, "nearest"), (7, "gradient of scale")])
def test_a_restart_may_diverge_later(alone, stacked, at, term):
    """The slope is infinite where the loss is finite; after the last step of an epoch only parameters tell."""

    class Spoil(Cloud):
        def __init__(self, seed, at=None):
            super().__init__(seed)
            self.register_buffer("at", torch.tensor([-1 if at is None else at]))

        def terms(self, batch, streams):
            due = (self.at == self.steps).squeeze(-1).float()
            far = torch.where(due > 0, self.scale * 0, torch.ones_like(self.scale)).sqrt()  # slope of the root at 0
            return super().terms(batch, streams) | {"root": Term(far)}

    def build():
        return [Spoil(seed, at) for seed, at in zip(SEEDS, (None, at, None))]

    with pytest.raises(DivergedError) as caught:
        alone(settings(), modules=build())
    windows, restarts = stacked(settings(), modules=build(), kind=Spoil)
    assert [r.error is None for r in restarts] == [True, False, True]
    assert str(restarts[1].error) == str(caught.value)
    assert restarts[1].error.term == term
    assert len(restarts[1].state.history) == 1
    assert all(bool(torch.isfinite(w.theta).all()) for w in windows)


def test_an_error_where_all_diverge(stacked):
    modules = [Cloud(seed) for seed in SEEDS]
    with torch.no_grad():
        for module in modules:
            module.theta.fill_(1e30)
    with pytest.raises(DivergedError, match="nearest"):
        stacked(settings(), modules=modules)


@pytest.mark.parametrize("epochs", [0, 1, 2, 4, 7, 9])
def test_resume_ends_with_the_same_bits(stacked, tmp_path, epochs):
    whole = stacked(settings(), [Fall()], diversifier=NSVGD(0.5))
    with pytest.raises(Stop):
        stacked(settings(), [Fall(), StopAfter(epochs)], folder=tmp_path, diversifier=NSVGD(0.5))
    resumed = stacked(settings(), [Fall()], folder=tmp_path, resume=True, diversifier=NSVGD(0.5))
    for one, other in zip(whole[0], resumed[0]):
        torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)
    assert [r.state.history for r in whole[1]] == [r.state.history for r in resumed[1]]


def test_a_resumed_stack_knows_who_diverged(stacked, tmp_path):
    def build():
        modules = [Cloud(seed) for seed in SEEDS]
        with torch.no_grad():
            modules[1].theta.fill_(1e30)
        return modules

    whole = stacked(settings(), modules=build())
    with pytest.raises(Stop):
        stacked(settings(), [StopAfter(3)], modules=build(), folder=tmp_path)
    resumed = stacked(settings(), modules=build(), folder=tmp_path, resume=True)
    assert str(resumed[1][1].error) == str(whole[1][1].error)
    assert [r.state.history for r in whole[1]] == [r.state.history for r in resumed[1]]


def test_gradients_are_clipped_restart_by_restart(normal):
    a, b = (nn.Parameter(normal(3, *shape)) for shape in ((4, 2), ()))
    a.grad, b.grad = normal(3, 4, 2) * torch.tensor([0.01, 1.0, 100.0])[:, None, None], normal(3)
    expected = [[a.grad[r].clone(), b.grad[r].clone()] for r in range(3)]
    clip_each_([a, nn.Parameter(torch.ones(3)), b], 0.5)
    for r, gradients in enumerate(expected):
        params = [nn.Parameter(torch.zeros_like(g)) for g in gradients]
        for parameter, gradient in zip(params, gradients):
            parameter.grad = gradient
        nn.utils.clip_grad_norm_(params, 0.5)
        torch.testing.assert_close([a.grad[r], b.grad[r]], [p.grad for p in params])


def test_where_nothing_has_a_gradient_nothing_is_clipped():
    clip_each_([nn.Parameter(torch.ones(3))], 0.5)
