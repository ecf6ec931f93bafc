"""Rows in groups that are known."""

from __future__ import annotations

import numpy as np


def blobs(n: int = 60, k: int = 3, f: int = 2, spread: float = 0.3, seed: int = 0):
    rng = np.random.default_rng(seed)
    centres = 4 * np.eye(max(k, f))[:k, :f] if k <= f else 4 * rng.standard_normal((k, f))
    labels = np.arange(n) % k
    return centres[labels] + spread * rng.standard_normal((n, f)), labels
