"""Peak memory, each figure from a process of its own: a streaming fit and prediction in n, and encoding 70,000 rows.

Freed memory is to go back at once, so that the figure is the program's and not what an allocator keeps for later:
``MALLOC_MMAP_THRESHOLD_`` is fixed at 128 KiB (glibc raises it by itself otherwise), Arrow allocates from the system,
and there is one thread. The figure is ``VmHWM`` of the process; ``ru_maxrss`` would begin with what the process that
started it had. All this costs page faults; times of these runs mean nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .harness import machine, write

FIXED = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "OMP_NUM_THREADS": "1",
}
FEATURES, CODES = 784, 70_000

_PRELUDE = """
import sys
import numpy as np
import torch
import steinmix as sm
torch.set_num_threads(1)
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
path, folder = sys.argv[1:]
"""
FIT = """
settings = sm.Training(epochs=1, batch_size=1024, progress=False, device="cpu")
network = dict(hidden=(32,), pretraining=sm.Pretraining(epochs=1), anchor_epochs=0, start="kmeans")
model = sm.VaDE(10, **network, collapse="ignore", training=settings, random_state=0).fit(path)
model.save(folder)
print(peak())
"""
PREDICT = """
from steinmix.cli import main
assert main(["predict", folder, path, "-o", folder + ".parquet", "--quiet"]) == 0
print(peak())
"""
ENCODE = """
X = np.load(path)
model = sm.load(folder)
model.transform(X[:256])
before = peak()
assert model.transform(X).shape == (len(X), 10)
print(peak() - before)
"""
PAPER_NET = """
X = np.load(path)[:512]
settings = sm.Training(epochs=1, progress=False, device="cpu")
network = dict(hidden=(500, 500, 2000), pretraining=sm.Pretraining(epochs=1), anchor_epochs=0, start="random")
sm.VaDE(10, **network, collapse="ignore", training=settings, random_state=0).fit(X).save(folder)
print(0)
"""


def measured(code: str, path: Path, folder: Path) -> int:
    """Run the code in a process of its own and return the bytes that it prints."""
    command = [sys.executable, "-W", "ignore", "-c", _PRELUDE + code, str(path), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | FIXED)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return int(done.stdout)


def images(n_rows: int) -> np.ndarray:
    """Return grey values (n, 784) in ten groups."""
    rng = np.random.default_rng(0)
    centres = rng.integers(0, 200, (10, FEATURES), dtype=np.uint8)
    rows = centres[rng.integers(0, 10, n_rows)]
    for part in np.array_split(rows, max(1, n_rows // 10_000)):
        part += rng.integers(0, 55, part.shape, dtype=np.uint8)
    return rows


def packed(path: Path, n_rows: int) -> Path:
    """Write images in the packed layout."""
    from steinmix.data import as_source
    from steinmix.data.pack import pack

    pack(as_source(images(n_rows)), path)
    return path


def streaming(folder: Path, sizes: tuple[int, int]) -> dict[str, Any]:
    """Return the peaks of fits and predictions from files of two sizes."""
    found: dict[str, Any] = {"n": list(sizes), "file_bytes": [], "fit": [], "predict": []}
    for n_rows in sizes:
        path = packed(folder / f"{n_rows}.parquet", n_rows)
        found["file_bytes"].append(path.stat().st_size)
        found["fit"].append(measured(FIT, path, folder / f"model{n_rows}"))
        found["predict"].append(measured(PREDICT, path, folder / f"model{n_rows}"))
    return found | {f"{what}_ratio": found[what][1] / found[what][0] for what in ("fit", "predict")}


def encoding(folder: Path, n_rows: int = CODES) -> dict[str, Any]:
    """Return what encoding rows in memory takes beyond them, for two types of rows."""
    found: dict[str, Any] = {"n": n_rows, "net": "784-500-500-2000-10"}
    for dtype in ("uint8", "float32"):
        np.save(folder / f"{dtype}.npy", images(n_rows).astype(dtype))
        measured(PAPER_NET, folder / f"{dtype}.npy", folder / f"net-{dtype}")
        found[f"extra_bytes_{dtype}"] = measured(ENCODE, folder / f"{dtype}.npy", folder / f"net-{dtype}")
    return found


def main() -> None:
    """Measure, print and write the record."""
    with tempfile.TemporaryDirectory() as name:
        record = {"encoding": encoding(Path(name)), "streaming": streaming(Path(name), (100_000, 1_000_000))}
    record |= {"environment": FIXED, "machine": machine()}
    print(json.dumps(record, indent=1))
    write("memory", record)


if __name__ == "__main__":
    main()
