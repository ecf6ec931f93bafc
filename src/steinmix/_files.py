"""Files that are whole or not there: a folder with a JSON text and a safetensors file, written atomically.

Reading never runs code and never unpickles. The JSON carries digests of itself and of the tensors, so that a truncated
or altered file is noticed before anything is made of it.

A folder that replaces an earlier one is written beside it. Then the earlier one is moved aside, the new one takes its
name, and the earlier one is removed. A process that dies between the two renames leaves nothing under the name, but the
earlier folder, whole, beside it, where `standing` finds it: there is no moment without one or the other.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as render_tensors
from torch import Tensor

from .errors import ModelFileError, SteinmixWarning

__all__ = ["discard_folder", "new_file", "new_folder", "read_folder", "standing", "write_folder", "write_text"]

FORMAT = "steinmix"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _canonical(meta: Mapping[str, Any]) -> bytes:
    return json.dumps(meta, sort_keys=True, separators=(",", ":")).encode()


def _write(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a file to write; it appears at `path`, replacing an earlier one, when all went well.

    The mode is that of the earlier file, or what the umask leaves; a link stays, and what it points to is replaced.
    """
    path = path.resolve()
    temporary = _beside(path)
    try:
        # Nobody may read half of a file who may not read the whole of the earlier one.
        mode = path.stat().st_mode & 0o777 | 0o200 if path.exists() else 0o666
        temporary.touch(mode, exist_ok=False)
        yield temporary
        _sync(temporary)
        if path.exists():
            shutil.copymode(path, temporary)
        temporary.replace(path)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error  # what wrote names no file
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path, hidden: bool = True) -> Iterator[Path]:
    """Give a folder to fill; it becomes `folder`, replacing an earlier one, when all went well. A link stays.

    Parameters
    ----------
    folder : Path
    hidden : bool, default=True
        Whether the name of the one to fill is hidden; else it is ``NAME.partial-...``, for what takes long.
    """
    folder = folder.resolve()
    temporary = _beside(folder) if hidden else folder.with_name(f"{folder.name}.partial-{token_hex(4)}")
    temporary.mkdir()
    try:
        yield temporary
        _sync(temporary)
        _replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _beside(path: Path) -> Path:
    """Return a hidden name beside `path` that no other has, for `touch` or `mkdir`, which heed the umask."""
    return path.with_name(f".{path.name}.{token_hex(4)}")


def write_text(path: str | Path, text: str) -> None:
    """Write a text file that is either whole or not there.

    Raises
    ------
    ModelFileError
        If it cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_file(path) as temporary:
            temporary.write_bytes(text.encode())
    except OSError as error:
        raise ModelFileError(f"cannot write {path}: {error.strerror or error}.") from error


def write_folder(folder: Path, stem: str, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write ``<stem>.json`` and ``<stem>.safetensors`` into `folder`, replacing one of the same kind.

    A link stays, and what it points to is replaced.

    Raises
    ------
    ModelFileError
        If it cannot be written, or `folder` holds something else; nothing is left behind then.
    """
    kept = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    data = render_tensors(kept)
    body = {"format": FORMAT, "content": dict(meta), "tensors_sha256": _digest(data)}
    # On one line: with indentation Python encodes several times slower, which long histories in checkpoints feel.
    text = json.dumps(body | {"sha256": _digest(_canonical(body))}).encode()
    try:
        _refuse_foreign(folder, stem)
        folder.resolve().parent.mkdir(parents=True, exist_ok=True)
        with new_folder(folder) as temporary:
            _write(temporary / f"{stem}.safetensors", data)
            _write(temporary / f"{stem}.json", text)
    except OSError as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"cannot write {folder}: {error.strerror or error}.") from error


def _refuse_foreign(folder: Path, stem: str) -> None:
    """Raise unless `folder` is new, empty, or holds nothing but what `write_folder` once wrote there."""
    if folder.is_file():
        raise ModelFileError(f"cannot write {folder}: it is a file; expected a new or an earlier model folder.")
    found = {p.name for p in folder.iterdir()} if folder.is_dir() else set()
    if found and (found != {f"{stem}.json", f"{stem}.safetensors"} or not _is_ours(folder / f"{stem}.json")):
        raise ModelFileError(f"cannot write {folder}: the folder holds other files; choose a new or empty one.")


def _is_ours(text_path: Path) -> bool:
    try:
        body = json.loads(text_path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and body.get("format") == FORMAT


def _sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace_folder(temporary: Path, folder: Path) -> None:
    """Rename `temporary`, which stands beside it, to `folder`; an earlier folder is moved aside first, removed last."""
    aside = folder.with_name(f".{folder.name}.{token_hex(4)}.old")
    if folder.exists():
        folder.rename(aside)
    try:
        temporary.rename(folder)
    except BaseException:
        if aside.exists():
            aside.rename(folder)
        raise
    _sync(folder.parent)
    for earlier in _aside(folder):
        shutil.rmtree(earlier, ignore_errors=True)


def _aside(folder: Path) -> list[Path]:
    """Return the earlier folders of this name that were moved aside and not removed, the newest last."""
    folder = folder.resolve()  # links are written through
    named = re.compile(rf"\.{re.escape(folder.name)}\.[^.]+\.old")
    found = [p for p in folder.parent.iterdir() if named.fullmatch(p.name)] if folder.parent.is_dir() else []
    return sorted(found, key=lambda p: p.stat().st_ctime_ns)


def standing(folder: Path) -> Path:
    """Return `folder`, or, if a process died while it replaced it, the earlier one that it had moved aside."""
    if folder.exists():
        return folder
    earlier = _aside(folder)
    if not earlier:
        return folder
    warnings.warn(
        f"{folder} was being replaced when the process died; what it was before, {earlier[-1].name}, is used.",
        SteinmixWarning,
        stacklevel=3,
    )
    return earlier[-1]


def discard_folder(folder: Path) -> None:
    """Remove a folder if it is there; nobody meets half of it under its name."""
    hidden = folder.with_name(f".{folder.name}.discarded")
    shutil.rmtree(hidden, ignore_errors=True)  # of a process that died here
    if folder.exists():
        folder.rename(hidden)
        shutil.rmtree(hidden, ignore_errors=True)


def read_folder(folder: str | Path, stem: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what `write_folder` was given.

    Raises
    ------
    ModelFileError
        If a file is missing, truncated, altered or foreign; it says which and why.
    """
    folder = standing(Path(folder))
    text_path, data_path = folder / f"{stem}.json", folder / f"{stem}.safetensors"
    try:
        text, data = text_path.read_bytes(), data_path.read_bytes()
    except OSError as error:
        raise ModelFileError(
            f"cannot read {error.filename}: {error.strerror}; expected a folder made by steinmix."
        ) from error
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{text_path} is not JSON ({error}); it is damaged or foreign.") from error
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise ModelFileError(f'{text_path} was not written by steinmix; expected "format": "{FORMAT}".')
    recorded = body.pop("sha256", None)
    if recorded != _digest(_canonical(body)):
        raise ModelFileError(f"{text_path} was changed after it was written (its digest does not match).")
    if not isinstance(body.get("content"), dict) or "tensors_sha256" not in body:
        raise ModelFileError(f"{text_path} is incomplete; expected a file written by steinmix.")
    if body["tensors_sha256"] != _digest(data):
        raise ModelFileError(f"{data_path} is truncated or was changed (its digest does not match {text_path.name}).")
    try:
        return body["content"], parse_tensors(data)
    except SafetensorError as error:
        raise ModelFileError(f"{data_path} is not a safetensors file: {error}.") from error
