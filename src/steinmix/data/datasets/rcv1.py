"""A sample of RCV1-v2 news stories in the role of Reuters-10K."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from .._common import reading
from ._card import Card, Remote, check_counts, check_shape, hand_out

__all__ = ["load_rcv1"]

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
_REMOTE = Remote("rcv1/rcv1_10k_2000.npz", (), "f0a75d33dfe4d312f6223b7af99514dcc36df9444b7880c61591ae462a694a2d")


def load_rcv1(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Load 10,000 stories of RCV1-v2 with one of four root topics.

    Source: the public vectors of RCV1-v2. Licence: distributed for research. Size: 10,000 rows, 2,000 columns
    (sparse), 4 classes.

    The packed file has no public home: it is found only below the folder that ``STEINMIX_DATA`` names, as
    ``rcv1/rcv1_10k_2000.npz``. It is not the sample of DEC and VaDE (Reuters-10K), but of the same corpus and
    classes.

    Parameters
    ----------
    return_X_y : bool
        Return (data, target) only.
    as_frame : bool
        Return pandas objects.

    Returns
    -------
    Bunch
        ``data`` (10000, 2000) CSR float32, rows of unit length; ``target`` (10000,).
    """
    path = _REMOTE.locate()
    with reading(path, "the packed .npz file of RCV1"), np.load(path, allow_pickle=False) as file:
        found = dict(file)
    parts = found["data"], found["indices"].astype(np.int32), found["indptr"]
    data: Any = sp.csr_matrix(parts, shape=tuple(found["shape"]))
    target = found["y"].astype(np.int64)
    check_shape("RCV1", data.shape, (10000, 2000))
    check_counts("RCV1", target, (4104, 2230, 2829, 837))
    return hand_out(
        _CARD,
        data,
        target,
        feature_names=[f"stem_{i}" for i in found["feature_ids"]],
        target_names=["CCAT", "GCAT", "MCAT", "ECAT"],
        return_X_y=return_X_y,
        as_frame=as_frame,
    )
