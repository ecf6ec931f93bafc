"""Data larger than memory: the peak memory of a fit does not grow with the rows of the file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from steinmix.random import Streams

FEATURES = 500
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


def write(path: Path, n_rows: int) -> Path:
    """Write three groups of rows, 2 kB each, in row groups of 5,000."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = Streams(0).numpy("rows")
    schema = pa.schema([("x", pa.list_(pa.float32(), FEATURES))])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for _ in range(n_rows // 5000):
            rows = rng.standard_normal((5000, FEATURES)) + 4 * rng.integers(0, 3, (5000, 1))
            column = pa.FixedSizeListArray.from_arrays(rows.astype(np.float32).ravel(), FEATURES)
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
