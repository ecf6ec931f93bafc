"""What ``import steinmix`` loads: next to nothing, so that it costs next to nothing."""

import subprocess
import sys
from pathlib import Path

import steinmix

HEAVY = ("accelerate", "jinja2", "joblib", "jsonargparse", "matplotlib", "numpy", "pandas", "pyarrow", "scipy")
HEAVY += ("safetensors", "sklearn", "torch", "tqdm")


def loaded(code):
    """Return the heavy packages that a fresh interpreter has after the code."""
    report = f"; import sys; print(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_package_itself_loads_nothing_heavy():
    assert loaded("import steinmix") == set()


def test_a_researchers_own_loop_needs_torch_and_numpy_only():
    """The two lines of the README: particles and a diversifier."""
    assert loaded("import steinmix as sm; sm.Particles, sm.NSVGD") == loaded("import numpy, torch")


def test_a_method_loads_nothing_that_scikit_learn_does_not():
    """No extra, and accelerate in a distributed run only."""
    ours, theirs = loaded("import steinmix as sm; sm.VaDE(2)"), loaded("import torch, tqdm, sklearn.utils.validation")
    assert ours - theirs <= {"safetensors"}


def test_every_public_name_is_on_the_page_of_the_api():
    page = (Path(steinmix.__file__).parents[2] / "docs" / "api.rst").read_text()
    for name in set(steinmix.__all__) - {"datasets", "errors", "metrics"}:
        module = sys.modules[getattr(steinmix, name).__module__].__name__
        entry = page.partition(f".. automodule:: {module}\n")[2].partition("\n\n")[0]
        named = entry.partition(":members:")[2].replace(",", " ").split()
        assert entry, f"{module} is not there"
        assert not named or name in named, f"{name} is not there"
