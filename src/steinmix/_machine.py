"""What a result depends on besides code and seed: versions, hardware, memory, time; and values as JSON knows them."""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["counted", "finite", "forget_peak", "hardware", "now", "peak_memory_mb", "versions"]

_PACKAGES = ("steinmix", "torch", "numpy", "scipy", "scikit-learn", "pyarrow")


def now() -> str:
    """Return the time, in seconds of UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions(packages: Sequence[str] = _PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of packages, if installed: those that decide a result unless some are named."""
    found = {"python": platform.python_version()}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def hardware() -> str:
    """Return kind and number of processors, threads and accelerator in words, without the name of the host."""
    import torch

    cuda = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if cuda else "no accelerator"
    cores, threads = counted(os.cpu_count() or 1, "core"), counted(torch.get_num_threads(), "thread")
    return f"{platform.system()} {platform.machine()}, {cores}, {threads}, {device}"


def counted(n: int, thing: str, form: str = "") -> str:
    """Return a number of things: 1 thread, 2 threads; with the form "," 1,797 rows."""
    return f"{n:{form}} {thing}" if n == 1 else f"{n:{form}} {thing}s"


def forget_peak() -> None:
    """Let `peak_memory_mb` begin anew, where the system can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb() -> float:
    """Return the most memory (MiB) that the process has held since its start, or since `forget_peak`."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        line = next(line for line in lines if line.startswith("VmHWM:"))
        return round(int(line.split()[1]) / 2**10, 1)
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def finite(value: Any) -> Any:
    """Return `value` with plain types, and null for what is not finite, as JSON has no word for it."""
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, list):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and value - value != 0 else value
