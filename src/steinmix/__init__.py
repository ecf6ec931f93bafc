"""Mixtures that do not collapse. See the README for a start; names are imported when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors, metrics
    from .data import as_source, datasets
    from .diversify import (
        IMQ,
        NSVGD,
        RBF,
        LogDet,
        NoDiversity,
        NormalPrior,
        Pairwise,
    )
    from .errors import (
        ChecksumError,
        CollapseError,
        CollapseWarning,
        ConfigError,
        DataError,
        DistributedError,
        DivergedError,
        DivergedWarning,
        ModelFileError,
        NamesWarning,
        NoParticlesError,
        ScaleWarning,
        SteinmixError,
        SteinmixWarning,
        Terminated,
        UnboundedWarning,
        UnknownCategoryWarning,
    )
    from .estimator import Pretraining, load
    from .methods import DAGMM, DEPICT, GMVAE, GMVAECV, VAE, Autoencoder, GaussianMixture, VaDE
    from .nn import Bernoulli, Gaussian, LearntGaussian
    from .particles import Particles
    from .training import Training

__all__ = [  # noqa: RUF022 (sorted as `dir` sorts)
    "Autoencoder",
    "Bernoulli",
    "ChecksumError",
    "CollapseError",
    "CollapseWarning",
    "ConfigError",
    "DAGMM",
    "DEPICT",
    "DataError",
    "DistributedError",
    "DivergedError",
    "DivergedWarning",
    "GMVAE",
    "GMVAECV",
    "Gaussian",
    "GaussianMixture",
    "IMQ",
    "LearntGaussian",
    "LogDet",
    "ModelFileError",
    "NSVGD",
    "NamesWarning",
    "NoDiversity",
    "NoParticlesError",
    "NormalPrior",
    "Pairwise",
    "Particles",
    "Pretraining",
    "RBF",
    "ScaleWarning",
    "SteinmixError",
    "SteinmixWarning",
    "Terminated",
    "Training",
    "UnboundedWarning",
    "UnknownCategoryWarning",
    "VAE",
    "VaDE",
    "as_source",
    "datasets",
    "errors",
    "load",
    "metrics",
]

__version__ = "0.1.0"

_HOME = {
    "Autoencoder": "methods",
    "Bernoulli": "nn",
    "ChecksumError": "errors",
    "CollapseError": "errors",
    "CollapseWarning": "errors",
    "ConfigError": "errors",
    "DAGMM": "methods",
    "DEPICT": "methods",
    "DataError": "errors",
    "DistributedError": "errors",
    "DivergedError": "errors",
    "DivergedWarning": "errors",
    "GMVAE": "methods",
    "GMVAECV": "methods",
    "Gaussian": "nn",
    "GaussianMixture": "methods",
    "IMQ": "diversify",
    "LearntGaussian": "nn",
    "LogDet": "diversify",
    "ModelFileError": "errors",
    "NSVGD": "diversify",
    "NamesWarning": "errors",
    "NoDiversity": "diversify",
    "NoParticlesError": "errors",
    "NormalPrior": "diversify",
    "Pairwise": "diversify",
    "Particles": "particles",
    "Pretraining": "estimator",
    "RBF": "diversify",
    "ScaleWarning": "errors",
    "SteinmixError": "errors",
    "SteinmixWarning": "errors",
    "Terminated": "errors",
    "Training": "training",
    "UnboundedWarning": "errors",
    "UnknownCategoryWarning": "errors",
    "VAE": "methods",
    "VaDE": "methods",
    "as_source": "data",
    "load": "estimator",
}
_MODULES = {"datasets": "data.datasets", "errors": "errors", "metrics": "metrics"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    if name in _MODULES:
        return import_module(f".{_MODULES[name]}", __name__)
    raise AttributeError(f"module 'steinmix' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
