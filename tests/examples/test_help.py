"""Asking for help prints it, and does nothing else."""

import subprocess
import sys

import pytest

from .conftest import FOLDER

ROOT = FOLDER.parent


@pytest.mark.parametrize("program", [("examples/outliers.py",), ("-m", "benchmarks.page")])
def test_help_is_all_that_happens(program):
    page = ROOT / "docs/performance.md"
    before = page.stat().st_mtime_ns
    done = subprocess.run([sys.executable, *program, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")
    assert page.stat().st_mtime_ns == before
