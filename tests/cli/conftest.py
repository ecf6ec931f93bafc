import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steinmix.cli import main
from steinmix.random import Streams

FAST = ["--method", "gaussian-mixture", "--n-components", "3", "--training.epochs", "1", "--no-report"]


@pytest.fixture(scope="session")
def blobs():
    """90 rows, 3 columns, in three far groups, and the group of each row."""
    groups = np.repeat(np.arange(3), 30)
    noise = Streams(0).numpy("blobs").normal(size=(90, 3))
    return (noise + 20.0 * np.eye(3)[groups]).round(6), groups


@pytest.fixture
def write(tmp_path, blobs):
    """Write the rows, with a column of classes `kind` (text), as a file of that name."""
    x, groups = blobs

    def to_file(name, rows=x, labels=groups, folder=tmp_path):
        path = folder / name
        table = pa.table({**dict(zip("abc", rows.T)), "kind": [f"class {g}" for g in labels]})
        if name.endswith(".npy"):
            np.save(path, rows)
        elif name.endswith(".csv"):
            lines = ["a,b,c,kind", *(f"{a},{b},{c},class {g}" for (a, b, c), g in zip(rows, labels))]
            path.write_text("\n".join(lines) + "\n")
        else:
            pq.write_table(table, path)
        return str(path)

    return to_file


@pytest.fixture
def cli(capsys):
    """Run the command line in this process: exit code, standard output, standard error."""

    def call(*argv):
        code = main([str(a) for a in argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def fit(cli, tmp_path):
    """Fit the small mixture and return the run folder and its record."""

    def fitted(data, *more, run="run"):
        folder = tmp_path / run
        code, _, err = cli("fit", data, *FAST, "-o", folder, *more)
        assert (err, code) == ("", 0)
        return folder, json.loads((folder / "run.json").read_text())

    return fitted


@pytest.fixture
def refused(cli):
    """Run what must fail, and return its one line of explanation."""

    def line(*argv, code=2):
        found, out, err = cli(*argv)
        assert (found, out) == (code, "")
        assert err.startswith("steinmix: error: ")
        assert err.count("\n") == 1
        return err

    return line
