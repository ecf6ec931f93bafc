import warnings

import numpy as np
import pytest

import steinmix as sm
from steinmix.random import Streams

QUICK = sm.Training(epochs=2, progress=False)


@pytest.fixture(scope="session")
def blobs():
    """Two tight groups of 40 and 20 rows, 5 columns, far apart in the second column only; and their classes."""
    classes = np.repeat([0, 1], [40, 20])
    rows = Streams(0).numpy("blobs").normal(size=(60, 5))
    rows[:, 1] += 30.0 * classes
    return rows, classes


@pytest.fixture(scope="session")
def digits():
    found = sm.datasets.load_digits()
    return found.data[:300], found.target[:300]


def fitted(model, X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sm.CollapseWarning)
        return model.fit(X)


@pytest.fixture(scope="session")
def quickly():
    """Fit a model to rows in two epochs, from seed 0."""
    return lambda model, X: fitted(model.set_params(training=QUICK, random_state=0), X)


@pytest.fixture(scope="session")
def mixture(blobs):
    return fitted(sm.GaussianMixture(2, training=QUICK, random_state=0), blobs[0])


@pytest.fixture(scope="session")
def vade(digits):
    model = sm.VaDE(10, hidden=(32,), start="kmeans", training=QUICK, random_state=0)
    return fitted(model, digits[0])


@pytest.fixture(scope="session")
def autoencoder(digits):
    return fitted(sm.Autoencoder(latent_dim=4, hidden=(32,), training=QUICK, random_state=0), digits[0])


@pytest.fixture(scope="session")
def vae(blobs):
    return fitted(sm.VAE(latent_dim=2, hidden=(8,), training=QUICK, random_state=0), blobs[0])
