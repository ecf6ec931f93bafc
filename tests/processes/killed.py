"""Kills processes at work; prints one JSON record for each. Forks after the imports, so that a run costs its work.

``python killed.py fits FOLDER MOMENTS``   fits, at random moments
``python killed.py saves FOLDER``          replacements of a model, before each thing that is done to the file system
"""

import hashlib
import json
import os
import signal
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch

import steinmix as sm
from steinmix._files import read_folder, write_folder
from steinmix.random import Streams

torch.set_num_threads(1)
X = Streams(0).numpy("rows").normal(size=(40, 6)).astype(np.float32)


def model():
    """Return one with noise in every phase, a start in the middle, and two kinds of parameters."""
    return sm.VaDE(
        3,
        latent_dim=2,
        hidden=(8,),
        start="kmeans",
        diversifier=sm.NSVGD(0.5, prior=sm.NormalPrior()),
        pretraining=sm.Pretraining(epochs=10),
        anchor_epochs=10,
        collapse="ignore",
        training=sm.Training(epochs=10, batch_size=16, progress=False, device="cpu"),
        random_state=0,
    )


def fit(folder, result):
    """Fit, with checkpoints if there is a folder for them, and write the digest of all parameters."""
    fitted = model().fit(X, checkpoint=folder, resume=folder is not None)
    digest = hashlib.sha256(json.dumps(fitted.history_).encode())
    for value in fitted.module_.state_dict().values():
        digest.update(value.numpy().tobytes())
    result.write_text(digest.hexdigest())


def child(function, *args):
    """Run the function in a fork and return its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        function(*args)
        os._exit(0)
    finally:
        os._exit(1)


def finished(pid):
    """Return how a process ended: the exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def unreadable(folder):
    """Return what is wrong with the generations of a checkpoint, and how many there are."""
    names, wrong = sorted(p for p in folder.glob("[0-9]*")), []
    for generation in names:
        try:
            read_folder(generation, "state")
        except OSError as error:
            wrong.append(str(error))
    return wrong, names[-1].name if names else "none"


def kill_fits(root, moments):
    fit(None, root / "whole")  # before the forks, so that what is imported at first use is
    expected = (root / "whole").read_text()
    start = time.perf_counter()
    assert finished(child(fit, root / "complete", root / "with")) == 0
    seconds = time.perf_counter() - start
    assert (root / "with").read_text() == expected
    for number, share in enumerate(Streams(1).numpy("moments").uniform(0, 0.9, int(moments))):
        folder, result = root / f"checkpoint{number}", root / f"result{number}"
        pid = child(fit, folder, result)
        time.sleep(share * seconds)
        os.kill(pid, signal.SIGKILL)
        code = finished(pid)
        wrong, newest = unreadable(folder)
        resumed = finished(child(fit, folder, result))
        same = resumed == 0 and result.read_text() == expected
        print(json.dumps({"code": code, "unreadable": wrong, "newest": newest, "same": same}), flush=True)


def save_and_die(folder, number):
    """Replace the model, and die before the file system is touched for the `number`-th time."""
    touched = 0

    def touch(event, args):
        nonlocal touched
        if event == "open" or event.startswith(("os.", "shutil.", "tempfile.")):
            touched += 1
            if touched == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(touch)
    write_folder(folder, "model", {"version": "new"}, {"x": torch.ones(1000)})


def kill_saves(root):
    code, number = -signal.SIGKILL, 0
    warnings.simplefilter("ignore")
    while code == -signal.SIGKILL:
        folder, number = root / str(number) / "model", number + 1
        write_folder(folder, "model", {"version": "old"}, {"x": torch.zeros(1000)})
        code = finished(child(save_and_die, folder, number))
        bare = not folder.exists()
        meta, tensors = read_folder(folder, "model")
        whole = bool((tensors["x"] == (meta["version"] == "new")).all())
        write_folder(folder, "model", {"version": "next"}, {})
        after = read_folder(folder, "model")[0]["version"]
        left = [p.name for p in folder.parent.iterdir() if p.name.endswith(".old")]
        record = {"code": code, "found": meta["version"], "whole": whole, "bare": bare, "after": after, "left": left}
        print(json.dumps(record), flush=True)


if __name__ == "__main__":
    {"fits": kill_fits, "saves": kill_saves}[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
