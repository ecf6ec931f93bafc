"""Interleaved timing: every variant once per round, in one process; the ratio is the median of per-round ratios."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent.parent / "results" / "benchmarks"


def interleave(
    variants: dict[str, Callable[[], Any]], rounds: int = 5, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Return seconds per variant and round, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds + 1):
        for name, function in variants.items():
            start = clock()
            function()
            if number:
                seconds[name].append(clock() - start)
    return seconds


def ratios(seconds: dict[str, list[float]], reference: str) -> dict[str, float]:
    """Return how many times faster than `reference` each variant is: the median over rounds."""
    base = seconds[reference]
    return {name: statistics.median(b / s for b, s in zip(base, own)) for name, own in seconds.items()}


def machine() -> dict[str, Any]:
    """Name what the figures depend on."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT"),
    }


def write(name: str, record: dict[str, Any]) -> None:
    """Write ``results/benchmarks/<name>.json``."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
