"""Fits from a Parquet file with a hard limit on memory, or loads it whole under the same limit.

``python limited.py stream|whole SMALL LARGE MEGABYTES``

The limit is on the address space, so that not a byte can be had beyond it: what the process has after its imports and
a fit on the small file (libraries, pools, threads), and so many megabytes more.
"""

import resource
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import steinmix as sm

torch.set_num_threads(1)
pa.set_cpu_count(1)
pa.set_io_thread_count(1)


def address_space():
    """Return the bytes of address space in use."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def stream(path):
    """Fit a mixture and label all rows; returns how many of each component there are."""
    settings = sm.Training(epochs=1, progress=False, device="cpu")
    model = sm.GaussianMixture(3, start="kmeans", training=settings, random_state=0).fit(path)
    return np.bincount(model.predict(path)).tolist()


def whole(path):
    """Load all rows."""
    column = pq.read_table(path, use_threads=False, pre_buffer=False).column(0)
    return np.concatenate([chunk.flatten().to_numpy() for chunk in column.chunks]).shape


def main(what, small, large, megabytes):
    function = {"stream": stream, "whole": whole}[what]
    function(small)
    limit = address_space() + int(megabytes) * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        print(function(large))
    except MemoryError as error:  # pyarrow's is one too
        sys.exit(f"out of memory: {type(error).__name__}")


if __name__ == "__main__":
    main(*sys.argv[1:])
