"""scikit-learn's own battery, on every public estimator, with its default parameters or fewer epochs."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from steinmix import Training, methods

SPARSE_REASON = (
    "a defect of the check: for sparse input it asks any estimator with predict_proba for classifier tags, which only "
    "classifiers have (AttributeError on None); sparse input itself is tested in test_contract.py"
)
EXPECTED_FAILURES = {
    "DEPICT": {"check_estimator_sparse_array": SPARSE_REASON, "check_estimator_sparse_matrix": SPARSE_REASON},
    "GaussianMixture": {"check_estimator_sparse_array": SPARSE_REASON, "check_estimator_sparse_matrix": SPARSE_REASON},
    "GMVAE": {"check_estimator_sparse_array": SPARSE_REASON, "check_estimator_sparse_matrix": SPARSE_REASON},
    "GMVAECV": {"check_estimator_sparse_array": SPARSE_REASON, "check_estimator_sparse_matrix": SPARSE_REASON},
    "VaDE": {"check_estimator_sparse_array": SPARSE_REASON, "check_estimator_sparse_matrix": SPARSE_REASON},
}

FROM_RANDOM_WEIGHTS = {"hidden": (16,), "training": Training(epochs=60, lr=1e-2)}
"""Instead of 500 epochs, for methods that are not started from the data: checks fit some hundred times."""
STARTED = {"training": Training(epochs=60)}
SHORTER = {name: STARTED for name in ("Autoencoder", "DAGMM", "DEPICT", "GaussianMixture", "VAE", "VaDE")}
SHORTER |= {"GMVAE": FROM_RANDOM_WEIGHTS, "GMVAECV": FROM_RANDOM_WEIGHTS}


def quick(name: str):
    return getattr(methods, name)(**SHORTER.get(name, {}))


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [quick(name) for name in methods.__all__],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES.get(type(estimator).__name__, {}),
    xfail_strict=True,
)
def test_scikit_learn_check(estimator, check):
    check(estimator)
