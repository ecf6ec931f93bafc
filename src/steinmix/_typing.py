"""Type aliases, the `Source` protocol, and the legend of the dimension letters.

==========  ======================================================================
letter      meaning
==========  ======================================================================
``b``       rows of a batch
``n``       rows of the data
``f``       features (columns of the data)
``d``       latent dimensions
``m``       components of a mixture (particles)
``p``       length of one particle
``*r``      any leading dimensions: restarts, a grid of alphas
==========  ======================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np

__all__ = ["RandomState", "Source"]

RandomState = int | np.random.RandomState | None


@runtime_checkable
class Source(Protocol):
    """Rows on demand, of known number: all that training needs to know of the data. There are no labels in it.

    Attributes
    ----------
    n_rows, n_features : int
    dtype : numpy.dtype
        The type the rows are kept in; uint8 images stay uint8 until they are in a batch.
    feature_names : list of str or None
    random_access : bool
        Whether `take` costs about the same for any rows. If not, rows are read in `blocks`.
    """

    n_rows: int
    n_features: int
    dtype: np.dtype
    feature_names: list[str] | None
    random_access: bool

    def take(self, index: np.ndarray) -> np.ndarray:
        """Return the rows `index` (b,) as a dense C-ordered array (b, f)."""
        ...

    def blocks(self, rows: int, rng: np.random.Generator | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (index (b,), rows (b, f)) over all rows, about `rows` at a time and never more.

        With `rng` the blocks come in random order (rows inside a block stay in order); without, in file order.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Return what a record needs to name the data: kind, shape, dtype, path."""
        ...
