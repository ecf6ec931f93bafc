"""Saving and loading whole estimators as safetensors and JSON: nothing is pickled, loading runs no code of the file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._files import read_folder, standing, write_folder
from .._machine import versions
from ..data.prepare import Scaling
from ..errors import ConfigError, ModelFileError
from ..numerics.precision import undisturbed
from ..training.distributed import is_main
from .preparation import Preparation

__all__ = ["CONFIGURATIONS", "configurations", "fitted_names", "load", "plain_params", "save_estimator"]

SCHEMA = 1
STEM = "model"
CONFIGURATIONS = (
    "diversify",
    "diversify.released",
    "nn.likelihoods",
    "training.annealing",
    "training.callbacks",
    "training.config",
    "training.schedules",
    "estimator.pretraining",
)
"""Modules whose public classes may stand in a saved file as parameters."""

SHORT_ARRAY = 100
"""Most entries of an array that is written out where values are only compared; longer ones stand as their digest."""


def save_estimator(estimator: Any, path: str | Path) -> None:
    """Write a fitted estimator to the folder `path`; of a distributed run only the first process does.

    Raises
    ------
    ConfigError
        If it is of a class that `load` does not know, or a parameter has no plain form.
    """
    name = type(estimator).__name__
    if getattr(import_module("steinmix.methods"), name, None) is not type(estimator):
        raise ConfigError(f"{_qualified(type(estimator))} is no class of steinmix, which `load` could make; pickle it.")
    params = estimator.get_params(deep=False)
    if not isinstance(params["random_state"], int | None):
        params["random_state"] = estimator.seed_
    arrays, plain = _fitted(estimator)
    tensors = arrays | {f"module.{k}": v for k, v in estimator.module_.state_dict().items()}
    tensors |= {f"preparation.{k}": v for k, v in estimator.preparation_.state_dict().items()}
    meta = {
        "schema": SCHEMA,
        "class": name,
        "params": plain_params(params),
        "fitted": plain,
        "output": getattr(estimator, "_sklearn_output_config", {}),
    }
    if is_main():
        write_folder(Path(path), STEM, meta | {"versions": versions(("steinmix", "torch", "numpy"))}, tensors)


def load(path: str | Path) -> Any:
    """Load a model that `save` wrote.

    Parameters
    ----------
    path : path
        The folder, or that of a run of ``steinmix fit``, which has one inside.

    Returns
    -------
    estimator
        It predicts what the saved one predicted, bit for bit, on the same kind of device.

    Raises
    ------
    ModelFileError
        If a file is missing, truncated, altered, foreign, or of a newer version.
    """
    meta, tensors = read_folder(_model_folder(Path(path)), STEM)
    if meta.get("schema") != SCHEMA:
        raise ModelFileError(f"{path} has schema {meta.get('schema')!r}; this version reads {SCHEMA}. Update steinmix.")
    methods = import_module("steinmix.methods")
    name = meta.get("class")
    if not isinstance(name, str) or name not in methods.__all__:
        raise ModelFileError(f"{path} holds a {name!r}; expected one of {', '.join(methods.__all__)}.")
    try:
        with undisturbed(torch.device("cpu")):
            return _rebuild(getattr(methods, name), meta, tensors)
    except (LookupError, ArithmeticError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise ModelFileError(f"{path} does not fit a {name}: {error}.") from error


def _model_folder(path: Path) -> Path:
    """Return the folder of the model: the one named, or that in the folder of a run, which has a ``run.json``."""
    folder = standing(path)
    return folder / "model" if (folder / "run.json").is_file() else folder


def _rebuild(method: type, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Any:
    estimator = method(**{k: _from_plain(v) for k, v in meta["params"].items()})
    for name, value in meta["fitted"].items():
        setattr(estimator, name, _from_plain(value))
    for name, tensor in tensors.items():
        if "." not in name:
            setattr(estimator, name, tensor.numpy())
    shift, scale = (tensors[f"preparation.{k}"].numpy() for k in ("shift", "scale"))
    estimator.preparation_ = Preparation(Scaling(shift, scale))
    estimator.module_ = estimator._empty_module()
    estimator.module_.load_state_dict(
        {k.removeprefix("module."): v for k, v in tensors.items() if k.startswith("module.")}
    )
    estimator.module_.eval()
    if output := meta.get("output"):  # files written before have none
        estimator.set_output(**output)
    return estimator


def fitted_names(estimator: Any) -> list[str]:
    """Return the names of what a fit has set."""
    return [name for name in vars(estimator) if name.endswith("_") and not name.startswith("_")]


def _fitted(estimator: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split the fitted attributes into tensors and plain values."""
    values = {n: getattr(estimator, n) for n in fitted_names(estimator) if n not in ("module_", "preparation_")}
    arrays = {n: v for n, v in values.items() if isinstance(v, np.ndarray) and v.dtype.kind in "biuf"}
    plain = {n: _to_plain(n, v, _Exact()) for n, v in values.items() if n not in arrays}
    return {n: torch.from_numpy(np.ascontiguousarray(v)) for n, v in arrays.items()}, plain


