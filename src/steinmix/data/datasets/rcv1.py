"""A sample of RCV1-v2 news stories in the role of Reuters-10K, and the stories it was drawn from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._common import reading
from ._card import Card, Remote, absence, check_counts, check_shape, choice, hand_out

__all__ = ["ROOTS", "absent", "frequent_stems", "load_rcv1"]

ROOTS = ("CCAT", "GCAT", "MCAT", "ECAT")
"""The root topics, in the order of the classes."""

N_STEMS = 2000

_CARD = Card(
    name="rcv1",
    title="RCV1-v2, four root topics, 10,000 stories",
    source="public vectors and topic codes of RCV1-v2, from the 'topics; subsets' samples of the LIBSVM data page",
    licence="vectors distributed for research; no story texts are included",
    size="10,000 rows x 2,000 columns (sparse), 4 classes",
    preparation="stories with exactly one root topic; the 2,000 stems found in most stories; log-tf x idf, "
    "rows of unit length. Not the 10,000 stories of DEC and VaDE. DEC multiplies rows by sqrt(2000) before "
    "training: not done here",
    citation="D. Lewis, Y. Yang, T. Rose, F. Li. RCV1: a new benchmark collection for text categorization "
    "research. JMLR 5, 2004.",
)
_ALL = replace(
    _CARD,
    title="RCV1-v2, four root topics, 23,485 stories",
    size="23,485 rows x 2,000 columns (sparse), 4 classes",
)
_SAMPLE_FILE = Remote("rcv1/rcv1_10k_2000.npz", (), "f0a75d33dfe4d312f6223b7af99514dcc36df9444b7880c61591ae462a694a2d")
_ALL_FILE = Remote("rcv1/rcv1_4root_full.npz", (), "e787ada83101b63cdb0662fbcb61f7f1586f799270fb21c34a6b300131fc4b2a")
_SUBSETS = {
    # file, card, stories in each class
    "sample": (_SAMPLE_FILE, _CARD, (4104, 2230, 2829, 837)),
    "all": (_ALL_FILE, _ALL, (9626, 5252, 6683, 1924)),
}


def load_rcv1(*, subset: str = "sample", return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Load 10,000 stories of RCV1-v2 with one of four root topics, or the 23,485 they were drawn from.

    Source: the public vectors of RCV1-v2. Licence: distributed for research. Size: 10,000 or 23,485 rows, 2,000
    columns (sparse), 4 classes.

    The packed files have no public home: they are found only below the folder that ``STEINMIX_DATA`` names, as
    ``rcv1/rcv1_10k_2000.npz`` and ``rcv1/rcv1_4root_full.npz``. The sample is not that of DEC and VaDE
    (Reuters-10K), but of the same corpus and classes; `load_reuters` gives the whole corpus.

    Parameters
    ----------
    subset : {'sample', 'all'}
        10,000 stories, or all 23,485. The columns are the same: the stems found in most of the 23,485.
    return_X_y : bool
        Return (data, target) only.
    as_frame : bool
        Return pandas objects.

    Returns
    -------
    Bunch
        ``data`` (n, 2000) CSR float32, rows of unit length; ``target`` (n,), n = 10000 or 23485.
    """
    choice("subset", subset, list(_SUBSETS))
    remote, card, counts = _SUBSETS[subset]
    path = remote.locate()
    with reading(path, "a packed .npz file of RCV1"), np.load(path, allow_pickle=False) as file:
        found = dict(file)
    parts = found["data"], found["indices"].astype(np.int32), found["indptr"]
    data: Any = sp.csr_matrix(parts, shape=tuple(found["shape"]))
    target = found["y"].astype(np.int64)
    data, stems = frequent_stems(data, N_STEMS) if subset == "all" else (data, found["feature_ids"])
    check_shape(f"RCV1 ({subset})", data.shape, (sum(counts), N_STEMS))
    check_counts(f"RCV1 ({subset})", target, counts)
    return hand_out(
        card,
        data,
        target,
        feature_names=[f"stem_{i}" for i in stems],
        target_names=ROOTS,
        return_X_y=return_X_y,
        as_frame=as_frame,
    )


def frequent_stems(stories: Any, n_stems: int) -> tuple[Any, np.ndarray]:
    """Return the columns that are not zero in most rows, rows scaled back to unit length, and their numbers in order.

    Parameters
    ----------
    stories : scipy.sparse CSR (n, f)
    n_stems : int
        How many columns to keep; of equally frequent ones the first.

    Returns
    -------
    stories : scipy.sparse CSR (n, n_stems)
        A row that has none of the columns stays zero.
    stems : ndarray (n_stems,)
    """
    from sklearn.preprocessing import normalize

    frequency = np.bincount(stories.indices, minlength=stories.shape[1])
    stems = np.sort(np.argsort(-frequency, kind="stable")[:n_stems])
    return normalize(stories[:, stems]), stems


def absent() -> str:
    """Return why the sample is not here; empty if it is."""
    return absence(_CARD.name, [_SAMPLE_FILE])
