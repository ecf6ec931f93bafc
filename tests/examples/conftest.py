"""Examples are programs beside the package; tests load them as modules."""

import importlib.util
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def example(request):
    """The program that a test module names as its ``EXAMPLE``."""
    spec = importlib.util.spec_from_file_location(
        f"{request.module.EXAMPLE}_example", FOLDER / f"{request.module.EXAMPLE}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