def plain_params(params: Mapping[str, Any], strict: bool = True) -> dict[str, Any]:
    """Return constructor parameters as plain JSON values.

    Raises
    ------
    ConfigError
        If `strict` and a value has no plain form; otherwise what it is made of stands for it.
    """
    how = _Exact() if strict else _Described()
    return {name: _to_plain(name, value, how) for name, value in params.items()}


def _to_plain(name: str, value: Any, how: _Exact) -> Any:
    """Return a plain value; `how` answers for arrays and for what has no plain form."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray | Tensor):
        return how.array(value)
    if isinstance(value, list):
        return [_to_plain(name, v, how) for v in value]
    if isinstance(value, tuple):
        return {"$tuple": [_to_plain(name, v, how) for v in value]}
    if isinstance(value, Mapping):
        return {str(k): _to_plain(name, v, how) for k, v in value.items()}
    if configurations().get(type(value).__name__) is type(value) and hasattr(value, "get_params"):
        params = {k: _to_plain(f"{name}.{k}", v, how) for k, v in value.get_params(deep=False).items()}
        return {"$class": type(value).__name__, "params": params}
    return how.unknown(name, value)


class _Exact:
    """Keeps every digit of an array, and refuses what has no plain form."""

    def array(self, value: np.ndarray | Tensor) -> Any:
        array = _as_numpy(value)
        return {"$array": array.tolist(), "tensor": isinstance(value, Tensor), "dtype": array.dtype.str}

    def unknown(self, name: str, value: Any) -> Any:
        raise ConfigError(f"{name} is a {type(value).__name__}, which cannot be saved; set it to a plain value first.")


class _Described(_Exact):
    """Tells what a value without a plain form is made of, and long arrays by their digest: for comparison only."""

    def __init__(self) -> None:
        self._open: set[int] = set()  # those being described, as a value may hold itself

    def array(self, value: np.ndarray | Tensor) -> Any:
        array = _as_numpy(value)
        if array.size <= SHORT_ARRAY or array.dtype.hasobject:
            return super().array(value)
        digest = hashlib.sha256(array.tobytes()).hexdigest()
        return {"sha256": digest, "shape": list(array.shape), "dtype": array.dtype.str}

    def unknown(self, name: str, value: Any) -> Any:
        code = getattr(value, "__code__", None)
        if hasattr(value, "__qualname__") and code is None:  # a class, or a function that is not written in Python
            return _qualified(value)
        parts = _parts(value)
        if not parts or id(value) in self._open:
            return repr(type(value))
        self._open.add(id(value))
        plain = {key: _to_plain(f"{name}.{key}", part, self) for key, part in parts.items()}
        self._open.remove(id(value))
        name = _qualified(value if code is not None else type(value))  # two lambdas in one place have one name
        return {"$class": name, "params": plain}


def _as_numpy(value: np.ndarray | Tensor) -> np.ndarray:
    if isinstance(value, Tensor) and value.dtype == torch.bfloat16:
        value = value.float()  # NumPy has no such type
    return np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)


def _digest(code: CodeType) -> str:
    """Return what tells the code of a function from others: its steps, names and constants."""
    constants = [_digest(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return hashlib.sha256(repr((code.co_code, code.co_names, constants)).encode()).hexdigest()


def _qualified(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _parts(value: Any) -> dict[str, Any]:
    if (code := getattr(value, "__code__", None)) is not None:
        seen = [cell.cell_contents for cell in value.__closure__ or ()]
        return {"code": _digest(code), "defaults": value.__defaults__, "named": value.__kwdefaults__, "seen": seen}
    if isinstance(value, partial):
        return {"function": value.func, "args": value.args, "keywords": value.keywords}
    slots = [field.name for field in fields(value)] if is_dataclass(value) else []
    return {name: getattr(value, name) for name in slots} | getattr(value, "__dict__", {})


def _from_plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_plain(v) for v in value]
    if not isinstance(value, dict):
        return value
    if "$tuple" in value:
        return tuple(_from_plain(v) for v in value["$tuple"])
    if "$array" in value:
        array = np.asarray(value["$array"], dtype=value.get("dtype"))  # files written before name no type
        return torch.as_tensor(array) if value["tensor"] else array
    if "$class" in value:
        return configurations()[value["$class"]](**{k: _from_plain(v) for k, v in value["params"].items()})
    return {k: _from_plain(v) for k, v in value.items()}


def configurations(modules: Iterable[str] = CONFIGURATIONS) -> dict[str, type]:
    """Return the public classes of some modules by name: the only ones a file may name, apart from the methods.

    Parameters
    ----------
    modules : iterable of str
        Their names in this package.
    """
    homes = [import_module(f"steinmix.{name}") for name in modules]
    found = {name: getattr(home, name) for home in homes for name in home.__all__}
    return {n: c for n, c in found.items() if isinstance(c, type) and not getattr(c, "_is_protocol", False)}
