"""Human activity recognition with a smartphone: the published 561 features, and the same recomputed."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from .._common import reading
from ._card import Card, Remote, absence, check_counts, check_shape, choice, hand_out

__all__ = ["absent", "load_har", "load_har_recomputed"]

_CITATION = (
    "D. Anguita, A. Ghio, L. Oneto, X. Parra, J.-L. Reyes-Ortiz. A public domain dataset for human activity "
    "recognition using smartphones. ESANN, 2013."
)
_CARD = Card(
    name="har",
    title="UCI HAR, smartphone activities, published features",
    source="UCI repository, set 240, X_train.txt and X_test.txt of the archive",
    licence="CC BY 4.0 (UCI); the archive's own README forbids commercial use",
    size="10,299 rows x 561 columns, 6 classes; train 7,352, then test 2,947",
    preparation="as distributed, in [-1, 1]; float32; classes 1..6 become 0..5. VaDE calls this set HHAR",
    citation=_CITATION,
)
_RECOMPUTED = Card(
    name="har_recomputed",
    title="Smartphone activities, features recomputed from the published raw recordings",
    source="raw signals of Smartphone-Based Recognition of Human Activities and Postural Transitions v2.1 (UCI)",
    licence="CC BY 4.0 (UCI); the archive's own README forbids commercial use",
    size="10,411 rows x 561 columns, 6 classes; train 7,415, then test 2,996",
    preparation="561 features after features_info.txt, each scaled to [-1, 1] over all rows; not the "
    "published numbers: state 'recomputed features' with any result",
    citation="J.-L. Reyes-Ortiz, L. Oneto, A. Sama, X. Parra, D. Anguita. Transition-aware human activity "
    "recognition using smartphones. Neurocomputing 171, 2016. " + _CITATION,
)
_REMOTE = Remote(
    "har/human+activity+recognition+using+smartphones.zip",
    ("https://archive.ics.uci.edu/static/public/240/human+activity+recognition+using+smartphones.zip",),
)
_REMOTE_RECOMPUTED = Remote(
    "har/har_561_recomputed.npz", (), "464094188090e3872889bd3cd9e16b43b7e84e4d3c62bd16c3d1b04f98024113"
)
_NAMES = ["WALKING", "WALKING_UPSTAIRS", "WALKING_DOWNSTAIRS", "SITTING", "STANDING", "LAYING"]
_COUNTS = (1722, 1544, 1406, 1777, 1906, 1944)
_COUNTS_RECOMPUTED = (1722, 1544, 1407, 1801, 1979, 1958)


def load_har(
    *,
    features: str = "published",
    return_X_y: bool = False,
    as_frame: bool = False,
    download_if_missing: bool = True,
) -> Any:
    """Load the 561 features of smartphone activities (UCI HAR; "HHAR" in VaDE).

    Source: UCI repository, set 240. Licence: CC BY 4.0 (UCI); the archive's own README forbids commercial
    use. Size: 10,299 rows (train 7,352, then test 2,947), 561 columns, 6 classes; 60 MB to download.

    The archive has no published checksum; shape, range and class sizes are checked against the published
    table.

    Parameters
    ----------
    features : {'published', 'recomputed'}
        'recomputed' is `load_har_recomputed`.
    return_X_y : bool
        Return (data, target) only.
    as_frame : bool
        Return pandas objects.
    download_if_missing : bool
        Download the archive if it is neither in ``STEINMIX_DATA`` nor in the cache.

    Returns
    -------
    Bunch
        ``data`` (10299, 561) float32 in [-1, 1]; ``target`` (10299,); ``subject`` (10299,), the volunteer
        1..30; ``split`` (10299,), 0 for train, 1 for test.
    """
    choice("features", features, ["published", "recomputed"])
    if features == "recomputed":
        return load_har_recomputed(return_X_y=return_X_y, as_frame=as_frame)
    found = _published(_REMOTE.locate(download_if_missing))
    target = found["y"].astype(np.int64).ravel() - 1
    check_shape("UCI HAR", found["X"].shape, (10299, 561))
    check_counts("UCI HAR", target, _COUNTS)
    if np.abs(found["X"]).max() > 1:
        raise DataError("UCI HAR holds values beyond [-1, 1]; expected the published features. Fetch it again.")
    return hand_out(
        _CARD,
        found["X"].astype(np.float32),
        target,
        feature_names=found["names"],
        target_names=_NAMES,
        return_X_y=return_X_y,
        as_frame=as_frame,
        subject=found["subject"].astype(np.int64).ravel(),
        split=found["split"],
    )


def load_har_recomputed(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Load the 561 smartphone features as recomputed from the published raw recordings.

    Source: raw signals of the UCI set *Postural Transitions* v2.1. Licence: CC BY 4.0 (UCI); the archive's
    own README forbids commercial use. Size: 10,411 rows (train 7,415, then test 2,996), 561 columns, 6
    classes.

    The file has no public home: it is found only below the folder that ``STEINMIX_DATA`` names, as
    ``har/har_561_recomputed.npz``. Where comparison was possible (66 means and deviations) the median
    correlation with the published features is 0.9999; state "recomputed features" with any number.

    Parameters
    ----------
    return_X_y : bool
        Return (data, target) only.
    as_frame : bool
        Return pandas objects.

    Returns
    -------
    Bunch
        ``data`` (10411, 561) float32 in [-1, 1]; ``target`` (10411,); ``subject`` (10411,), the volunteer
        1..30; ``split`` (10411,), 0 for train, 1 for test.
    """
    path = _REMOTE_RECOMPUTED.locate()
    with reading(path, "the .npz file of recomputed features"), np.load(path, allow_pickle=False) as file:
        found = dict(file)
    target = found["y"].astype(np.int64) - 1
    check_shape("recomputed HAR", found["X"].shape, (10411, 561))
    check_counts("recomputed HAR", target, _COUNTS_RECOMPUTED)
    return hand_out(
        _RECOMPUTED,
        found["X"],
        target,
        feature_names=[f"{i} {name}" for i, name in enumerate(found["feature_names"], start=1)],
        target_names=_NAMES,
        return_X_y=return_X_y,
        as_frame=as_frame,
        subject=found["subject"].astype(np.int64),
        split=found["split"].astype(np.int64),
    )


