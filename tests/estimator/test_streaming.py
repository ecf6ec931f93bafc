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

FEATURES = 500
LIMITED = Path(__file__).parent.parent / "processes" / "limited.py"
FIT = """
import resource, sys
import torch
import steinmix as sm
torch.set_num_threads(1)
settings = dict(training=sm.Training(epochs=1, batch_size=512), random_state=0)
network = dict(latent_dim=2, hidden=(16,), pretraining=sm.Pretraining(epochs=1), anchor_epochs=0)
for model in (sm.GaussianMixture(3, **settings), sm.VaDE(3, start="kmeans", **network, **settings)):
    model.fit(sys.argv[1])
    assert len(set(model.predict(sys.argv[1]))) == 3
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def write(path: Path, n_rows: int, features: int = FEATURES) -> Path:
    """Write three groups of rows, in row groups of 5,000."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = Streams(0).numpy("rows")
    noise = rng.standard_normal((5000, features), dtype=np.float32)
    schema = pa.schema([("x", pa.list_(pa.float32(), features))])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for _ in range(n_rows // 5000):
            rows = noise + 4 * rng.integers(0, 3, (5000, 1)).astype(np.float32)
            column = pa.FixedSizeListArray.from_arrays(rows.ravel(), features)
            writer.write_table(pa.table([column], schema=schema))
    return path


def peak_memory(path: Path) -> int:
    """Return the peak resident bytes of a process of its own that fits and predicts from the file."""
    # Freed memory goes back at once, so that the figure is ours and not what the allocator keeps for later.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "131072", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    command = [sys.executable, "-W", "ignore", "-c", FIT, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout)


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_rows(tmp_path):
    small, large = write(tmp_path / "small.parquet", 20_000), write(tmp_path / "large.parquet", 100_000)
    more_data = large.stat().st_size - small.stat().st_size
    more_memory = peak_memory(large) - peak_memory(small)
    assert more_data > 150 * 2**20
    assert more_memory < 0.2 * more_data, (
        f"{more_memory / 2**20:.0f} MiB more for {more_data / 2**20:.0f} MiB more data"
    )


def limited(what: str, small: Path, large: Path, megabytes: int) -> subprocess.CompletedProcess:
    """Do it in a process that cannot have more than so many megabytes beyond what it had after the small file."""
    # One arena and one pool, or address space is reserved that nobody uses.
    environment = {"MALLOC_ARENA_MAX": "1", "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", str(LIMITED), what, str(small), str(large), str(megabytes)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the size of the address space from /proc")
def test_a_file_larger_than_the_memory_allowed_is_fitted(tmp_path):
    """100,000 rows, 381 MiB, within 170 MiB; to load them whole within the same is impossible."""
    small, large = write(tmp_path / "small.parquet", 10_000, 1000), write(tmp_path / "large.parquet", 100_000, 1000)
    assert large.stat().st_size > 2 * 170 * 2**20
    streamed, whole = limited("stream", small, large, 170), limited("whole", small, large, 170)
    assert streamed.returncode == 0, streamed.stderr[-2000:]
    counts = json.loads(streamed.stdout)
    assert len(counts) == 3
    assert sum(counts) == 100_000
    assert min(counts) > 30_000
    assert whole.returncode == 1
    assert "out of memory" in whole.stderr, whole.stderr[-2000:]
