"""One paper, one file. `__all__` is the registry: the tests' common battery and the command line read it."""

from .autoencoder import Autoencoder
from .gaussian_mixture import GaussianMixture
from .gmvae import GMVAE
from .gmvae_cv import GMVAECV
from .vade import VaDE
from .vae import VAE

__all__ = ["GMVAE", "GMVAECV", "VAE", "Autoencoder", "GaussianMixture", "VaDE"]
