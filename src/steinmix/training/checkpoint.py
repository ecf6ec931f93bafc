"""Checkpoints: everything a run needs to go on as if it had never stopped.

A checkpoint is one folder per epoch with ``state.safetensors`` and ``state.json``: module, optimisers, generators,
history and position. It is written beside its place and renamed into it, so a reader never meets half a file; two
generations are kept, and a damaged newest one falls back to the one before.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .._files import discard_folder, read_folder, write_folder
from ..errors import ConfigError, ModelFileError, SteinmixWarning
from ..objective import Phase
from .averaging import Average
from .distributed import any_process, from_main
from .termination import Termination

if TYPE_CHECKING:
    from .loop import RunState

__all__ = ["Checkpoint", "Checkpoints", "root_seed"]

KEPT = 2
"""Generations kept."""

SCHEMA = 1
"""Version of what a checkpoint holds."""


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
        self._termination: Termination | None = None

    def guard(self) -> Termination:
        """Return a context in which SIGTERM ends the run after the next `write`."""
        self._termination = Termination(self.folder)
        return self._termination

    def write(self, state: RunState) -> None:
        """Write the state after an epoch and drop all but the newest two.

        Raises
        ------
        ModelFileError
            If it cannot be written; the checkpoints before it are left as they are.
        Terminated
            If SIGTERM came meanwhile.
        """
        tensors: dict[str, Tensor] = {f"module.{k}": v for k, v in state.module.state_dict().items()}
        optimizers = [_split(o.state_dict(), f"optimizer{i}", tensors) for i, o in enumerate(state.optimizers)]
        if state.average is not None:
            tensors |= {f"average.{k}": v for k, v in state.average.tensors.items()}
        position = {"phase": state.phase, "epoch": state.epoch, "step": state.step}
        meta = {"schema": SCHEMA, "torch": torch.__version__, "fingerprint": self.fingerprint}
        meta |= {"device": state.streams.device.type, "position": position, "optimizers": optimizers}
        if state.average is not None:
            meta["average"] = {"decay": state.average.decay, "steps": state.average.steps}
        meta |= {"streams": state.streams.state_dict(), "history": state.history}
        from_main(lambda: self._write(f"{state.epochs_done:06d}", meta, tensors))
        if self._termination is not None and any_process(self._termination.requested):
            self._termination.stop()

    def _write(self, name: str, meta: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        try:
            discard_folder(self.folder / name)  # a damaged one that a resumed run writes again
            write_folder(self.folder / name, "state", meta, tensors)
        except OSError as error:
            raise ModelFileError(
                f"{error} The checkpoints before it are sound: make room, then go on with resume=True (--resume)."
            ) from error
        for old in self._generations()[:-KEPT]:
            discard_folder(old)

    def restore(self, state: RunState, optimizers: Callable[[Phase], list[torch.optim.Optimizer]]) -> bool:
        """Put `state` where the newest sound checkpoint was; says whether that is inside a phase.

        Raises
        ------
        ConfigError
            If the checkpoint is of another configuration, or one is there and `resume` is false.
        ModelFileError
            If every generation is damaged, of another version, or the folder cannot be written to.
        """
        from_main(self._make_ready)
        found = from_main(self._newest)
        if found is None:
            return False
        meta, tensors = found
        if not self.resume:
            raise ConfigError(
                f"{self.folder} already has checkpoints; pass resume=True (--resume) to go on from them, or remove it."
            )
        self._check(meta, state.streams.device.type)
        try:
            self._put(state, optimizers, meta, tensors)
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            raise ModelFileError(
                f"the checkpoint in {self.folder} does not fit this version of the method: {error}; "
                "use the version that wrote it, or another folder."
            ) from error
        return True

    def _put(
        self,
        state: RunState,
        optimizers: Callable[[Phase], list[torch.optim.Optimizer]],
        meta: dict[str, Any],
        tensors: dict[str, Tensor],
    ) -> None:
        module = {k.removeprefix("module."): v for k, v in tensors.items() if k.startswith("module.")}
        state.module.load_state_dict(module)
        state.phase, state.epoch, state.step = (meta["position"][k] for k in ("phase", "epoch", "step"))
        state.optimizers = optimizers(state.current)
        for optimizer, plain in zip(state.optimizers, meta["optimizers"], strict=True):
            optimizer.load_state_dict(_join(plain, tensors))
        if "average" in meta:
            averages = {k.removeprefix("average."): v for k, v in tensors.items() if k.startswith("average.")}
            state.average = Average(state.module, **meta["average"], tensors=averages)
        state.streams.load_state_dict(meta["streams"])
        state.history.extend(meta["history"])

    def _make_ready(self) -> None:
        """Say now, not after an epoch, that the folder cannot be written to; remove what killed processes left."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            os.rmdir(tempfile.mkdtemp(prefix=".probe.", dir=self.folder))
        except OSError as error:
            raise ModelFileError(
                f"cannot write checkpoints to {self.folder}: {error.strerror or error}; choose another folder."
            ) from error
        for left in self.folder.glob(".[0-9]*.*"):
            shutil.rmtree(left, ignore_errors=True)

    def _generations(self) -> list[Path]:
        found = [p for p in self.folder.glob("[0-9]*") if p.is_dir() and p.name.isdigit()]
        return sorted(found, key=lambda p: int(p.name))

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

    def _check(self, meta: dict[str, Any], device: str) -> None:
        if meta.get("schema") != SCHEMA:
            raise ModelFileError(
                f"the checkpoint in {self.folder} has schema {meta.get('schema')!r}; this version reads {SCHEMA}. "
                "Use the version of steinmix that wrote it, or another folder."
            )
        for name, before, now in _differences("", meta["fingerprint"], self.fingerprint):
            raise ConfigError(
                f"the checkpoint in {self.folder} is of another run: {name} was {before!r} and is now {now!r}; "
                "use the old setting or another folder."
            )
        if (before := meta.get("device", device)) != device:  # whose generators do not go on elsewhere
            raise ConfigError(
                f"the checkpoint in {self.folder} was written on {before!r}, and training is on {device!r}; go on with "
                f"training__device={before!r}, or use another folder."
            )
        if meta["torch"] != torch.__version__:
            warnings.warn(
                f"the checkpoint in {self.folder} was written with torch {meta['torch']}, and this is "
                f"{torch.__version__}: the last bits may differ from those of an uninterrupted run.",
                SteinmixWarning,
                stacklevel=4,
            )


