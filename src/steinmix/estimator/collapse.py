"""What is done when clusters collapse, and how it is seen that they did."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..errors import CollapseError, CollapseWarning
from ..training import Loader
from .chunks import evaluating, map_chunks

__all__ = ["COLLAPSE", "check_posterior", "check_start"]

ACTIVE = 0.01
"""Share of the prior's variance that the mean codes must have; below, a latent coordinate says nothing of the rows.
After Y. Burda, R. Grosse, R. Salakhutdinov, *Importance weighted autoencoders*, ICLR 2016, whose prior has variance 1.
"""

LOOKED_AT = 2048
"""Rows whose posteriors are looked at."""


def _warn(text: str) -> None:
    warnings.warn(text, CollapseWarning, stacklevel=5)


def _raise(text: str) -> None:
    raise CollapseError(text)


COLLAPSE: dict[str, Callable[[str], None]] = {"ignore": lambda text: None, "raise": _raise, "warn": _warn}
"""Policy -> what to do with the text that says what collapsed."""


def check_start(labels: np.ndarray | torch.Tensor, n_clusters: int, policy: str) -> None:
    """Answer by the policy if all labels (n,), and there are more, of a start of several clusters are the same."""
    labels = torch.as_tensor(labels)
    if n_clusters > 1 and len(labels) > 1 and bool((labels == labels[0]).all()):
        COLLAPSE[policy](
            f"all rows are in one of {n_clusters} clusters before the mixture is trained; use another "
            "start, more pretraining or other scaling."
        )


def check_posterior(module: Any, loader: Loader, policy: str) -> None:
    """Answer by the policy if codes no longer tell rows apart, or all of them are in one cluster.

    Parameters
    ----------
    module : nn.Module
        With `embed` and `mixture`, the prior of what `embed` gives.
    loader : Loader
        Gives the rows.
    policy : str
        A key of `COLLAPSE`.
    """
    if module.mixture.n_components < 2 or loader.n_rows < 2:
        return
    index = torch.arange(0, loader.n_rows, -(-loader.n_rows // LOOKED_AT))
    with evaluating(module), torch.no_grad():
        codes = torch.from_numpy(map_chunks(module.embed, loader, index)).to(module.mixture.logits)
        labels, prior = module.mixture.responsibilities(codes).argmax(-1), module.mixture.variance()
    if bool((codes.var(0, correction=0) < ACTIVE * prior).all()):
        COLLAPSE[policy](
            f"no latent coordinate tells rows apart before the mixture phase: codes have less than {ACTIVE:.0%} of the "
            "mixture's variance; use warm_up_epochs, more pretraining or other scaling."
        )
    check_start(labels, module.mixture.n_components, policy)
