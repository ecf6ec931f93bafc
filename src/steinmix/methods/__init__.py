"""One paper, one file. `__all__` is the registry: the tests' common battery and the command line read it."""

from .autoencoder import Autoencoder
from .depict import DEPICT
from .gaussian_mixture import GaussianMixture
from .vade import VaDE
from .vae import VAE

__all__ = ["DEPICT", "VAE", "Autoencoder", "GaussianMixture", "VaDE"]