class Checkpoints:
    """The folder a fit writes the states of its runs to.

    Parameters
    ----------
    folder : path or None
        None keeps nothing.
    fingerprint : mapping
        Of the fit, as in `Checkpoint`.
    resume : bool
        As in `Checkpoint`.
    """

    def __init__(self, folder: str | Path | None, fingerprint: dict[str, Any], resume: bool) -> None:
        self.folder, self.fingerprint, self.resume = folder, fingerprint, resume

    def of(self, runs: Mapping[str, int]) -> list[Checkpoint | None]:
        """Return where each run keeps its states; None where nothing is kept.

        Parameters
        ----------
        runs : mapping of str to int
            Sub-folder -> seed, of all runs of the fit.

        Raises
        ------
        ConfigError
            If states lie elsewhere: those of a fit with other restarts, which would be passed over.
        """
        if self.folder is None:
            return [None] * len(runs)
        folder = Path(self.folder)
        if others := from_main(lambda: sorted(_run_folders(folder) - runs.keys())):
            raise ConfigError(
                f"{folder} has checkpoints in {', '.join(others)}, and this fit would keep its own in "
                f"{', '.join(runs)}; use the n_init and n_jobs they were written with, or another folder."
            )
        named = [(folder / name, self.fingerprint | {"seed": str(seed)}) for name, seed in runs.items()]
        return [Checkpoint(own, fingerprint, self.resume) for own, fingerprint in named]


def _run_folders(folder: Path) -> set[str]:
    """Return the sub-folders that hold generations, "." for the folder itself."""
    states = [path.parent for depth in ("*", "*/*") for path in folder.glob(f"{depth}/state.json")]
    return {path.parent.relative_to(folder).as_posix() for path in states if path.name.isdigit()}


def root_seed(folder: str | Path) -> int | None:
    """Return the seed of the fit whose checkpoints lie in a folder; None without a sound one.

    Parameters
    ----------
    folder : path
        Of one run, or with a folder for each restart.
    """
    for path in sorted(Path(folder).rglob("state.json")):
        with contextlib.suppress(ModelFileError, KeyError):  # other generations or restarts may be sound
            return int(read_folder(path.parent, "state")[0]["fingerprint"]["root_seed"])
    return None


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


def _join(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Undo `_split`."""
    if isinstance(value, dict) and "$tensor" in value:
        return tensors[value["$tensor"]]
    if isinstance(value, dict):
        return {k: _join(v, tensors) for k, v in value["$dict"]}
    if isinstance(value, list):
        return [_join(v, tensors) for v in value]
    return value
