"""Tables of a few hundred rows in one unit, as a new user tries first."""

import numpy as np
import pytest
from sklearn.datasets import load_iris, make_blobs

from steinmix import DEPICT, GMVAE, GMVAECV, VAE, Autoencoder, Training, VaDE
from steinmix.metrics import clustering_accuracy
from steinmix.nn import Bernoulli


@pytest.fixture
def shares(rng):
    """Rows of shares of a whole, (150, 6), in three groups."""
    groups = rng.integers(0, 3, size=150)
    centres = np.array([[8, 1, 1, 4, 4, 2], [1, 8, 1, 4, 2, 4], [1, 1, 8, 2, 4, 4]]) * 4
    return np.stack([rng.dirichlet(centres[g]) for g in groups]), groups


@pytest.mark.parametrize(
    ("kind", "data"),
    [(VaDE, "irises"), (VaDE, "shares"), (GMVAE, "irises"), (GMVAE, "shares"), (GMVAECV, "irises")],
)
def test_clusters_are_kept(kind, data, shares):
    rows, groups = load_iris(return_X_y=True) if data == "irises" else shares
    model = kind(3, collapse="raise", random_state=0).fit(rows)
    assert clustering_accuracy(groups, model.labels_) > 0.8


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_bernoulli_is_for_what_crowds_at_the_ends(kind, rng, shares):
    def likelihood(rows):
        model = kind(2, hidden=(4,), training=Training(epochs=1), random_state=0)
        return model.fit(rows).module_.likelihood

    for unit in (1, 16):
        assert isinstance(likelihood(unit * np.round(rng.beta(0.2, 0.3, size=(40, 6)), 3)), Bernoulli)
        assert not isinstance(likelihood(unit * shares[0]), Bernoulli)
    assert isinstance(likelihood(rng.random((40, 6)) < 0.1), Bernoulli)


def test_noise_does_not_merge_clusters_of_two_columns():
    rows, groups = make_blobs(1000, 2, centers=5, cluster_std=1.0, random_state=3)
    model = DEPICT(5, collapse="raise", random_state=0).fit(rows)
    assert clustering_accuracy(groups, model.labels_) > 0.95
