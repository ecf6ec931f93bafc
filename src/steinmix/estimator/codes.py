"""What estimators that turn rows into points share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from .base import DeepEstimator

__all__ = ["CodesMixin"]


class CodesMixin(ClassNamePrefixFeaturesOutMixin, TransformerMixin, DeepEstimator):
    """Codes of rows; with names of their columns, so that ``set_output(transform="pandas")`` works."""

    plan_: Mapping[str, Any]

    def transform(self, X: Any) -> np.ndarray:
        """Return the code of each row, (n, d): its mean, where codes are random.

        Parameters
        ----------
        X : as in `fit`, of shape (n, f)
            Rows in the units and columns of the training data.
        """
        return self._map(lambda x: self.module_.embed(x).double(), X)

    @property
    def _n_features_out(self) -> int:
        return self.plan_["latent_dim"]
