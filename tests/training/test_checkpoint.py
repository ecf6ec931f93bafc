import json
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from steinmix import NSVGD, ConfigError, ModelFileError, Particles, Training
from steinmix.objective import Objective, Phase, Term
from steinmix.random import Streams
from steinmix.training import Callback, Cosine, EarlyStopping, run
from steinmix.training.checkpoint import KEPT, Checkpoint

EPOCHS = (2, 3, 2)
TOTAL = sum(EPOCHS)


class Noisy(nn.Module):
    """A module, two optimisers, noise from a stream, particles, a start in the middle and a buffer that counts."""

    def __init__(self, streams):
        super().__init__()
        self.streams = streams
        self.theta = nn.Parameter(torch.randn(4, 3, generator=streams.torch("weights")))
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def terms(self, batch):
        x = batch.x + 0.1 * self.streams.normal_like(batch.x)
        distance = (self.scale * x[:, None] - self.theta).square().sum(-1)
        return {"nearest": Term(-torch.logsumexp(-distance, -1).mean())}

    def count(self):
        self.steps += 1

    def restart(self):
        with torch.no_grad():
            self.theta += 0.1 * self.streams.normal_like(self.theta, "start")

    def phases(self):
        theta = Objective(self.terms, [self.theta], Particles([self.theta]), NSVGD(0.5))
        scale = Objective(self.terms, [{"params": [self.scale], "lr": 0.003}])
        return [
            Phase("first", EPOCHS[0], [theta], after_step=self.count),
            Phase("both", EPOCHS[1], [theta, scale], before=self.restart),
            Phase("last", EPOCHS[2], [scale], before=self.restart, before_epoch=lambda e: self.count()),
        ]


class Stop(Exception):
    pass


class StopAfter(Callback):
    """Ends the process, as it were, at the end of an epoch, before it is written."""

    def __init__(self, epochs):
        self.epochs = epochs

    def on_epoch_end(self, state):
        if state.epochs_done == self.epochs:
            raise Stop


@pytest.fixture
def train(loader_of, rows):
    def train(store=None, callbacks=(), rows=rows, **settings):
        settings = {"optimizer": "adam", "schedule": Cosine(0.1), "progress": False, "batch_size": 8} | settings
        streams = Streams(5)
        module = Noisy(streams)
        loader = loader_of(rows, settings["batch_size"], streams)
        history = run(module, module.phases(), loader, Training(**settings), streams, 0.05, callbacks, store)
        return module.state_dict(), history

    return train


def store(folder, resume=True, **fingerprint):
    return Checkpoint(folder, {"seed": 5, "alphas": (1, 2)} | fingerprint, resume)


def same(a, b):
    assert a[0].keys() == b[0].keys()
    assert all(torch.equal(a[0][k], b[0][k]) for k in a[0])
    assert a[1] == b[1]


@pytest.mark.parametrize("optimizer", ["adam", "adagrad", "rmsprop", "sgd"])
def test_writing_checkpoints_changes_nothing(train, tmp_path, optimizer):
    same(train(store(tmp_path), optimizer=optimizer), train(optimizer=optimizer))


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
@pytest.mark.parametrize("epochs", range(1, TOTAL + 1))
def test_a_resumed_run_ends_with_the_bits_of_an_uninterrupted_one(train, tmp_path, epochs, optimizer):
    """Stopped in each epoch of each phase, so that the newest checkpoint is that of the epoch before."""
    with pytest.raises(Stop):
        train(store(tmp_path), [StopAfter(epochs)], optimizer=optimizer)
    same(train(store(tmp_path), optimizer=optimizer), train(optimizer=optimizer))


@pytest.mark.parametrize("epochs", range(1, TOTAL))
def test_a_run_stopped_right_after_a_checkpoint_too(train, tmp_path, epochs, monkeypatch):
    write = Checkpoint.write

    def write_and_stop(self, state):
        write(self, state)
        if state.epochs_done == epochs:
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", write_and_stop)
        with pytest.raises(Stop):
            train(store(tmp_path))
    assert sorted(p.name for p in tmp_path.iterdir())[-1] == f"{epochs:06d}"
    same(train(store(tmp_path)), train())


def test_a_run_stopped_again_and_again_gets_there(train, tmp_path):
    for epochs in range(2, TOTAL + 1):
        with pytest.raises(Stop):
            train(store(tmp_path), [StopAfter(epochs)])
    same(train(store(tmp_path)), train())


