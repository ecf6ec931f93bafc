"""Data larger than memory: the peak memory of a fit does not grow with the rows of the file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from steinmix.random import Streams

PROC = Path("/proc/self/status")
LIMITED = Path(__file__).parent.parent / "processes" / "limited.py"
FIT = """
import sys
import torch
import steinmix as sm
torch.set_num_threads(1)
settings = sm.Training(epochs=1, batch_size=512, progress=False, device="cpu")
model = sm.GaussianMixture(3, start="kmeans", training=settings, random_state=0).fit(sys.argv[1])
assert len(set(model.predict(sys.argv[1]))) == 3
lines = open("/proc/self/status").read().splitlines()
print(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024)
"""


def write(path: Path, n_rows: int, features: int, packed: bool = False) -> Path:
    """Write three groups of rows in row groups of 5,000: lists of float32, or packed uint8."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = Streams(0).numpy("rows")
    noise = rng.integers(0, 100, (5000, features), dtype=np.uint8)
    dtype = pa.binary(features) if packed else pa.list_(pa.float32(), features)
    schema = pa.schema([("x", dtype)])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for _ in range(n_rows // 5000):
            rows = noise + 70 * rng.integers(0, 3, (5000, 1), dtype=np.uint8)
            if packed:
                buffers = [None, pa.py_buffer(rows)]
                column = pa.FixedSizeBinaryArray.from_buffers(dtype, len(rows), buffers)
            else:
                column = pa.FixedSizeListArray.from_arrays(rows.astype(np.float32).ravel(), features)
            writer.write_table(pa.table([column], schema=schema))
    return path


def peak_memory(path: Path) -> int:
    """Return the peak resident bytes of a process of its own that fits and predicts from the file."""
    # Freed memory goes back at once, so that the figure is ours and not what the allocator keeps for later.
    fixed = {"MALLOC_MMAP_THRESHOLD_": "131072", "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", FIT, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | fixed)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not PROC.exists(), reason="reads the peak of the resident size from /proc")
def test_peak_memory_does_not_grow_with_the_rows(tmp_path):
    """Five times the rows, 60 MiB more of data: the peaks are within 5 % of each other."""
    small, large = (write(tmp_path / f"{n}.parquet", n, 784, packed=True) for n in (20_000, 100_000))
    assert large.stat().st_size - small.stat().st_size > 55 * 2**20
    assert peak_memory(large) < 1.05 * peak_memory(small)


def limited(what: str, small: Path, large: Path, megabytes: int) -> subprocess.CompletedProcess:
    """Do it in a process that cannot have more than so many megabytes beyond what it had after the small file."""
    # One arena and one pool, or address space is reserved that nobody uses; freed blocks go back, or they add up.
    environment = {
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_THRESHOLD_": "131072",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-W", "ignore", str(LIMITED), what, str(small), str(large), str(megabytes)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


@pytest.mark.slow
@pytest.mark.skipif(not PROC.exists(), reason="reads the size of the address space from /proc")
def test_a_file_larger_than_the_memory_allowed_is_fitted(tmp_path):
    """100,000 rows, 381 MiB, within 240 MiB; to load them whole within the same is impossible."""
    small, large = write(tmp_path / "small.parquet", 10_000, 1000), write(tmp_path / "large.parquet", 100_000, 1000)
    assert large.stat().st_size > 1.5 * 240 * 2**20
    streamed, whole = limited("stream", small, large, 240), limited("whole", small, large, 240)
    assert streamed.returncode == 0, streamed.stderr[-2000:]
    counts = json.loads(streamed.stdout)
    assert len(counts) == 3
    assert sum(counts) == 100_000
    assert min(counts) > 30_000
    assert whole.returncode == 1
    assert "out of memory" in whole.stderr, whole.stderr[-2000:]
