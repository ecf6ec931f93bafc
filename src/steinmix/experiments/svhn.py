"""GMVAE on street view house numbers (Dilokthanakul et al., 2016 and 2017): the papers show samples, no number.

604,388 images (train and extra) train, the 26,032 test images are judged, by the same scores as Table 1. K = 10 and one
draw; the network of the papers' text (64, 128 and 256 filters: the printed 246 is 256 in the code), batches of 128,
Adam at 1e-4. The pictures are those of ``sample(n, component=k)``. The first version was shown with its consistency
violation weighed 0 and 0.4. The images are not fetched: ``steinmix data get svhn`` does that, and takes 1.6 GB.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..data import datasets
from ..methods import GMVAE, GMVAECV
from ..metrics import clustering_scores
from ..random import Streams
from ..training import Training
from .gmvae import CONSISTENCY, PAPER, Split, judged
from .spec import Experiment, Row

__all__ = ["MODELS", "SVHN", "load", "run"]

NETWORK: dict[str, Any] = {"image_shape": (32, 32, 3), "latent_dim": 200, "w_dim": 150, "likelihood": "bernoulli"}
TRAINING = {"batch_size": 128, "lr": 1e-4}
EPOCHS = 500

MODELS: dict[str, tuple[type, dict[str, Any]]] = {
    "gmvae-k10-m1": (GMVAE, PAPER),
    "gmvae-cv-k10-m1-alpha-0": (GMVAECV, PAPER | {"consistency": 0.0}),
    f"gmvae-cv-k10-m1-alpha-{CONSISTENCY}": (GMVAECV, PAPER | {"consistency": CONSISTENCY}),
}

NULL = "k-means"
NULL_ROWS = 50_000
"""Images that the null row trains on: all of them are 7 GB of floats."""


def load(name: str = "svhn") -> Split:
    """Return train and extra, in this order, to train on, and test.

    Raises
    ------
    DataError
        If the images are not here.
    """
    parts = {part: datasets.load_svhn(subset=part, download_if_missing=False) for part in ("train", "extra", "test")}
    train = np.concatenate([parts["train"].data, parts["extra"].data])
    return Split(train, parts["test"].data, parts["test"].target)


def run(row: str, seed: int, data: Split, checkpoint: Path | None = None) -> dict[str, Any]:
    """Train what the row names after the stroke, from its newest checkpoint if any, and judge it on the test images."""
    name = row.partition("/")[2]
    if name == NULL:
        return _null(seed, data)
    kind, settings = MODELS[name]
    training = Training(epochs=EPOCHS, **TRAINING)
    return judged(kind(10, random_state=seed, training=training, **NETWORK, **settings), data, checkpoint)


def _null(seed: int, data: Split) -> dict[str, Any]:
    """k-means of the pixels of some images."""
    from sklearn.cluster import KMeans

    chosen = Streams(seed).numpy("rows").permutation(len(data.train))[:NULL_ROWS]
    model = KMeans(10, n_init=1, random_state=seed).fit(_unit(data.train[chosen]))
    scores = clustering_scores(data.labels, model.predict(_unit(data.test)))
    return scores | {"settings": {"estimator": repr(model), "rows": len(chosen)}}


def _unit(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / 255


def _rows() -> tuple[Row, ...]:
    protocol = "604,388 images trained, 26,032 judged"
    null = Row(
        f"svhn/{NULL}",
        run,
        load,
        protocol,
        deviations=f"not in the papers; of the pixels of {NULL_ROWS:,} images",
        cost=100.0,
        absent=datasets.absent,
    )
    said = f"{EPOCHS} epochs; the objective as printed"
    nulls, cost = (null.name,), 3_000_000.0
    models = (
        Row(f"svhn/{name}", run, load, protocol, nulls, said, cost, absent=datasets.absent, resumable=True)
        for name in MODELS
    )
    return null, *models


SVHN = Experiment(
    id="dilokthanakul2016/svhn",
    title="GMVAE: street view house numbers",
    source="Dilokthanakul et al. (2016 and 2017), figure of SVHN; the papers show pictures and print no number",
    metrics=("accuracy", "exemplar_accuracy", "purity", "nmi", "objective"),
    rows=_rows(),
)
