"""``steinmix sample RUN -n 64``: rows that the model generates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from inspect import signature
from pathlib import Path
from shutil import disk_usage
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..random import restart_seed, seed_of
from .outputs import check_table, new_array, new_table
from .parsing import Parser, add_common_options
from .predictions import block_rows
from .records import PREDICTIONS, read_run
from .show import print_result

__all__ = ["run"]

_DESCRIPTION = """\
Generate rows in the units of the data, of all components by their weights or of one. A .npy file holds a plain
array (n, columns); .parquet and .csv have the columns of the data the model was fitted on."""


VALUE_BYTES = 4
"""Least room for a value of a row."""


def run(argv: Sequence[str]) -> None:
    """Do what the arguments say."""
    options = _parser().parse(argv)
    fitted = read_run(options.run)
    target = check_table(Path(options.output), fitted.folder / PREDICTIONS)
    model = fitted.load()
    _check_model(model, options)
    _check_room(target, options.n_samples, model.n_features_in_)
    _write(target, options.n_samples, _drawn(model, options), fitted.feature_names(model))
    component, columns = options.component, model.n_features_in_
    found = {"rows": options.n_samples, "columns": columns, "component": component, "written": str(target)}
    print_result(options, found)


def _check_model(model: Any, options: Any) -> None:
    name = type(model).__name__
    if not hasattr(model, "sample"):
        raise ConfigError(f"a model of {name} does not generate; expected one that does, such as vade or vae.")
    for key in _chosen(options):
        if key not in signature(model.sample).parameters:
            raise ConfigError(f"a model of {name} has no components; leave --{key} out.")


def _chosen(options: Any) -> dict[str, Any]:
    wanted = {key: getattr(options, key) for key in ("component", "min_posterior")}
    return {key: value for key, value in wanted.items() if value is not None}


def _check_room(target: Path, n_rows: int, n_features: int) -> None:
    """Raise ConfigError now, not when the disk is full."""
    if n_rows * n_features * VALUE_BYTES > disk_usage(target.resolve().parent).free:
        raise ConfigError(f"{n_rows} rows do not fit on the disk of {target}; ask for fewer with -n.")


def _drawn(model: Any, options: Any) -> Iterator[np.ndarray]:
    """Yield blocks of rows (b, f); the first one's seed is that of the command, so that few rows are one call."""
    size = block_rows(model.n_features_in_ * VALUE_BYTES)
    seed = seed_of(model.random_state if options.seed is None else options.seed)
    for number, start in enumerate(range(0, max(1, options.n_samples), size)):
        yield _block(model, min(size, options.n_samples - start), restart_seed(seed, number), options)


def _block(model: Any, n_rows: int, seed: int, options: Any) -> np.ndarray:
    try:
        return model.sample(n_rows, random_state=seed, **_chosen(options))
    except (MemoryError, RuntimeError) as error:  # torch's allocators raise the latter
        if "memory" not in repr(error).lower():
            raise
        raise ConfigError(f"{n_rows} rows do not fit into memory; ask for fewer with -n.") from error


def _write(target: Path, n_rows: int, blocks: Iterator[np.ndarray], names: list[str] | None) -> None:
    if target.suffix.lower() == ".npy":
        new_array(target, n_rows, blocks)
        return
    with new_table(target, n_rows) as table:
        for rows in blocks:
            columns = names or [f"x{j}" for j in range(rows.shape[1])]
            table.append({name: np.ascontiguousarray(rows[:, j]) for j, name in enumerate(columns)})


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
