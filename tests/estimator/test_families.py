"""The kernel of a diversifier is told what a component is made of; estimators know it and look."""

import numpy as np
import pytest

from steinmix import DAGMM, DEPICT, GMVAE, GMVAECV, NSVGD, RBF, ConfigError, GaussianMixture, Pairwise, Training, VaDE
from steinmix.diversify import MeansOnly, Standardised, Wasserstein
from steinmix.training import Annealed

ESTIMATORS = {
    "mixture, diagonal": (GaussianMixture, {"covariance_type": "diag"}, "diag"),
    "mixture, full": (GaussianMixture, {"covariance_type": "full"}, "full"),
    "mixture, unit": (GaussianMixture, {"covariance_type": "unit"}, "unit"),
    "VaDE": (VaDE, {}, "diag"),
    "GMVAE": (GMVAE, {}, "diag"),
    "GMVAE-CV": (GMVAECV, {}, "diag"),
    "DEPICT, softmax": (DEPICT, {"head": "softmax"}, "unit"),
    "DEPICT, normal": (DEPICT, {"head": "gaussian"}, "unit"),
    "DAGMM": (DAGMM, {}, "full"),
    "DAGMM, free": (DAGMM, {"mixture": "free"}, "full"),
    "DAGMM, signed": (DAGMM, {"mixture": "signed"}, "cholesky"),
}


@pytest.fixture
def rows(rng):
    return rng.random((40, 6), dtype=np.float32)


def fit(name, rows, diversifier):
    kind, settings, _ = ESTIMATORS[name]
    settings = settings | {"training": Training(epochs=1), "random_state": 0, "diversifier": diversifier}
    return kind(2, **settings).fit(rows)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_another_family_is_refused(name, rows):
    for family in {"diag", "full", "unit", "cholesky"} - {ESTIMATORS[name][-1]}:
        for kernel in (Wasserstein(RBF(), family), Standardised(RBF(), family), MeansOnly(RBF(), family)):
            for diversifier in (NSVGD(kernel=kernel), Pairwise(0.1, kernel), Annealed(NSVGD(kernel=kernel))):
                with pytest.raises(ConfigError, match=f"has family '{family}'; the components here are "):
                    fit(name, rows, diversifier)


@pytest.mark.filterwarnings("ignore")  # of a mixture that has hardly been trained
@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_family_of_the_components_is_taken(name, rows):
    fit(name, rows, NSVGD(0.1, Wasserstein(RBF(), ESTIMATORS[name][-1])))
