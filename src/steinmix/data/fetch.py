"""Find a published data file: in a folder of yours, in the cache, or at its public home; and verify it.

Nothing is fetched on import or by `fit`; calling a loader is asking for it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import ChecksumError, ConfigError, DataError
from ._common import require

__all__ = ["ENVIRONMENT_VARIABLE", "cache_folder", "find", "locate"]

ENVIRONMENT_VARIABLE = "STEINMIX_DATA"

# (path, time of change, bytes) -> digest, so that a file is read for its checksum once a process.
_DIGESTS: dict[tuple[str, int, int], str] = {}


def locate(
    relative_path: str, urls: str | Sequence[str] = (), sha256: str | None = None, *, download: bool = True
) -> Path:
    """Return the path of a verified data file.

    The file is looked for in the folder that the environment variable ``STEINMIX_DATA`` names, then in the
    cache of the user, and is then downloaded to the cache from the first of `urls` that works. A download
    appears in the cache whole or not at all.

    Parameters
    ----------
    relative_path : str
        Such as ``mnist/train-images-idx3-ubyte.gz``; the same below the folder and below the cache.
    urls : str or sequence of str
        Public homes of the file, in order of preference; none for a file that has no public home.
    sha256 : str or None
        Hexadecimal digest of the file; None if none is known, when the caller checks the content.
    download : bool
        Whether to download a file that is not there.

    Returns
    -------
    Path

    Raises
    ------
    ChecksumError
        If the file is not the published one.
    DataError
        If the file is not there and could not, or should not, be downloaded.
    ConfigError
        If a download needs pooch and it is not installed.
    """
    urls = (urls,) if isinstance(urls, str) else tuple(urls)
    found = find(relative_path)
    if found is not None:
        return _verify(found, sha256)
    if not urls or not download:
        raise DataError(_missing(relative_path, urls))
    return _download(relative_path, urls, sha256)


def find(relative_path: str) -> Path | None:
    """Return the path of a data file in the named folder or the cache; None if it is in neither. Nothing is read."""
    return next((folder / relative_path for folder in _folders() if (folder / relative_path).is_file()), None)


def _verify(path: Path, sha256: str | None) -> Path:
    """Return `path` if the file has the digest `sha256` (or if that is None).

    Raises
    ------
    ChecksumError
        If it has not.
    """
    if sha256 is None:
        return path
    status = path.stat()
    key = (str(path.resolve()), status.st_mtime_ns, status.st_size)
    if key not in _DIGESTS:
        with path.open("rb") as file:
            _DIGESTS[key] = hashlib.file_digest(file, "sha256").hexdigest()
    if _DIGESTS[key] != sha256:
        raise ChecksumError(
            f"{path} has SHA-256 {_DIGESTS[key]}; expected {sha256}, that of the published file. "
            "Delete the file and fetch it again."
        )
    return path


def cache_folder() -> Path:
    """Return the folder downloads are kept in: ``steinmix`` in the user's cache folder of this system.

    Raises
    ------
    ConfigError
        If pooch is not installed.
    """
    require("pooch", "Downloading data")
    import pooch

    return Path(pooch.os_cache("steinmix"))


def _folders() -> list[Path]:
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    folders = [Path(named).expanduser()] if named else []
    try:
        return [*folders, cache_folder()]
    except ConfigError:  # without pooch there is no cache, and files in the named folder need none
        return folders


def _missing(relative_path: str, urls: Sequence[str]) -> str:
    looked = " and ".join(map(str, _folders())) or "no folder"
    what = f"The data file {relative_path} was not found (looked in {looked}). "
    if urls:
        return what + f"Allow the download from {urls[0]} with download_if_missing=True, or set {ENVIRONMENT_VARIABLE}."
    return what + (
        f"It has no public home to be downloaded from. Put it below a folder as {relative_path} and set the "
        f"environment variable {ENVIRONMENT_VARIABLE} to that folder."
    )


def _download(relative_path: str, urls: Sequence[str], sha256: str | None) -> Path:
    failures: list[str] = []
    mismatch = False
    for url in urls:
        try:
            return _retrieve(url, cache_folder() / relative_path, sha256)
        except OSError as err:  # requests' errors are OSErrors
            failures.append(f"{url}: {err}")
        except ChecksumError as err:
            failures.append(str(err))
            mismatch = True
    lines = "\n".join(failures)
    raise (ChecksumError if mismatch else DataError)(
        f"The data file {relative_path} could not be fetched:\n{lines}\nTry again later, or put the "
        f"published file below a folder as {relative_path} and set the environment variable "
        f"{ENVIRONMENT_VARIABLE} to that folder."
    )


def _retrieve(url: str, target: Path, sha256: str | None) -> Path:
    """pooch writes to a temporary file beside the target and renames it."""
    import pooch

    try:
        pooch.retrieve(url, sha256 and f"sha256:{sha256}", fname=target.name, path=target.parent)
    except ValueError as err:  # what pooch raises for a wrong digest; nothing was kept
        raise ChecksumError(f"{url}: got other bytes than those of SHA-256 {sha256} ({err}).") from err
    return target
