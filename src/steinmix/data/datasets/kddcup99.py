"""KDD Cup 1999, the ten-percent file, as the anomaly detection papers use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .._common import reading, require
from ..texts import coded_arrow
from ._card import Card, Remote, check_counts, check_shape, hand_out

__all__ = ["load_kddcup99"]

_CARD = Card(
    name="kddcup99",
    title="KDD Cup 1999 network connections, 10 percent",
    source="kddcup.data_10_percent.gz of the UCI KDD Archive (kdd.ics.uci.edu)",
    licence="CC BY 4.0 (UCI)",
    size="494,021 rows x 118 columns (of 41), 23 kinds; 97,278 anomalies (19.69 %)",
    preparation="protocol_type, service and flag one-hot (3 + 66 + 11 columns, in their places, values "
    "sorted); the other 38 as they are; nothing scaled. As in DAGMM the attacks, being the majority, are the "
    "normal class: target is 1 where the label is 'normal.'. float32 keeps whole numbers up to 16,777,216 "
    "exactly, a few byte counts are larger",
    citation="S. Hettich, S. D. Bay. The UCI KDD Archive. University of California, Irvine, 1999.",
)
_REMOTE = Remote(
    "kddcup99/kddcup.data_10_percent.gz",
    ("http://kdd.ics.uci.edu/databases/kddcup99/kddcup.data_10_percent.gz",),
    "8045aca0d84e70e622d1148d7df782496f6333bf6eb979a1b0837c42a9fd9561",
)
_LEVELS = {"protocol_type": 3, "service": 66, "flag": 11}
# Flags and counts that the papers' code leaves as they are, beside the one-hot columns.
_UNSCALED = {
    *("land", "logged_in", "root_shell", "su_attempted"),
    *("num_outbound_cmds", "is_host_login", "is_guest_login"),
}
# In the order of the file.
_COLUMNS = (  # noqa: SIM905
    "duration protocol_type service flag src_bytes dst_bytes land wrong_fragment urgent hot "
    "num_failed_logins logged_in num_compromised root_shell su_attempted num_root num_file_creations num_shells "
    "num_access_files num_outbound_cmds is_host_login is_guest_login count srv_count serror_rate "
    "srv_serror_rate rerror_rate srv_rerror_rate same_srv_rate diff_srv_rate srv_diff_host_rate "
    "dst_host_count dst_host_srv_count dst_host_same_srv_rate dst_host_diff_srv_rate "
    "dst_host_same_src_port_rate dst_host_srv_diff_host_rate dst_host_serror_rate dst_host_srv_serror_rate "
    "dst_host_rerror_rate dst_host_srv_rerror_rate"
).split()


def load_kddcup99(*, return_X_y: bool = False, as_frame: bool = False, download_if_missing: bool = True) -> Any:
    """Load the ten-percent file of KDD Cup 1999, one-hot encoded.

    Source: the UCI KDD Archive, the original file, verified by SHA-256. Licence: CC BY 4.0 (UCI).
    Size: 494,021 rows, 118 columns; 97,278 anomalies. 2 MB to download; needs pyarrow.

    The attacks are the majority (80 %) and therefore the *normal* class, as in DAGMM: the anomaly is the
    traffic labelled ``normal.``. DAGMM speaks of 120 columns, which need values that only the full file has.

    Parameters
    ----------
    return_X_y : bool
        Return (data, target) only.
    as_frame : bool
        Return pandas objects.
    download_if_missing : bool
        Download the file if it is neither in ``STEINMIX_DATA`` nor in the cache.

    Returns
    -------
    Bunch
        ``data`` (494021, 118) float32, unscaled; ``target`` (494021,), 1 for an anomaly; ``label`` (494021,),
        codes into ``label_names``, the 23 kinds as the file writes them; ``continuous``, the names of the 31
        columns that the papers' code scales to [0, 1] on the rows it trains on.
    """
    table = _parsed(_REMOTE.locate(download_if_missing))
    data, names = _encoded(table)
    label_names, label = coded_arrow(table["label"])
    target = (label == label_names.index("normal.")).astype(np.int64)
    check_shape("KDD Cup 1999", data.shape, (494021, 118))
    check_counts("KDD Cup 1999", target, (396743, 97278))
    return hand_out(
        _CARD,
        data,
        target,
        feature_names=names,
        target_names=["attack", "normal"],
        return_X_y=return_X_y,
        as_frame=as_frame,
        label=label,
        label_names=label_names,
        continuous=[name for name in _COLUMNS if name not in _LEVELS and name not in _UNSCALED],
    )


def _parsed(path: Path) -> Any:
    require("pyarrow.csv", "Reading KDD Cup 1999")
    import pyarrow as pa
    import pyarrow.csv as pc

    text = pa.dictionary(pa.int32(), pa.string())
    types = {name: text if name in (*_LEVELS, "label") else pa.float64() for name in (*_COLUMNS, "label")}
    with reading(path, "the CSV file of KDD Cup 1999"):
        read = pc.ReadOptions(column_names=list(types))
        return pc.read_csv(path, read_options=read, convert_options=pc.ConvertOptions(column_types=types))


def _encoded(table: Any) -> tuple[np.ndarray, list[str]]:
    """Return the columns side by side in the order of the file, categories as one column a value."""
    width = len(_COLUMNS) - len(_LEVELS) + sum(_LEVELS.values())
    data = np.zeros((table.num_rows, width), np.float32)
    names: list[str] = []
    for column in _COLUMNS:
        if column not in _LEVELS:
            data[:, len(names)] = table[column].to_numpy()
            names.append(column)
            continue
        levels, codes = coded_arrow(table[column])
        check_shape(f"KDD Cup 1999 ({column})", (len(levels),), (_LEVELS[column],))
        data[np.arange(len(codes)), len(names) + codes] = 1
        names += [f"{column}={level}" for level in levels]
    return data, names
