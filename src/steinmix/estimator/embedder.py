"""What estimators with an encoder and a decoder share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt, prod
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_array, check_is_fitted

from .._params import check_choice
from .._typing import Source
from ..data.prepare import ColumnStatistics
from ..errors import ConfigError, DataError
from ..nn import LIKELIHOODS, Likelihood
from .checks import check_width, check_widths
from .chunks import in_chunks
from .codes import CodesMixin
from .job import epochs_for_steps

__all__ = ["EmbedderShell", "coder_arguments", "coder_plan", "given_layout", "image_layout", "network_sizes"]

PAPER_HIDDEN = (500, 500, 2000)
"""The layout of DEC and VaDE, made for 60,000 images; a net for a few thousand rows must be smaller."""

SMALLEST_IMAGE = 8
"""Side from which rows in [0, 1] whose number of features is a square are taken for images."""


def network_sizes(n_rows: int) -> tuple[int, ...]:
    """Return widths of hidden layers that suit a number of rows."""
    if n_rows >= 20_000:
        return PAPER_HIDDEN
    return (256, 256, 512) if n_rows >= 5_000 else (128, 128, 256)


def coder_plan(
    source: Source,
    prepared: ColumnStatistics,
    latent_dim: int,
    hidden: Sequence[int] | None,
    likelihood: str | Likelihood,
    unbounded: str = "gaussian",
) -> dict[str, Any]:
    """Resolve the choices of an encoder and decoder; `unbounded` names the likelihood where Bernoulli does not suit.

    Parameters
    ----------
    source : Source
        The rows.
    prepared : ColumnStatistics
        Of the columns after scaling.
    latent_dim : int
        Length of the code, as the user gave it.
    hidden : sequence of int, optional
        Widths of the hidden layers, as the user gave them.
    likelihood : str or Likelihood
        As the user gave it.
    unbounded : str, default="gaussian"
        What "auto" takes where Bernoulli does not suit.

    Raises
    ------
    ConfigError
        If a width is not positive, the likelihood is unknown, or Bernoulli is asked of data outside [0, 1].
    """
    widths = network_sizes(source.n_rows) if hidden is None else hidden
    return {
        "n_rows": source.n_rows,
        "n_features": source.n_features,
        "latent_dim": min(check_width("latent_dim", latent_dim), source.n_features),
        "hidden": check_widths("hidden", widths),
        "likelihood": _likelihood(likelihood, prepared, unbounded),
        "epochs": epochs_for_steps(4000, source.n_rows, most=100),
    }


def coder_arguments(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `Coder` that a plan holds.

    Parameters
    ----------
    plan : mapping
        As `coder_plan` gives it, perhaps with more.
    """
    return {
        "n_features": plan["n_features"],
        "n_latent": plan["latent_dim"],
        "hidden": plan["hidden"],
        "likelihood": plan["likelihood"],
    }


def _likelihood(wanted: str | Likelihood, prepared: ColumnStatistics, unbounded: str) -> Likelihood:
    if not isinstance(wanted, str):
        return wanted
    if wanted == "auto":  # Bernoulli tells values apart at the ends, and hardly any between
        return LIKELIHOODS["bernoulli" if prepared.within_unit and prepared.crowds_ends else unbounded]()
    if wanted not in LIKELIHOODS:
        raise ConfigError(
            f"likelihood is {wanted!r}; expected 'auto', {', '.join(map(repr, LIKELIHOODS))} or an object."
        )
    if wanted == "bernoulli" and not prepared.within_unit:
        low, high = prepared.range
        raise ConfigError(
            "the Bernoulli likelihood needs data in [0, 1]; after scaling they lie in "
            f"[{low:.4g}, {high:.4g}]. Use scaling='range' or likelihood='gaussian'."
        )
    return LIKELIHOODS[wanted]()


def image_layout(wanted: Any, n_features: int, bounded: bool) -> list[int] | None:
    """Return [h, w, c] of the image in a row, or None for tables; "auto" takes square rows in [0, 1] for images.

    Parameters
    ----------
    wanted : "auto", sequence of int or None
        As the user gave it.
    n_features : int
        Columns of a row.
    bounded : bool
        Whether the rows lie in [0, 1].

    Raises
    ------
    ConfigError
        If `wanted` is no shape of `n_features` numbers.
    """
    if wanted is None:
        return None
    if isinstance(wanted, str):
        check_choice("image_shape", wanted, ["auto"])
        side = isqrt(n_features)
        return [side, side, 1] if bounded and side >= SMALLEST_IMAGE and side * side == n_features else None
    return given_layout(wanted, n_features)


def given_layout(wanted: Any, n_features: int, name: str = "image_shape") -> list[int]:
    """Return [h, w, c] of the image in a row, as the user gave them.

    Parameters
    ----------
    wanted : sequence of int
        Height and width, perhaps channels.
    n_features : int
        Columns of a row.
    name : str, default="image_shape"
        Of the option, for the error.

    Raises
    ------
    ConfigError
        If `wanted` is no shape of `n_features` numbers.
    """
    try:
        shape = [int(side) for side in wanted]
    except (TypeError, ValueError):  # one number, or a word
        shape = []
    shape += [1] * (len(shape) == 2)
    if len(shape) != 3 or min(shape) < 1 or prod(shape) != n_features:
        raise ConfigError(
            f"{name} is {wanted!r}; expected (height, width) or (height, width, channels) whose product is "
            f"the number of features, {n_features}."
        )
    return shape


class EmbedderShell(CodesMixin):
    """Codes, reconstructions and scores of a fitted encoder and decoder."""

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Return the expected rows (n, f) of codes (n, d), in the units of the data.

        Parameters
        ----------
        Z : array-like of shape (n, d)
            Codes, as `transform` gives them.
        """
        check_is_fitted(self)
        try:
            codes = check_array(Z, dtype=np.float32, order="C", copy=True)
        except ValueError as error:
            raise DataError(str(error)) from error
        if codes.shape[1] != self._n_features_out:
            raise DataError(
                f"codes have {codes.shape[1]} columns; expected {self._n_features_out}, as `transform` gives."
            )
        return self._decoded(torch.from_numpy(codes))

    def _decoded(self, z: torch.Tensor) -> np.ndarray:
        def rows(z: torch.Tensor) -> torch.Tensor:
            return self.preparation_.inverse(self.module_.likelihood.mean(self.module_.decode(z)))

        return in_chunks(rows, z.to(self.preparation_.device))
