"""Fits in several processes that train together; forks after the imports. Prints one JSON record for each process.

``python ranks.py FOLDER SCENARIO:PROCESSES ...``: each writes its parameters and history to
FOLDER/SCENARIO/PROCESSES-RANK.pt.
"""

import json
import os
import signal
import socket
import sys
import time
import warnings
from pathlib import Path

import accelerate  # noqa: F401
import numpy as np
import sklearn.cluster  # noqa: F401
import torch

import steinmix as sm
from steinmix.random import Streams
from steinmix.training import Callback, EarlyStopping
from steinmix.training.distributed import rank

torch.set_num_threads(1)
X = Streams(0).numpy("rows").normal(size=(205, 6)).astype(np.float32)


class At(Callback):
    """Does something at the end of an epoch, on one process."""

    def __init__(self, number, epoch, action):
        self.number, self.epoch, self.action = number, epoch, action

    def on_epoch_end(self, state):
        return self.action() if (rank(), state.epochs_done) == (self.number, self.epoch) else None


def mixture(X=X, checkpoint=None, resume=False, callbacks=(), **training):
    settings = {"epochs": 13, "batch_size": 64, "progress": False, "device": "cpu"} | training
    training = sm.Training(callbacks=callbacks, **settings)
    diversifier = sm.NSVGD(0.5, prior=sm.NormalPrior())
    random_state = settings.pop("random_state", 0)
    model = sm.GaussianMixture(
        3, start="kmeans", diversifier=diversifier, collapse="ignore", training=training, random_state=random_state
    )
    return model.fit(X, checkpoint=checkpoint, resume=resume)


class Direct(sm.GaussianMixture):
    """Draws from a generator itself, for as many rows as its share has."""

    def _phases(self, module, context):
        phases = super()._phases(module, context)
        terms = phases[0].objectives[0].terms

        def noisy(batch):
            noise = torch.randn(batch.x.shape, generator=context.streams.torch("own"))
            return terms(batch._replace(x=batch.x + 0.1 * noise))

        phases[0].objectives[0].terms = noisy
        return phases


def direct(folder, *callbacks):
    training = sm.Training(epochs=8, batch_size=65, progress=False, device="cpu", callbacks=callbacks)
    model = Direct(3, start="kmeans", collapse="ignore", training=training, random_state=0)
    return model.fit(X, checkpoint=folder, resume=folder is not None)


def deep(kind, X=X, training=None, **others):
    """Fit a small deep model by all of its phases."""
    chosen = {"epochs": 5, "batch_size": 64, "precision": "fp32", "progress": False, "device": "cpu"} | (training or {})
    settings = {
        "start": "kmeans",
        "diversifier": sm.NSVGD(0.5, prior=sm.NormalPrior()),
        "pretraining": sm.Pretraining(epochs=4),
        "anchor_epochs": 4,
        "collapse": "ignore",
        "training": sm.Training(**chosen),
        "random_state": 0,
    }
    return kind(3, latent_dim=2, **settings | others).fit(X)


def dense(kind, **others):
    return deep(kind, hidden=(16, 8), **others)


def images(n_rows, **training):
    """No Adam: gradients of biases before batch norms are rounding errors, of which it makes whole steps."""
    pixels = Streams(0).numpy("pixels").random((n_rows, 16)).astype(np.float32)
    return deep(sm.GMVAE, pixels, image_shape=(4, 4), training={"optimizer": "sgd", "clip_norm": 1.0} | training)


def stop():
    return True


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def freeze():
    os.kill(os.getpid(), signal.SIGSTOP)


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def full_disk(folder):
    from steinmix import _files

    def refuse(path, data):
        raise OSError(28, "No space left on device")

    if rank() == 0:
        _files._write = refuse
    return mixture(checkpoint=folder / "c")


