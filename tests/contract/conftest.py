"""One row per public estimator; a newcomer adds nothing here unless its parameters differ."""

from __future__ import annotations

import numpy as np
import pytest

from steinmix import Training, methods
from steinmix.random import Streams

QUICK = Training(epochs=2)
PARAMETERS = {
    "Autoencoder": {"latent_dim": 2, "hidden": (8,)},
    "DAGMM": {"n_components": 3, "hidden": (5,)},
    "DEPICT": {"n_clusters": 3, "hidden": (8,)},
    "GaussianMixture": {"n_components": 3},
    "GMVAE": {"n_clusters": 3, "latent_dim": 2, "w_dim": 2, "hidden": (8,), "collapse": "ignore"},
    "GMVAECV": {"n_clusters": 3, "latent_dim": 2, "w_dim": 2, "hidden": (8,), "collapse": "ignore"},
    "VAE": {"latent_dim": 2, "hidden": (8,)},
    "VaDE": {"n_clusters": 3, "latent_dim": 2, "hidden": (8,)},
}


def build(name: str, **changes):
    """Return the estimator called `name`, small and quick."""
    params = {"training": QUICK, "random_state": 0} | PARAMETERS[name] | changes
    return getattr(methods, name)(**params)


@pytest.fixture(params=methods.__all__)
def name(request) -> str:
    return request.param


@pytest.fixture
def make(name):
    return lambda **changes: build(name, **changes)


@pytest.fixture
def X() -> np.ndarray:
    """Three well separated groups of 40 rows, five columns."""
    rng = Streams(1).numpy("data")
    return np.concatenate([rng.normal(4 * c, 1.0, (40, 5)) for c in range(3)])


def answers(model, X) -> dict[str, np.ndarray]:
    """Return everything the model can say of rows."""
    said = {
        n: getattr(model, n)(X)
        for n in ("predict", "predict_proba", "transform", "score_samples", "decision_function")
        if hasattr(model, n)
    }
    if hasattr(model, "sample"):
        said["sample"] = model.sample(5, random_state=3)
    return said


def parameters(model) -> dict[str, np.ndarray]:
    return {k: v.numpy() for k, v in model.module_.state_dict().items()}


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)
