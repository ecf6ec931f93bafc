"""DAGMM (ICLR 2018): its table of KDDCUP99 stands with that of Nonlinear SVGD, `wang2019`; here are other tables."""

from __future__ import annotations

from .outliers import OUTLIERS

__all__ = ["EXPERIMENTS"]

EXPERIMENTS = (OUTLIERS,)
