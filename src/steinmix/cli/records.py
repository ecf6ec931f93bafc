"""The record of a run, ``run.json``, and the run folder it stands in.

::

    RUN/
      model/                the fitted model, two files
      predictions.parquet   row, label, start_label, p0, p1, ..., score
      run.json              what was run, on what, with what result
      report.html           the page
"""

from __future__ import annotations

import json
import platform
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .._files import standing, write_text
from .._machine import counted, finite, peak_memory_mb
from ..errors import ModelFileError
from .inputs import Data, Request, open_like

__all__ = [
    "FILES",
    "FORMAT",
    "PREDICTIONS",
    "RECORD",
    "SCHEMA",
    "Run",
    "Stopwatch",
    "command_line",
    "hardware_words",
    "machine",
    "page_record",
    "read_run",
    "request_record",
    "write_record",
]

RECORD, PREDICTIONS = "run.json", "predictions.parquet"
FILES = (RECORD, PREDICTIONS, "report.html", "model/model.json", "model/model.safetensors")
"""All that `fit` writes into a run folder."""

FORMAT, SCHEMA = "steinmix-run", 1


class Stopwatch:
    """Seconds of wall time by stage.

    Attributes
    ----------
    seconds : dict of str to float
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage."""
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)


def command_line(verb: str, argv: Sequence[str]) -> str:
    """Return what to type to do it again."""
    return shlex.join(["steinmix", verb, *argv])


def machine(device: Any = "cpu") -> dict[str, Any]:
    """Return where it ran and how much memory the process has needed so far."""
    import torch

    return {
        "device": str(device),
        "threads": torch.get_num_threads(),
        "platform": f"{platform.system()}, {platform.machine()}",
        "peak_memory_mb": peak_memory_mb(),
    }


def hardware_words(where: Mapping[str, Any]) -> str:
    """Return what `machine` found as the report shows it."""
    return f"{where['device']}, {counted(where['threads'], 'thread')}, {where['platform']}"


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON; what has no number (an infinity) becomes null, as JSON has no word for it."""
    write_text(path, json.dumps(finite(record), indent=1) + "\n")


@dataclass(frozen=True)
class Run:
    """A run folder, or a folder with a model only.

    Attributes
    ----------
    folder : Path
    model_folder : Path
    record : dict
        Empty for a model only.
    """

    folder: Path
    model_folder: Path
    record: dict[str, Any]

    def load(self) -> Any:
        """Return the fitted model."""
        from ..estimator import load

        return load(self.model_folder)

    def feature_names(self, model: Any) -> list[str] | None:
        """Return the columns the model was fitted on, where they have names; a data frame's are in the model itself."""
        return self.record.get("data", {}).get("feature_names") or list(getattr(model, "feature_names_in_", ())) or None

    def open(self, data: str, model: Any) -> Data:
        """Open new rows for the model."""
        left_out = self.request.left_out if self.request else ()
        return open_like(data, self.feature_names(model), model.n_features_in_, left_out, self.categories)

    @property
    def categories(self) -> dict[str, list[str]]:
        """Category columns of the data the model was fitted on, and their values."""
        return self.record.get("data", {}).get("categories", {})

    @property
    def request(self) -> Request | None:
        """What the model was fitted on."""
        found = self.record.get("request")
        names = ("exclude", "categories")
        return None if found is None else Request(**found | {n: tuple(found.get(n, ())) for n in names})


def read_run(word: str) -> Run:
    """Open a run folder that `fit` wrote, or a model folder that `save` wrote.

    Raises
    ------
    ModelFileError
        If it is neither, or its record is damaged, foreign or of another version.
    """
    folder = standing(Path(word))
    if folder.is_file():
        raise ModelFileError(f"{word} is a file; expected a run folder that `steinmix fit` wrote, and DATA after it.")
    if (folder / "model.json").is_file():
        run = folder.resolve().parent
        if folder.resolve().name != "model" or not (run / RECORD).is_file():
            return Run(folder, folder, {})
        folder = run  # its record says more of the columns
    return Run(folder, folder / "model", _read_record(folder / RECORD))


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelFileError(
            f"cannot read {path}: {error.strerror}; expected a run folder that `steinmix fit` wrote."
        ) from error
    except ValueError as error:
        raise ModelFileError(f"{path} is not JSON ({error}); it is damaged or foreign.") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ModelFileError(f"{path} was not written by `steinmix fit`.")
    if record.get("schema") != SCHEMA:
        raise ModelFileError(
            f"{path} has schema {record.get('schema')!r}; this version reads {SCHEMA}. Update steinmix."
        )
    return record


def page_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the report shows of a record, under the report's names."""
    where = record["machine"]
    return {
        "title": f"{record['class']} on {record['data']['name']}",
        "command": record["command"],
        "data": record["data"]["name"],
        "created": record["created"],
        "seed": record["seed"],
        # What this page takes to draw is not known while it is drawn.
        "wall_s": sum(seconds for stage, seconds in record["wall_seconds"].items() if stage != "report"),
        "peak_bytes": int(where["peak_memory_mb"] * 2**20),
        "hardware": hardware_words(where),
        "versions": record["versions"],
    }


def request_record(request: Request) -> dict[str, Any]:
    """Return a request as plain values, with full paths."""
    plain = asdict(request.absolute())
    return plain | {name: list(plain[name]) for name in ("exclude", "categories")}
