"""Outliers among network flows, from the raw file on: columns of text, p-values, and few false alarms among the flags.

    python examples/outliers.py kddcup.data_10_percent.gz

The file is that of KDD Cup 1999 (`steinmix data get kddcup99` fetches it). Attacks are 80 % of its rows and so the
normal class here, as in the papers; what is looked for is the traffic labelled "normal.". Half of the attacks train. Of
the other half 20,000 say how rare a score is (split-conformal p-values), and the rest is judged together with all that
is looked for. One flag in twenty may be wrong: that holds for any detector, as long as the calibration rows are like
the normal rows to come; how much is found depends on the detector.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np
import pandas as pd

import steinmix as sm
from steinmix.metrics import area_under_roc, false_discovery_control
from steinmix.random import Streams

TEXT = {1: "protocol", 2: "service", 3: "flag", 41: "label"}
NAMES = [TEXT.get(i, f"x{i}") for i in range(42)]
CATEGORIES = ["protocol", "service", "flag"]
CALIBRATION, RATE = 20_000, 0.05


class Parts(NamedTuple):
    """Rows to train on and to calibrate with, all normal, and rows to judge, with what they are (n,)."""

    train: pd.DataFrame
    calibration: pd.DataFrame
    judged: pd.DataFrame
    outlier: np.ndarray


def divide(flows: pd.DataFrame, calibration: int, seed: int = 0) -> Parts:
    """Divide the normal rows at random; the label comes into no part."""
    rows, outlier = flows.drop(columns="label"), (flows["label"] == "normal.").to_numpy()
    normal = Streams(seed).numpy("split").permutation(np.flatnonzero(~outlier))
    half = len(normal) // 2
    judged = np.r_[normal[half + calibration :], np.flatnonzero(outlier)]
    parts = (rows.iloc[i].reset_index(drop=True) for i in (normal[:half], normal[half : half + calibration], judged))
    return Parts(*parts, outlier[judged])


def fitted(train: pd.DataFrame) -> tuple[sm.DAGMM, dict[str, list[str]]]:
    """Return a detector, and the categories it knows; scaling and categories are those of the rows it trained on."""
    rows = sm.as_source(train, categories=CATEGORIES)
    settings = {"latent_dim": 30, "hidden": (60,), "residual": "log", "scaling": "standard", "pretraining_epochs": 15}
    training = sm.Training(epochs=0, lr=1e-3, batch_size=1024, distinct_rows=True)  # EM alone: gradients make it worse
    detector = sm.DAGMM(16, mixture="free", start="em", training=training, random_state=0, **settings)
    return detector.fit(rows), rows.categories


def flags(detector: sm.DAGMM, known: dict[str, list[str]], parts: Parts) -> tuple[np.ndarray, np.ndarray]:
    """Return scores, high for abnormal rows, and flags of the judged rows."""
    judged, calibration = (sm.as_source(rows, categories=known) for rows in (parts.judged, parts.calibration))
    p = detector.anomaly_pvalues(judged, calibration)
    return detector.anomaly_score(judged), false_discovery_control(p, RATE)


def main(path: str) -> None:
    """Fit, flag, and say how well that went."""
    parts = divide(pd.read_csv(path, header=None, names=NAMES), CALIBRATION)
    detector, known = fitted(parts.train)
    scores, flagged = flags(detector, known, parts)
    hits = int((flagged & parts.outlier).sum())
    print(f"AUROC            {area_under_roc(parts.outlier, scores):.4f}")
    print(f"flagged          {flagged.sum():,} of {len(flagged):,} rows")
    print(f"false among them {1 - hits / max(1, flagged.sum()):.2%}, at most {RATE:.0%} asked for")
    print(f"found            {hits / parts.outlier.sum():.2%} of {parts.outlier.sum():,}")


if __name__ == "__main__":
    keep_lines = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=keep_lines)
    parser.add_argument("path", metavar="FILE", help="kddcup.data_10_percent.gz")
    main(parser.parse_args().path)
