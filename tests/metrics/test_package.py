import subprocess
import sys
from importlib import import_module

import pytest

from steinmix import metrics

MODULES = ["_check", "agreement", "anomaly", "clustering", "density", "diagnostics", "embedding"]


@pytest.mark.parametrize("name", MODULES)
def test_exported_names_are_sorted_and_exist(name):
    module = import_module(f"steinmix.metrics.{name}")
    assert module.__all__ == sorted(module.__all__)
    assert all(hasattr(module, exported) for exported in module.__all__)


def test_package_exports_every_public_name():
    public = [import_module(f"steinmix.metrics.{name}").__all__ for name in MODULES if name[0] != "_"]
    assert metrics.__all__ == sorted(name for names in public for name in names)


def test_import_is_cheap():
    heavy = "{'sklearn', 'scipy', 'torch', 'pandas'}"
    code = f"import sys, steinmix.metrics; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
