"""What only a process of its own can show."""

import subprocess
import sys

STEINMIX = [sys.executable, "-m", "steinmix"]


def run(*argv, **more):
    return subprocess.run([*STEINMIX, *map(str, argv)], capture_output=True, text=True, timeout=120, **more)


def test_help_does_not_import_torch():
    loaded = "print('torch' in sys.modules, 'numpy' in sys.modules)"
    code = f"import sys; from steinmix.cli import main; main(['--help']); {loaded}"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.returncode == 0
    assert found.stdout.splitlines()[-1] == "False False"


def test_quiet_in_a_pipe(write, tmp_path):
    options = ("--method", "gaussian-mixture", "--n-components", "3", "--training.epochs", "2", "--no-report")
    found = run("fit", write("rows.npy"), *options, "-o", tmp_path / "run")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.splitlines()[0].startswith("method")
    assert "\r" not in found.stdout


def test_a_closed_standard_output():
    shell = f"{sys.executable} -m steinmix data describe digits >&-"
    found = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=120)
    assert (found.returncode, found.stderr) == (0, "")


def test_reader_that_goes_away():
    shell = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m steinmix data describe digits | true"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert shell.stderr == ""
    assert shell.returncode in (0, 141)  # 0 if everything was written before the reader went
