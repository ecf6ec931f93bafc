"""Checkpoints: everything a run needs to go on as if it had never stopped.

A checkpoint is one folder per epoch with ``state.safetensors`` and ``state.json``: module, optimisers, generators,
history and position. It is written beside its place and renamed into it, so a reader never meets half a file; two
generations are kept, and a damaged newest one falls back to the one before.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .._files import read_folder, write_folder
from ..errors import ConfigError, ModelFileError
from ..objective import Phase

if TYPE_CHECKING:
    from .loop import RunState

__all__ = ["Checkpoint"]

KEPT = 2
"""Generations kept."""


class Checkpoint:
    """The folder a run writes its state to.

    Parameters
    ----------
    folder : path
        Created if missing.
    fingerprint : mapping
        Plain values that name the configuration; a checkpoint of another one is refused.
    resume : bool
        Go on from the newest sound checkpoint, if there is one. Otherwise a folder that has any is refused.
    """

    def __init__(self, folder: str | Path, fingerprint: dict[str, Any], resume: bool) -> None:
        self.folder, self.resume = Path(folder), resume
        self.fingerprint = json.loads(json.dumps(fingerprint))

    def write(self, state: RunState) -> None:
        """Write the state after an epoch and drop all but the newest two."""
        tensors: dict[str, Tensor] = {f"module.{k}": v for k, v in state.module.state_dict().items()}
        optimizers = [_split(o.state_dict(), f"optimizer{i}", tensors) for i, o in enumerate(state.optimizers)]
        position = {"phase": state.phase, "epoch": state.epoch, "step": state.step}
        meta = {"fingerprint": self.fingerprint, "position": position, "optimizers": optimizers}
        meta |= {"streams": state.streams.state_dict(), "history": state.history}
        target = self.folder / f"{state.epochs_done:06d}"
        shutil.rmtree(target, ignore_errors=True)  # a damaged one that a resumed run writes again
        write_folder(target, "state", meta, tensors)
        for old in self._generations()[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def restore(self, state: RunState, optimizers: Callable[[Phase], list[torch.optim.Optimizer]]) -> bool:
        """Put `state` where the newest sound checkpoint was; says whether that is inside a phase.

        Raises
        ------
        ConfigError
            If the checkpoint is of another configuration, or one is there and `resume` is false.
        ModelFileError
            If every generation is damaged.
        """
        found = self._newest()
        if found is None:
            return False
        meta, tensors = found
        if not self.resume:
            raise ConfigError(
                f"{self.folder} already has checkpoints; pass resume=True to go on from them, or remove it."
            )
        self._check(meta["fingerprint"])
        state.module.load_state_dict(
            {k.removeprefix("module."): v for k, v in tensors.items() if k.startswith("module.")}
        )
        state.phase, state.epoch, state.step = (meta["position"][k] for k in ("phase", "epoch", "step"))
        state.optimizers = optimizers(state.phases[state.phase])
        for i, (optimizer, plain) in enumerate(zip(state.optimizers, meta["optimizers"])):
            optimizer.load_state_dict(_join(plain, f"optimizer{i}", tensors))
        state.streams.load_state_dict(meta["streams"])
        state.history.extend(meta["history"])
        return True

    def _generations(self) -> list[Path]:
        return sorted(p for p in self.folder.glob("[0-9]*") if p.is_dir() and p.name.isdigit())

    def _newest(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        reasons: list[str] = []
        for folder in reversed(self._generations()):
            try:
                return read_folder(folder, "state")
            except ModelFileError as error:
                reasons.append(str(error))
        if reasons:
            raise ModelFileError("no sound checkpoint: " + "; ".join(reasons))
        return None

    def _check(self, fingerprint: dict[str, Any]) -> None:
        for name, before, now in _differences("", fingerprint, self.fingerprint):
            raise ConfigError(
                f"the checkpoint in {self.folder} is of another run: {name} was {before!r} and is now {now!r}; "
                "use the old setting or another folder."
            )


def _differences(name: str, before: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted name, before, now) where two nested plain values differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            inner = name if key in ("params", "$class") else f"{name}.{key}".lstrip(".")
            yield from _differences(inner, before.get(key), now.get(key))
    elif before != now:
        yield name, before, now


def _split(value: Any, key: str, tensors: dict[str, Tensor]) -> Any:
    """Replace the tensors of a nested state by their names in `tensors`."""
    if isinstance(value, Tensor):
        tensors[key] = value
        return {"$tensor": key}
    if isinstance(value, dict):
        return {"$dict": [[k, _split(v, f"{key}.{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        return [_split(v, f"{key}.{i}", tensors) for i, v in enumerate(value)]
    return value


def _join(value: Any, key: str, tensors: dict[str, Tensor]) -> Any:
    """Undo `_split`."""
    if isinstance(value, dict) and "$tensor" in value:
        return tensors[value["$tensor"]]
    if isinstance(value, dict):
        return {k: _join(v, key, tensors) for k, v in value["$dict"]}
    if isinstance(value, list):
        return [_join(v, key, tensors) for v in value]
    return value
