"""The whole of RCV1-v2 with four root topics, 685,071 news stories, from its published vectors and topic codes."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._common import reading
from ._card import Card, Remote, absence, check_shape, hand_out
from .rcv1 import N_STEMS, ROOTS, frequent_stems

__all__ = ["absent", "load_reuters"]

_CARD = Card(
    name="reuters",
    title="RCV1-v2, four root topics, the whole corpus",
    source="vectors and topic codes of LYRL2004 (JMLR 5, online appendices 8 and 13), in the copies that scikit-learn "
    "fetches from figshare",
    licence="vectors distributed for research; no story texts are included",
    size="685,071 rows x 2,000 columns (sparse), 4 classes",
    preparation="stories with exactly one root topic, those of the published training part first; the 2,000 stems "
    "found in most stories; log-tf x idf, rows of unit length. DEC and VaDE count terms anew and choose the stems by "
    "their number of occurrences: close, not equal. Both scale the rows before training: not done here",
    citation="D. Lewis, Y. Yang, T. Rose, F. Li. RCV1: a new benchmark collection for text categorization "
    "research. JMLR 5, 2004.",
)
_HOME = "https://ndownloader.figshare.com/files/"
_VECTORS = tuple(
    Remote(f"rcv1/lyrl2004_vectors_{part}.dat.gz", (_HOME + number,), sha256)
    for part, number, sha256 in (
        ("train", "5976057", "5468f656d0ba7a83afc7ad44841cf9a53048a5c083eedc005dcdb5cc768924ae"),
        ("test_pt0", "5976069", "ed40f7e418d10484091b059703eeb95ae3199fe042891dcec4be6696b9968374"),
        ("test_pt1", "5976066", "87700668ae45d45d5ca1ef6ae9bd81ab0f5ec88cc95dcef9ae7838f727a13aa6"),
        ("test_pt2", "5976063", "48143ac703cbe33299f7ae9f4995db49a258690f60e5debbff8995c34841c7f5"),
        ("test_pt3", "5976060", "dfcb0d658311481523c6e6ca0c3f5a3e1d3d12cde5d7a8ce629a9006ec7dbb39"),
    )
)
_TOPICS = Remote(
    "rcv1/rcv1-v2.topics.qrels.gz",
    (_HOME + "5976048",),
    "2a98e5e5d8b770bded93afc8930d88299474317fe14181aee1466cc754d0d1c1",
)
N_STORIES, N_TERMS = 685_071, 47_236


def load_reuters(*, return_X_y: bool = False, as_frame: bool = False, download_if_missing: bool = True) -> Any:
    """Load all stories of RCV1-v2 that have exactly one of four root topics ("Reuters" in DEC and VaDE).

    Source: the vectors and topic codes of Lewis et al. (2004), verified by the SHA-256 that scikit-learn states.
    Licence: distributed for research. Size: 685,071 rows, 2,000 columns (sparse), 4 classes; 656 MB to
    download, some minutes and about 2 GB of memory to read.

    The five files of vectors and the file of topics are looked for as ``rcv1/lyrl2004_vectors_*.dat.gz`` and
    ``rcv1/rcv1-v2.topics.qrels.gz``. What `sklearn.datasets.fetch_rcv1` keeps cannot be read: it is pickled, and
    loading a pickle runs code.

    Parameters
    ----------
    return_X_y : bool
        Return (data, target) only.
    as_frame : bool
        Return pandas objects.
    download_if_missing : bool
        Download the files if they are neither in ``STEINMIX_DATA`` nor in the cache.

    Returns
    -------
    Bunch
        ``data`` (685071, 2000) CSR float32, rows of unit length; ``target`` (685071,).
    """
    files = [remote.locate(download_if_missing) for remote in (_TOPICS, *_VECTORS)]
    stories, target = _read(files[0], files[1:])
    check_shape("RCV1-v2", stories.shape, (N_STORIES, N_TERMS))
    data, stems = frequent_stems(stories, N_STEMS)
    check_shape("RCV1-v2, stems", data.shape, (N_STORIES, N_STEMS))
    return hand_out(
        _CARD,
        data,
        target,
        feature_names=[f"stem_{i}" for i in stems],
        target_names=ROOTS,
        return_X_y=return_X_y,
        as_frame=as_frame,
    )


def absent() -> str:
    """Return why the corpus is not here; empty if it is."""
    return absence(_CARD.name, (_TOPICS, *_VECTORS))


def _read(topics: Path, vectors: Sequence[Path]) -> tuple[Any, np.ndarray]:
    """Return the stories (n, 47236) with exactly one root topic, and which (n,)."""
    root = _single_roots(topics)
    parts = [_with_one_root(path, root) for path in vectors]
    return sp.vstack([stories for stories, _ in parts], format="csr"), np.concatenate([target for _, target in parts])


def _single_roots(path: Path) -> dict[int, int]:
    """Return the class of each story, by its number, that has exactly one root topic."""
    found: dict[int, set[int]] = {}
    classes = {root: k for k, root in enumerate(ROOTS)}
    with reading(path, "lines of a topic, the number of a story and 1, gzipped"), gzip.open(path, "rt") as file:
        for topic, story, _ in map(str.split, file):
            if topic in classes:
                found.setdefault(int(story), set()).add(classes[topic])
    return {story: next(iter(roots)) for story, roots in found.items() if len(roots) == 1}


def _with_one_root(path: Path, root: dict[int, int]) -> tuple[Any, np.ndarray]:
    from sklearn.datasets import load_svmlight_file

    with reading(path, "lines of the number of a story and term:weight, gzipped"):
        found: Any = load_svmlight_file(str(path), n_features=N_TERMS, dtype=np.float32, zero_based=False)
    target = np.array([root.get(int(story), -1) for story in found[1]])
    return found[0][target >= 0], target[target >= 0]
