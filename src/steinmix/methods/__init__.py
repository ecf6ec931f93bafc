"""One paper, one file. `__all__` is the registry: the tests' common battery and the command line read it."""

from .autoencoder import Autoencoder
from .dagmm import DAGMM
from .depict import DEPICT
from .gaussian_mixture import GaussianMixture
from .gmvae import GMVAE
from .gmvae_cv import GMVAECV
from .vade import VaDE
from .vae import VAE

__all__ = ["DAGMM", "DEPICT", "GMVAE", "GMVAECV", "VAE", "Autoencoder", "GaussianMixture", "VaDE"]