def written(folder):
    """Write the rows as a Parquet file of several row groups; each process has its own."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / f"rows{rank()}.parquet"
    pq.write_table(pa.table({f"x{j}": column for j, column in enumerate(X.T)}), path, row_group_size=50)
    return str(path)


def entropy(folder):
    model = sm.GaussianMixture(3, collapse="ignore", training=sm.Training(epochs=2, progress=False, device="cpu"))
    return model.fit(X)


def tiny(folder):
    """Batches of one row: fewer than there are processes."""
    return mixture(X[:7], batch_size=1, epochs=7)


SCENARIOS = {
    "mixture": lambda folder: mixture(),
    "accumulated": lambda folder: mixture(accumulate=2, clip_norm=0.1, epochs=26),
    "streamed": lambda folder: mixture(written(folder)),
    "vade": lambda folder: deep(sm.VaDE, hidden=(16,), smoothing_epochs=3),
    "gmvae": lambda folder: dense(sm.GMVAE),
    "gmvae_draws": lambda folder: dense(sm.GMVAE, n_samples=3, start="random", training={"epochs": 13}, free_bits=0.06),
    "gmvae_cv": lambda folder: dense(sm.GMVAECV),
    "depict": lambda folder: dense(sm.DEPICT),
    "normalised": lambda folder: images(205),
    "normalised_tiny": lambda folder: images(7, batch_size=2),
    "tiny": tiny,
    "entropy": entropy,
    "parts": lambda folder: mixture(X[rank() : 204 : 2]),
    "stops": lambda folder: mixture(callbacks=(At(1, 3, stop),)),
    "early": lambda folder: mixture(callbacks=(EarlyStopping(patience=2, tol=0.01),)),
    "resumed": lambda folder: mixture(checkpoint=folder.parent / "dies" / "c", resume=True),
    "dies": lambda folder: mixture(checkpoint=folder / "c", callbacks=(At(1, 5, die),)),
    "freezes": lambda folder: mixture(checkpoint=folder / "c", callbacks=(At(1, 5, freeze),)),
    "terminated": lambda folder: mixture(checkpoint=folder / "c", callbacks=(At(1, 5, terminate),)),
    "full": full_disk,
    "direct": lambda folder: direct(None),
    "direct_dies": lambda folder: direct(folder / "c", At(1, 5, die)),
    "direct_resumed": lambda folder: direct(folder.parent / "direct_dies" / "c"),
}


def one(scenario, folder, name):
    """Do it, write what came of it, and end the process."""
    warnings.simplefilter("ignore")
    try:
        model = SCENARIOS[scenario](folder)
        torch.save({"state": model.module_.state_dict(), "history": model.history_}, folder / f"{name}.pt")
        os._exit(0)
    except (Exception, SystemExit) as error:
        (folder / f"{name}.json").write_text(json.dumps({"error": type(error).__name__, "text": str(error)}))
    finally:
        os._exit(9)


def port():
    """Return a port that is free."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(scenario, processes, folder):
    """Start the processes and return their ids by rank."""
    where = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port())}
    pids = {}
    for number in range(processes):
        pids[number] = os.fork()
        if not pids[number]:
            own = {"RANK": str(number), "LOCAL_RANK": str(number), "LOCAL_WORLD_SIZE": str(processes)}
            os.environ.update(where | own if processes > 1 else {})
            one(scenario, folder, f"{processes}-{number}")
    return pids


def main(root, *scenarios):
    mixture(epochs=1)  # before the forks, so that what is imported at first use is
    for scenario, _, processes in (word.partition(":") for word in scenarios):
        folder, begin = root / scenario, time.perf_counter()
        folder.mkdir(exist_ok=True)
        for number, pid in start(scenario, int(processes), folder).items():
            if (scenario, number) == ("freezes", 1):
                os.kill(pid, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            said = folder / f"{processes}-{number}.json"
            record = {"scenario": scenario, "rank": number, "code": code, "seconds": time.perf_counter() - begin}
            print(json.dumps(record | (json.loads(said.read_text()) if said.exists() else {})), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
