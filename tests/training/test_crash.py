"""What is left of a run that is killed, terminated, or that meets a full disk."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

import steinmix as sm
from steinmix import ConfigError, ModelFileError, _files
from steinmix._files import read_folder
from steinmix.errors import SteinmixWarning, Terminated
from steinmix.training import Callback, EarlyStopping, termination
from steinmix.training.checkpoint import Checkpoint

KILLED = Path(__file__).parent.parent / "processes" / "killed.py"


def records(*argv):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", str(KILLED), *map(str, argv)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_run_killed_at_any_moment_resumes_to_the_same_bits(tmp_path):
    found = records("fits", tmp_path, 20)
    assert len(found) == 20
    assert all(record["same"] and record["unreadable"] == [] for record in found), found
    assert sum(record["code"] == -signal.SIGKILL for record in found) >= 10
    assert len({record["newest"] for record in found}) >= 5


def test_a_model_being_replaced_is_the_old_or_the_new_one_at_every_moment(tmp_path):
    found = records("saves", tmp_path)
    assert [record["code"] for record in found] == [-signal.SIGKILL] * (len(found) - 1) + [0]
    assert all(record["whole"] and record["after"] == "next" and record["left"] == [] for record in found), found
    order = [record["found"] for record in found]
    assert order == sorted(order, key=["old", "new"].index)
    assert {"old", "new"} == set(order)
    assert any(record["bare"] for record in found)  # killed between the two renames


def test_a_model_found_aside_is_said_to_be(tmp_path):
    _files.write_folder(tmp_path / "model", "model", {"a": 1}, {})
    (tmp_path / "model").rename(tmp_path / ".model.x7_d.old")
    with pytest.warns(SteinmixWarning, match="was being replaced"):
        assert read_folder(tmp_path / "model", "model")[0] == {"a": 1}


def test_a_folder_aside_belongs_to_its_own_name_only(tmp_path):
    _files.write_folder(tmp_path / "model.v2", "model", {"a": 1}, {})
    (tmp_path / "model.v2").rename(tmp_path / ".model.v2.x7_d.old")
    with pytest.raises(ModelFileError):
        read_folder(tmp_path / "model", "model")
    _files.write_folder(tmp_path / "model", "model", {}, {})
    assert (tmp_path / ".model.v2.x7_d.old").is_dir()


@pytest.fixture
def fit(tmp_path, rng):
    x = rng.normal(size=(30, 3))

    def fit(callbacks=(), x=x, resume=True, folder=tmp_path / "checkpoints", **training):
        settings = sm.Training(**{"epochs": 8, "progress": False, "callbacks": callbacks, "device": "cpu"} | training)
        model = sm.GaussianMixture(2, start="random", collapse="ignore", training=settings, random_state=0)
        return model.fit(x, checkpoint=folder, resume=resume)

    return fit


def same(a, b):
    one, other = a.module_.state_dict(), b.module_.state_dict()
    return a.history_ == b.history_ and all(torch.equal(one[k], other[k]) for k in one)


class At(Callback):
    """Does something at the end of an epoch."""

    def __init__(self, epoch, action):
        self.epoch, self.action = epoch, action

    def on_epoch_end(self, state):
        if state.epochs_done == self.epoch:
            self.action()


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_writes_the_epoch_and_ends_with_code_143(fit, tmp_path):
    whole = fit(folder=None, resume=False)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated, match=r"go on from the checkpoint in .*checkpoints") as stopped:
        fit([At(3, terminate)])
    assert stopped.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["000002", "000003"]
    assert same(fit(), whole)


class AtTheEnd(Callback):
    def on_run_end(self, state):
        terminate()


def test_sigterm_after_the_last_checkpoint_is_not_lost(fit, tmp_path):
    with pytest.raises(Terminated):
        fit([AtTheEnd()])
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["000007", "000008"]
    assert same(fit(), fit(folder=None, resume=False))


def test_sigterm_in_an_epoch_that_diverges_ends_the_process_and_not_one_restart(tmp_path):
    def diverge():
        terminate()
        raise sm.DivergedError("mixture", 3, "energy")

    with pytest.raises(Terminated), Checkpoint(tmp_path, {}, resume=False).guard():
        diverge()


def test_without_checkpoints_sigterm_is_left_alone(fit):
    seen = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append(1))
    try:
        fit([At(3, terminate)], folder=None, resume=False)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [1]


def test_an_ignored_sigterm_stays_ignored(fit):
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert len(fit([At(3, terminate)]).history_) == 8
    finally:
        signal.signal(signal.SIGTERM, before)


def test_in_another_thread_a_fit_works_as_ever(fit):
    done = []
    thread = threading.Thread(target=lambda: done.append(fit()))
    thread.start()
    thread.join()
    assert len(done[0].history_) == 8


@pytest.mark.parametrize("second", [False, True])
def test_a_long_epoch_is_given_up(fit, monkeypatch, second):
    """After the grace, or at a second SIGTERM; the checkpoint of the epoch before stands."""
    monkeypatch.setattr(termination, "GRACE", 60 if second else 0.05)

    def long_epoch():
        terminate()
        if second:
            terminate()
        time.sleep(30)

    start = time.perf_counter()
    with pytest.raises(Terminated):
        fit([At(3, long_epoch)])
    assert time.perf_counter() - start < 20
    assert threading.active_count() < 20
    assert same(fit(), fit(folder=None, resume=False))


def full_disk(monkeypatch, epoch):
    """Make the disk fill up in the middle of a file of that epoch's checkpoint."""
    write = _files._write

    def torn(path, data):
        if path.parent.name.startswith(f".{epoch:06d}") and path.suffix == ".json":
            write(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, data)

    monkeypatch.setattr(_files, "_write", torn)


