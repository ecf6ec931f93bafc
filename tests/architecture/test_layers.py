"""The architecture, as tests: one direction of imports, one place for each duty."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import steinmix

SRC = Path(steinmix.__file__).parent
FILES = sorted(SRC.rglob("*.py"))
RANK = {
    name: rank
    for rank, names in enumerate(
        [
            ("errors",),
            ("_typing", "_params", "random", "_files", "_machine"),
            ("numerics",),
            ("data", "metrics", "particles"),
            ("diversify", "mixtures", "nn"),
            ("objective",),
            ("training",),
            ("estimator",),
            ("methods",),
            ("experiments",),
            ("report",),
            ("cli",),
            ("__main__",),
        ]
    )
    for name in names
}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def home(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def imported(path: Path) -> list[tuple[str, bool]]:
    """Return (package of steinmix, is it ``methods.<other file>``) for each import of our own."""
    depth = len(path.relative_to(SRC).parts)
    found = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            names = [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]
            found += [(name, False) for name in names]
        elif isinstance(node, ast.ImportFrom) and node.level and node.level < depth:
            found.append((home(path), path.parent.name == "methods"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("steinmix"):
            found.append((node.module.split(".")[1], False))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_imports_point_down(path):
    mine = home(path)
    if mine == "__init__":
        return
    for name, _ in imported(path):
        if name in RANK and name != mine:
            assert RANK[name] < RANK[mine], f"{path.name} in {mine} imports {name}, which lies higher or beside it"


def test_no_method_imports_a_method():
    for path in (SRC / "methods").glob("*.py"):
        if path.name != "__init__.py":
            assert not [1 for _, sibling in imported(path) if sibling], f"{path.name} imports another method"


def calls(path: Path) -> list[str]:
    return [ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_only_random_seeds(path):
    if path.name != "random.py":
        names = ("manual_seed", "seed", "default_rng", "RandomState")
        seeding = [c for c in calls(path) if c.split(".")[-1] in names]
        assert not seeding, f"{path}: {seeding}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_only_the_stepper_steps_an_optimiser_and_only_training_knows_accelerate(path):
    text = path.read_text()
    if path != SRC / "training" / "stepper.py":
        assert not [c for c in calls(path) if c.split(".")[-1] == "step"]
    if home(path) != "training":
        assert "import accelerate" not in text
        assert "from accelerate" not in text


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_no_unsafe_loading_asserts_or_prints(path):
    assert not {"pickle.load", "pickle.loads", "torch.load", "eval", "exec"} & set(calls(path))
    assert not [n for n in ast.walk(tree(path)) if isinstance(n, ast.Assert)]
    if home(path) != "cli":
        assert "print" not in calls(path)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_files_and_functions_stay_small(path):
    assert path.read_text().count("\n") <= 600
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            assert node.end_lineno - first.lineno + 1 <= 60, f"{path}:{node.lineno} {node.name}"


def test_no_module_names_a_thing_twice():
    for path in FILES:
        for node in tree(path).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                names = ast.literal_eval(node.value)
                assert sorted(names) == sorted(set(names)), path


def test_public_names_exist_and_are_sorted():
    assert sorted(steinmix.__all__) == steinmix.__all__
    assert set(steinmix.__all__) == set(steinmix._HOME) | set(steinmix._MODULES)
    for name in steinmix.__all__:
        assert getattr(steinmix, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = steinmix.nothing


def test_a_batch_has_no_room_for_labels():
    from steinmix.objective import Batch

    assert Batch._fields == ("x", "index", "inverse")


def test_import_is_lazy_and_quiet():
    code = "import sys, steinmix; assert not {'torch', 'sklearn', 'pandas'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_training_does_not_need_the_extras():
    code = (
        "import sys\n"
        "from importlib.machinery import ModuleSpec\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in {'pyarrow', 'pooch', 'pandas', 'matplotlib', 'jsonargparse'}:\n"
        "            return ModuleSpec(name, self)\n"
        "    def create_module(self, spec):\n"
        "        raise ImportError(spec.name)\n"
        "    def exec_module(self, module): pass\n"
        "sys.meta_path.insert(0, Missing())\n"
        "import numpy as np, steinmix as sm\n"
        "sm.GaussianMixture(2, random_state=0).fit(np.arange(20.0).reshape(10, 2)).predict(np.zeros((1, 2)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
