"""Latent spaces as maps in records: VaDE in the course of its training, and beside other codes.

Figures 3 and 5 of Jiang et al. (2017), by principal axes where the paper has t-SNE. Labels choose colours and give
scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ..methods import VAE, Autoencoder, VaDE
from ..training import RunState, Training
from .clustering import ByEpoch, Task, gaussian_mixture

__all__ = ["CODES", "STAGES", "run", "run_stages"]

STAGES = {"pretrain": "start", "anchor": "after the anchor phase", "mixture": "end"}
"""Phase -> what its end is called."""


class ByStage(ByEpoch):
    """Keeps codes and clusters of some rows as they are at the end of the phases of `STAGES`."""

    def __init__(self, rows: Any, model: Any) -> None:
        super().__init__(rows, model)
        self.seen: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def on_epoch_end(self, state: RunState) -> None:
        """Note them anew: the last epoch of a phase stays."""
        if state.phase_name in STAGES:
            self.seen[state.phase_name] = self._codes(state.module).cpu().numpy(), self._assigned(state.module)


def run_stages(row: str, seed: int, data: Task) -> dict[str, Any]:
    """Train VaDE and return maps of the stages, and the scores of its end."""
    model = VaDE(data.n_clusters, collapse="ignore", training=Training(), random_state=seed)
    watch = ByStage(data.rows, model)
    model.set_params(training__callbacks=(watch,)).fit(data.rows)
    codes, _ = watch.seen["pretrain"]
    watch.seen["pretrain"] = codes, model.initial_labels_[watch.index]  # the mixture is started after it
    pictures = []
    for phase, name in STAGES.items():
        codes, labels = watch.seen[phase]
        title = f"{name}, accuracy {data.scorer.accuracy(labels, watch.index):.3f}"
        pictures.append(data.scorer.latent_map(title, codes, labels, watch.index))
    scores = data.scorer.scores(model.labels_) | {"initial_accuracy": data.scorer.accuracy(model.initial_labels_)}
    return scores | {"settings": {"pictures": pictures}}


Codes = tuple[np.ndarray, np.ndarray]
"""Codes (n, d) and clusters (n,)."""


def _two_steps(coder: type, task: Task, seed: int) -> Codes:
    codes = coder(random_state=seed).fit_transform(task.rows)
    return codes, gaussian_mixture(task, seed).fit_predict(codes)


def _vade(task: Task, seed: int) -> Codes:
    model = VaDE(task.n_clusters, collapse="ignore", random_state=seed).fit(task.rows)
    return model.transform(task.rows), model.labels_


CODES: Mapping[str, Callable[[Task, int], Codes]] = {
    "ae": partial(_two_steps, Autoencoder),
    "vae": partial(_two_steps, VAE),
    "vade": _vade,
}


def run(row: str, seed: int, data: Task) -> dict[str, Any]:
    """Make the codes that the row names after the stroke, and return their map and the scores of their clusters."""
    codes, clusters = CODES[row.partition("/")[2]](data, seed)
    return data.scorer.scores(clusters) | {"settings": {"pictures": [data.scorer.latent_map("", codes, clusters)]}}