def absent() -> str:
    """Return why the recomputed features are not here; empty if they are."""
    return absence(_RECOMPUTED.name, [_REMOTE_RECOMPUTED])


def _published(path: Path) -> dict[str, Any]:
    """Read train, then test, from the archive."""
    with reading(path, "the zip archive of UCI HAR"), zipfile.ZipFile(path) as outer:
        archive = _innermost(outer)
        parts = {
            key: [_numbers(archive, f"{part}/{key}_{part}.txt") for part in ("train", "test")]
            for key in ("X", "y", "subject")
        }
        names = _feature_names(archive)
    found: dict[str, Any] = {key: np.concatenate(arrays) for key, arrays in parts.items()}
    return found | {"names": names, "split": np.repeat([0, 1], [len(y) for y in parts["y"]])}


def _innermost(archive: zipfile.ZipFile) -> zipfile.ZipFile:
    """The repository wraps the original archive in another one."""
    nested = [name for name in archive.namelist() if name.endswith(".zip") and "__MACOSX" not in name]
    return zipfile.ZipFile(io.BytesIO(archive.read(nested[0]))) if nested else archive


def _member(archive: zipfile.ZipFile, ending: str) -> bytes:
    names = [n for n in archive.namelist() if n.endswith(f"/{ending}") and "__MACOSX" not in n]
    if not names:
        raise DataError(f"{archive.filename or 'The archive'} lacks {ending}; expected UCI HAR. Fetch it again.")
    return archive.read(names[0])


def _numbers(archive: zipfile.ZipFile, ending: str) -> np.ndarray:
    return np.loadtxt(io.BytesIO(_member(archive, ending)), ndmin=2)


def _feature_names(archive: zipfile.ZipFile) -> list[str]:
    """Keep the number before each name: names of band energies repeat."""
    lines = _member(archive, "features.txt").decode().split("\n")
    return [" ".join(line.split()) for line in lines if line.strip()]
