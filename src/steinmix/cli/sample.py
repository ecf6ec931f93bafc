"""``steinmix sample RUN -n 64``: rows that the model generates."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from .._machine import memory_bytes
from ..errors import ConfigError
from .outputs import check_table, new_array, new_table
from .parsing import Parser, add_common_options
from .records import PREDICTIONS, read_run
from .show import print_json, print_pairs

__all__ = ["run"]

_DESCRIPTION = """\
Generate rows in the units of the data, of all components by their weights or of one. A .npy file holds a plain
array (n, columns); .parquet and .csv have the columns of the data the model was fitted on."""


VALUE_BYTES = 4
"""Least memory for a value of a row."""


def run(argv: Sequence[str]) -> None:
    """Do what the arguments say."""
    options = _parser().parse(argv)
    fitted = read_run(options.run)
    target = check_table(Path(options.output), fitted.folder / PREDICTIONS)
    model = fitted.load()
    rows = _drawn(model, options)
    _write(target, rows, fitted.feature_names(model))
    result = {"rows": len(rows), "columns": rows.shape[1], "component": options.component, "written": str(target)}
    if options.json:
        print_json(result)
    elif not options.quiet:
        print_pairs(result)


def _drawn(model: Any, options: Any) -> np.ndarray:
    """Return the rows (n, f), or raise ConfigError if the model cannot give them."""
    name = type(model).__name__
    if not hasattr(model, "sample"):
        raise ConfigError(f"a model of {name} does not generate; expected one that does, such as vade or vae.")
    wanted = {key: getattr(options, key) for key in ("component", "min_posterior")}
    chosen = {key: value for key, value in wanted.items() if value is not None}
    for key in chosen:
        if key not in signature(model.sample).parameters:
            raise ConfigError(f"a model of {name} has no components; leave --{key} out.")
    too_many = ConfigError(f"{options.n_samples} rows do not fit into memory; ask for fewer with -n.")
    if options.n_samples * model.n_features_in_ * VALUE_BYTES > memory_bytes():
        raise too_many
    try:
        return model.sample(options.n_samples, random_state=options.seed, **chosen)
    except (MemoryError, RuntimeError) as error:  # torch's allocators raise the latter
        if "memory" not in repr(error).lower():
            raise
        raise too_many from error


def _write(target: Path, rows: np.ndarray, names: list[str] | None) -> None:
    if target.suffix == ".npy":
        new_array(target, rows)
        return
    names = names or [f"x{j}" for j in range(rows.shape[1])]
    with new_table(target, len(rows)) as table:
        table.append({name: np.ascontiguousarray(rows[:, j]) for j, name in enumerate(names)})


def _parser() -> Parser:
    parser = Parser("sample", _DESCRIPTION)
    parser.add_argument("run", metavar="RUN", help="run folder, or model folder")
    parser.add_argument("-n", "--n_samples", type=int, default=64, metavar="N", help="number of rows (default: 64)")
    parser.add_argument("--component", type=int, metavar="K", help="draw from this component only, counted from 0")
    parser.add_argument(
        "--min_posterior", type=float, metavar="P", help="only rows that belong to their component with at least this"
    )
    parser.add_argument("--seed", type=int, help="the model's own unless given; the same seed gives the same rows")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="samples.npy, .parquet or .csv")
    add_common_options(parser)
    return parser
