"""scikit-learn's own battery, on every public estimator, with its default parameters or fewer epochs."""

from __future__ import annotations

from typing import Any

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

QUICK: dict[str, Any] = {"training": Training(epochs=60)}
"""Instead of 500 epochs: checks fit some hundred times."""
QUICKER: dict[str, Any] = {"hidden": (16,), "start": "random", "training": Training(epochs=60, lr=1e-2)}
"""Starts from the data are checked by VaDE, which shares them."""


def quick(name: str):
    return getattr(methods, name)(**(QUICKER if name.startswith("GMVAE") else QUICK))


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [quick(name) for name in methods.__all__],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES.get(type(estimator).__name__, {}),
    xfail_strict=True,
)
def test_scikit_learn_check(estimator, check):
    check(estimator)
