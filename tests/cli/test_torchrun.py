"""``torchrun --nproc-per-node 2 -m steinmix fit ...`` on CPU: one of the two is killed, and the job goes on later."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "steinmix"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}


def launch(*argv, name, folder):
    """Start it with its own files for output, so that a full pipe stops nobody."""
    out, err = (folder / f"{name}.{ending}" for ending in ("out", "err"))
    with out.open("w") as a, err.open("w") as b:
        process = subprocess.Popen([*LAUNCH, *map(str, argv)], stdout=a, stderr=b, env=ENVIRONMENT)
    return process, out, err


def process_of_rank(number, launcher):
    """Return the id of the process that the launcher started as this rank."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == launcher and f"RANK={number}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                return int(entry.name)
        except OSError:  # it has just ended
            continue
    raise AssertionError(f"no process of rank {number}")


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the process of a rank in /proc")
def test_a_job_of_two_processes_survives_the_death_of_one(cli, write, tmp_path):
    options = ["fit", write("rows.npy"), "--method", "gaussian-mixture", "--n-components", "3", "--no-report"]
    options += ["--training.epochs", "150", "--training.batch-size", "32", "--training.device", "cpu"]
    points, run = tmp_path / "points", tmp_path / "run"

    first, _, err = launch(*options, "--checkpoint", points, "-o", run, name="first", folder=tmp_path)
    wait_for(lambda: points.is_dir() and any(p.name >= "000003" for p in points.glob("0*")))
    os.kill(process_of_rank(1, first.pid), signal.SIGKILL)
    assert first.wait(60) != 0
    assert "steinmix: error: process 0 of 2 lost contact" in err.read_text() or "SIGKILL" in err.read_text()
    assert not run.exists()

    second, out, err = launch(*options, "--checkpoint", points, "--resume", "-o", run, name="second", folder=tmp_path)
    assert second.wait(120) == 0, err.read_text()
    assert out.read_text().count("run folder") == 1  # only the first process speaks
    assert "\r" not in err.read_text()

    assert cli(*options, "-o", tmp_path / "alone", "--quiet") == (0, "", "")
    tables = [pq.read_table(folder / "predictions.parquet").to_pandas() for folder in (run, tmp_path / "alone")]
    np.testing.assert_array_equal(tables[0]["label"], tables[1]["label"])
    np.testing.assert_allclose(tables[0]["score"], tables[1]["score"], rtol=1e-5)
