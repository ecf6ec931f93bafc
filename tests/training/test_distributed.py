"""Several processes that train together. Each scenario of `processes/ranks.py` runs once, in one go."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from steinmix import Training
from steinmix.training import distributed
from steinmix.training.distributed import alone, share_of, world_size

RANKS = Path(__file__).parent.parent / "processes" / "ranks.py"
EQUAL = (
    "mixture",
    "accumulated",
    "streamed",
    "tiny",
    "vade",
    "gmvae",
    "gmvae_draws",
    "gmvae_cv",
    "depict",
    "normalised",
    "normalised_tiny",
)
OTHERS = (
    "entropy",
    "parts",
    "stops",
    "early",
    "dies",
    "resumed",
    "freezes",
    "terminated",
    "full",
    "direct",
    "direct_dies",
    "direct_resumed",
)


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """How every process of every scenario ended, and the folder with what they wrote."""
    folder = tmp_path_factory.mktemp("ranks")
    asked = [f"{name}:{n}" for name in EQUAL for n in (1, 2)] + [f"{name}:2" for name in OTHERS] + ["mixture:3"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "STEINMIX_TIMEOUT": "10"}
    command = [sys.executable, "-W", "error", str(RANKS), str(folder), *asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    records = [json.loads(line) for line in done.stdout.splitlines()]
    return folder, {(r["scenario"], r["rank"]): r for r in records}


@pytest.fixture
def result(ended):
    """What a process wrote: parameters and history."""
    return lambda scenario, processes=2, rank=0: torch.load(
        ended[0] / scenario / f"{processes}-{rank}.pt", weights_only=True
    )


def difference(a, b):
    """The largest difference of a parameter relative to the largest of its tensor, or to 1e-4 where that is less."""
    pairs = [(a["state"][k].double(), b["state"][k].double()) for k in a["state"]]
    return max(float((x - y).abs().max() / x.abs().max().clamp(min=1e-4)) for x, y in pairs)


def same(a, b):
    return a["history"] == b["history"] and all(torch.equal(a["state"][k], b["state"][k]) for k in a["state"])


@pytest.mark.parametrize("scenario", EQUAL)
def test_the_same_global_batch_gives_the_same_parameters(result, scenario):
    """At least 50 steps in fp32, with noise, a start, unequal shares and, in `tiny`, fewer rows than processes."""
    one, two = result(scenario, 1), result(scenario, 2)
    assert one["history"][-1]["step"] >= 49
    assert difference(one, two) <= (1e-4 if "normalised" in scenario else 1e-5)  # batch norms enlarge rounding errors
    for a, b in zip(one["history"], two["history"], strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
    assert same(two, result(scenario, 2, 1))


def test_three_processes_too(result):
    assert difference(result("mixture", 1), result("mixture", 3)) <= 1e-5


def test_without_a_seed_all_processes_take_the_first_one_s(result):
    assert same(result("entropy"), result("entropy", rank=1))


def test_a_part_of_the_rows_for_each_process_is_refused(ended):
    """Also where the parts have one shape."""
    for rank in (0, 1):
        record = ended[1]["parts", rank]
        assert record["error"] == "DistributedError"
        assert f"process {rank} of 2 got 102 rows x 6 columns" in record["text"]
        assert "give every process all rows" in record["text"]


def test_a_phase_that_one_process_ends_ends_for_all(result):
    assert len(result("stops")["history"]) == len(result("stops", rank=1)["history"]) == 3
    assert same(result("early"), result("early", rank=1))
    assert 2 < len(result("early")["history"]) < 13


def test_a_process_that_dies_ends_the_run_and_it_resumes_to_the_same_bits(ended, result):
    record = ended[1]["dies", 0]
    assert record["error"] == "DistributedError"
    assert "process 0 of 2 lost contact with another one" in record["text"]
    assert "--resume" in record["text"]
    assert same(result("resumed"), result("mixture"))
    assert same(result("resumed"), result("resumed", rank=1))


def test_a_method_may_draw_as_it_likes_and_resumes_all_the_same(ended, result):
    """From a generator of its own choice, for shares of different sizes."""
    assert ended[1]["direct_dies", 0]["error"] == "DistributedError"
    assert same(result("direct_resumed"), result("direct"))
    assert same(result("direct"), result("direct", rank=1))


def test_a_process_that_hangs_ends_the_run_after_the_timeout(ended):
    record = ended[1]["freezes", 0]
    assert record["error"] == "DistributedError"
    assert record["seconds"] < 60


def test_sigterm_to_one_process_ends_all_after_the_same_epoch(ended):
    folder, records = ended
    assert [records["terminated", rank]["error"] for rank in (0, 1)] == ["Terminated"] * 2
    assert sorted(p.name for p in (folder / "terminated" / "c").iterdir()) == ["000004", "000005"]


def test_a_full_disk_is_said_on_every_process(ended):
    for rank in (0, 1):
        assert ended[1]["full", rank]["error"] == "ModelFileError"
        assert "No space left" in ended[1]["full", rank]["text"]


def test_processes_part_while_python_still_runs(tmp_path):
    """What is registered first is called last, and finds the group left."""
    program = """
import atexit, torch
atexit.register(lambda: print(torch.distributed.is_initialized(), end=""))
from steinmix.training.distributed import connect
connect(torch.device("cpu"))
connect(torch.device("cpu"))
assert torch.distributed.is_initialized()
"""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    meeting = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env=os.environ | meeting | {"RANK": number, "LOCAL_RANK": number},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in "01"
    ]
    assert [(p.communicate(timeout=60)[0], p.returncode) for p in processes] == [("False", 0)] * 2


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("total", [1, 2, 7, 64])
def test_shares_are_all_rows_once(monkeypatch, size, total):
    monkeypatch.setenv("WORLD_SIZE", str(size))
    shares = []
    for rank in range(size):
        monkeypatch.setenv("RANK", str(rank))
        shares.append(share_of(total))
    rows = [row for s in shares if s.weight for row in range(s.start, s.stop)]
    assert rows == list(range(total))
    assert sum(s.weight for s in shares) == pytest.approx(1)
    assert all(0 <= s.start < s.stop <= total == s.total for s in shares)
    assert all(s.weight in (0, (s.stop - s.start) / total) for s in shares)


def test_alone_there_is_one_process(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with alone():
        assert (world_size(), distributed.rank(), distributed.is_main(), share_of(8)) == (1, 0, True, None)
    assert (world_size(), distributed.rank(), distributed.is_main()) == (4, 2, False)


def test_each_process_takes_the_gpu_of_its_number(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert Training().torch_device() == torch.device("cuda", 1)
    assert Training(device="cpu").torch_device() == torch.device("cpu")
