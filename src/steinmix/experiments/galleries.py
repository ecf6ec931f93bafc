"""What components generate, as pictures in records beside what the judge of `samples` says of them.

Figure 6 of Jiang et al. (2017): fewer and more clusters than classes. Figure 5 of Dilokthanakul et al. (2016): samples
of each component, and the same component in other styles.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..methods import GMVAE, GMVAECV, VaDE
from ..random import Streams
from ..training import Training
from .gmvae import NETWORKS
from .pictures import gallery
from .samples import Gallery, judged

__all__ = ["GMVAE_EPOCHS", "run_clusters", "run_styles"]

COLUMNS = 8
"""Images of a component, at most."""

DENSE = NETWORKS["dense"]
GMVAE_EPOCHS = {"mnist": DENSE.training.epochs, "usps": 60, "digits": 200}
"""Some thousand steps on small sets too."""

VERSIONS: Mapping[str, type] = {"gmvae": GMVAE, "gmvae-cv": GMVAECV}


def run_clusters(row: str, seed: int, data: Gallery) -> dict[str, Any]:
    """Fit VaDE with the number of clusters that the row ends with; show samples and real rows of each cluster."""
    model = VaDE(int(row.rpartition("-k")[2]), collapse="ignore", random_state=seed).fit(data.rows)
    shown = {"generated": _samples(model), "rows of the cluster": _members(model, data.rows)}
    return judged(model, data) | {"settings": {"pictures": _pictures(shown)}}


def run_styles(row: str, seed: int, data: Gallery) -> dict[str, Any]:
    """Fit the version of GMVAE that the row names; show samples, and what the coordinate of w does that does most."""
    name, _, version = row.partition("/")
    settings = DENSE.parameters | {"start": "random", "collapse": "ignore", "random_state": seed}
    model = VERSIONS[version](data.n_clusters, **settings)
    model.set_params(training=Training(epochs=GMVAE_EPOCHS[name], batch_size=256)).fit(data.rows)
    strongest = int(model.style_effects().argmax())
    shown = {
        "samples of each component": _samples(model),
        f"coordinate {strongest} of w moves": model.sweep_style(strongest, COLUMNS),
    }
    return judged(model, data) | {"settings": {"pictures": _pictures(shown)}}


def _samples(model: Any) -> np.ndarray:
    return np.stack([model.sample(COLUMNS, c) for c in range(model.module_.mixture.n_components)])


def _members(model: Any, rows: np.ndarray) -> np.ndarray:
    """Return random rows of each cluster, (m, n, f); black where it has no more."""
    found = np.zeros((model.module_.mixture.n_components, COLUMNS, rows.shape[1]), rows.dtype)
    order = Streams(0).numpy("members").permutation(len(rows))
    for own, c in zip(found, range(len(found))):
        chosen = order[model.labels_[order] == c][:COLUMNS]
        own[: len(chosen)] = rows[chosen]
    return found


def _pictures(shown: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Return galleries; rows lie in [0, 1], or, where a set has other units, in the range of what is shown."""
    return [gallery(title, images, 0.0, max(1.0, float(images.max()))) for title, images in shown.items()]