def test_a_disk_that_fills_up_loses_nothing(fit, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        full_disk(patch, epoch=4)
        with pytest.raises(ModelFileError, match=r"No space left on device.*make room.*resume=True"):
            fit()
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["000002", "000003"]
    assert same(fit(), fit(folder=None, resume=False))


def test_a_folder_that_cannot_be_written_to_is_said_before_training(fit, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ModelFileError, match=r"cannot write checkpoints to .*file/inside: Not a directory"):
        fit([At(1, lambda: pytest.fail("it trained"))], folder=tmp_path / "file" / "inside")
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(0o555)
    if os.geteuid() == 0:  # root may write anywhere: let the system answer as it would to others

        def refuse(*args, **kwargs):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(ModelFileError, match=r"cannot write checkpoints to .*read-only: Permission denied"):
        fit([At(1, lambda: pytest.fail("it trained"))], folder=folder)


def test_what_killed_processes_left_is_removed(fit, tmp_path):
    fit()
    (tmp_path / "checkpoints" / ".000008.x7_d").mkdir()
    (tmp_path / "checkpoints" / ".000006.discarded").mkdir()
    fit()
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["000007", "000008"]


def test_another_rule_to_stop_by_is_refused_and_another_watcher_is_not(fit):
    fit([EarlyStopping(patience=3), At(2, int)], epochs=4)
    fit([EarlyStopping(patience=3), At(99, int), At(98, int)], epochs=4)
    for rules in ((), [EarlyStopping(patience=4)], [EarlyStopping(3, tol=0.1)]):
        with pytest.raises(ConfigError, match="callbacks was"):
            fit(rules, epochs=4)


def test_other_rows_of_the_same_shape_are_refused(fit, rng):
    fit()
    with pytest.raises(ConfigError, match=r"data\.checksum was"):
        fit(x=rng.normal(size=(30, 3)))


def rewritten(folder, **changes):
    for path in folder.glob("0*"):
        meta, tensors = read_folder(path, "state")
        _files.write_folder(path, "state", meta | changes, tensors)


def test_a_checkpoint_of_another_version_is_refused(fit, tmp_path):
    fit()
    rewritten(tmp_path / "checkpoints", schema=99)
    with pytest.raises(ModelFileError, match=r"has schema 99; this version reads 1"):
        fit()


def test_a_checkpoint_of_another_torch_is_taken_with_a_warning(fit, tmp_path):
    whole = fit()
    rewritten(tmp_path / "checkpoints", torch="1.0")
    with pytest.warns(SteinmixWarning, match=r"written with torch 1\.0"):
        assert same(fit(), whole)


def test_a_checkpoint_of_another_kind_of_device_is_refused(fit, tmp_path):
    fit()
    rewritten(tmp_path / "checkpoints", device="cuda")
    with pytest.raises(ConfigError, match=r"written on 'cuda', and training is on 'cpu'.*training__device='cuda'"):
        fit()


def test_a_checkpoint_that_does_not_fit_the_module_is_refused(fit, tmp_path):
    fit()
    rewritten(tmp_path / "checkpoints", position={"phase": 7, "epoch": 1, "step": 1})
    with pytest.raises(ModelFileError, match="does not fit this version of the method"):
        fit()


def test_the_order_of_a_record_is_kept(fit, tmp_path):
    """Also through a checkpoint: tables show the terms in the order of the paper."""
    with pytest.raises(Terminated):
        fit([At(3, terminate)])
    assert [list(r) for r in fit().history_] == [list(r) for r in fit(folder=None, resume=False).history_]


def test_early_stopping_is_saved_with_the_model(fit, tmp_path):
    fit([EarlyStopping(patience=3)], folder=None, resume=False).save(tmp_path / "model")
    assert sm.load(tmp_path / "model").training.callbacks == [EarlyStopping(patience=3)]


def test_stacked_restarts_stop_at_sigterm_too(tmp_path, rng):
    x = rng.normal(size=(30, 3))

    def fit(folder, *callbacks):
        settings = sm.Training(epochs=6, progress=False, callbacks=callbacks, device="cpu")
        model = sm.GaussianMixture(2, start="random", collapse="ignore", n_init=3, training=settings, random_state=0)
        return model.fit(x, checkpoint=folder, resume=folder is not None)

    with pytest.raises(Terminated):
        fit(tmp_path / "c", At(3, terminate))
    assert same(fit(tmp_path / "c"), fit(None))


def test_a_guard_is_of_one_run_only(tmp_path):
    store = Checkpoint(tmp_path, {}, resume=False)
    first = store.guard()
    with pytest.raises(Terminated), first:
        terminate()
    assert first.requested
    with store.guard() as second:
        assert not second.requested
