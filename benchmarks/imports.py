"""What ``import steinmix`` takes on top of ``import torch``, in processes of their own, one after the other in turn."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from .harness import machine, write

ROUNDS = 7
IMPORTS = ("torch", "torch, steinmix")
_TIMED = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def seconds(what: str) -> float:
    """Return the wall-clock seconds of an import in a fresh interpreter."""
    code = _TIMED.format(what)
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Measure, print and write the record."""
    rounds = [{what: seconds(what) for what in IMPORTS} for _ in range(ROUNDS + 1)][1:]
    more = [found["torch, steinmix"] - found["torch"] for found in rounds]
    record = {"rounds": rounds, "median_seconds_more": statistics.median(more), "machine": machine()}
    print(json.dumps(record, indent=1))
    write("imports", record)


if __name__ == "__main__":
    main()