def test_a_streamed_source_resumes_to_the_same_bits(train, tmp_path, rng, streamed):
    x = rng.normal(size=(2100, 3)).astype(np.float32)
    with pytest.raises(Stop):
        train(store(tmp_path), [StopAfter(4)], streamed(x), batch_size=32)
    same(train(store(tmp_path), rows=streamed(x), batch_size=32), train(rows=streamed(x), batch_size=32))


def test_a_finished_run_is_not_run_again(train, tmp_path):
    expected = train(store(tmp_path))

    class Never(Callback):
        def on_epoch_end(self, state):
            raise Stop

    same(train(store(tmp_path), [Never()]), expected)


def test_a_phase_ended_early_stays_ended(train, tmp_path):
    early = EarlyStopping(patience=1, tol=10.0)
    expected = train(callbacks=[early])
    assert len(expected[1]) < TOTAL
    for epochs in range(1, len(expected[1]) + 1):
        folder = tmp_path / str(epochs)
        with pytest.raises(Stop):
            train(store(folder), [early, StopAfter(epochs)])
        same(train(store(folder), [early]), expected)


def test_the_newest_generation_is_that_of_the_largest_number(tmp_path):
    for name in ("999998", "999999", "1000000"):
        (tmp_path / name).mkdir()
    assert [p.name for p in store(tmp_path)._generations()] == ["999998", "999999", "1000000"]


def test_two_generations_are_kept(train, tmp_path):
    train(store(tmp_path))
    assert KEPT == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{TOTAL - 1:06d}", f"{TOTAL:06d}"]
    assert sorted(p.name for p in (tmp_path / f"{TOTAL:06d}").iterdir()) == ["state.json", "state.safetensors"]


@pytest.mark.parametrize("name", ["state.json", "state.safetensors"])
@pytest.mark.parametrize("damage", ["truncate", "alter", "remove"])
def test_a_damaged_newest_generation_falls_back_to_the_one_before(train, tmp_path, name, damage):
    with pytest.raises(Stop):
        train(store(tmp_path), [StopAfter(5)])
    path = tmp_path / "000004" / name
    data = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(data[:-7] if damage == "truncate" else data[:-7] + b"!" + data[-6:])
    same(train(store(tmp_path)), train())


def test_if_every_generation_is_damaged_it_is_said(train, tmp_path):
    with pytest.raises(Stop):
        train(store(tmp_path), [StopAfter(5)])
    for path in tmp_path.glob("*/state.json"):
        path.write_text("{}")
    with pytest.raises(ModelFileError, match=r"no sound checkpoint.*000004.*000003"):
        train(store(tmp_path))


def test_a_checkpoint_half_written_is_not_met(train, tmp_path):
    with pytest.raises(Stop):
        train(store(tmp_path), [StopAfter(4)])
    shutil.copytree(tmp_path / "000003", tmp_path / ".000004.abc")
    (tmp_path / ".000004.abc" / "state.json").unlink()
    same(train(store(tmp_path)), train())


def test_another_configuration_is_refused_and_named(train, tmp_path):
    train(store(tmp_path))
    with pytest.raises(ConfigError, match=r"seed was 5 and is now 6"):
        train(store(tmp_path, seed=6))
    with pytest.raises(ConfigError, match=r"alphas was \[1, 2\] and is now \[1, 3\]"):
        train(store(tmp_path, alphas=(1, 3)))
    with pytest.raises(ConfigError, match="rows was None and is now 7"):
        train(store(tmp_path, rows=7))


def test_checkpoints_are_not_taken_up_or_overwritten_unless_asked(train, tmp_path):
    train(store(tmp_path))
    before = {p: p.read_bytes() for p in tmp_path.rglob("state.*")}
    with pytest.raises(ConfigError, match=r"pass resume=True \(--resume\)"):
        train(store(tmp_path, resume=False))
    assert {p: p.read_bytes() for p in tmp_path.rglob("state.*")} == before


def test_damaged_checkpoints_are_not_overwritten_unless_asked(train, tmp_path):
    train(store(tmp_path))
    for path in tmp_path.glob("*/state.json"):
        path.write_text("{}")
    with pytest.raises((ConfigError, ModelFileError)):
        train(store(tmp_path, resume=False))


def test_resuming_where_nothing_is_starts_anew(train, tmp_path):
    same(train(store(tmp_path / "new", resume=True)), train())


def test_a_checkpoint_is_json_and_tensors_only(train, tmp_path):
    train(store(tmp_path))
    content = json.loads((tmp_path / f"{TOTAL:06d}" / "state.json").read_text())["content"]
    assert content["position"] == {"phase": 2, "epoch": 2, "step": 3 * TOTAL}
    assert len(content["history"]) == TOTAL
