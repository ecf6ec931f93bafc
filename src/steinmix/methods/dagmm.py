r"""Deep autoencoding Gaussian mixture model (DAGMM), and its form with free particles.

References: B. Zong, Q. Song, M. R. Min, W. Cheng, C. Lumezanu, D. Cho, H. Chen, *Deep Autoencoding Gaussian Mixture
Model for Unsupervised Anomaly Detection*, ICLR 2018 (key ``zong2018``); D. Wang and Q. Liu, ICML 2019, Section 5.3 (key
``wang2019``).

.. math:: z = [z_c, z_r], \quad z_r = [\lVert x - \hat x \rVert / \lVert x \rVert, \cos(x, \hat x)], \quad
          \hat\gamma = \mathrm{softmax}(\mathrm{MLN}(z)) \qquad \text{(Eq. 1-4)}

.. math:: E(z) = -\log \sum_k \hat\phi_k N(z; \hat\mu_k, \hat\Sigma_k), \quad \hat\phi, \hat\mu, \hat\Sigma
          \text{ the } \hat\gamma\text{-weighted moments} \qquad \text{(Eq. 5-6)}

.. math:: J = \tfrac1N \sum_i \lVert x_i - \hat x_i \rVert^2 + \tfrac{\lambda_1}N \sum_i E(z_i)
          + \lambda_2 \sum_k \sum_j 1 / \hat\Sigma_{kjj} \qquad \text{(Eq. 7)}

====================================================  ========================================================
paper                                                 here
====================================================  ========================================================
:math:`z_c`, :math:`z_r`                              columns of `embed`
:math:`\hat\gamma`, MLN                               `EstimationNetwork`
:math:`\hat\phi, \hat\mu, \hat\Sigma`                 `Moments`
:math:`E(z)`, :math:`J`                               the term ``energy``, the sum of the three terms
:math:`\lambda_1`, :math:`\lambda_2`                  `weights`
DAGMM, DAGMM-p, DAGMM-NVI                             `mixture` "network", `pretraining_epochs` > 0, "nvi"
NSVGD's :math:`\theta_k = [\mu_k, S_k]` (wang2019)    [means, raw_tril], `mixture` "free", or as released "signed"
====================================================  ========================================================

DAGMM-NVI has the neural variational energy :math:`\sum_k \hat\gamma_k (\log \hat\gamma_k - \log \hat\phi_k - \log
N(z; \hat\mu_k, \hat\Sigma_k))`, a bound of E. The free form has no network: m particles of equal weight are trained,
and a diversifier acts on them with minus the gradient of J. As J has :math:`\lambda_1 E`, **alpha here is**
:math:`1 / \lambda_1` **times as strong** as beside a plain log-likelihood.

Deviations. The network's moments are taken in float64, with 1e-6 on the diagonal for the density; a variance counts as
1e-6 at least in the penalty. :math:`\lVert x \rVert` counts as 1e-3 at least. Rows are scored with the moments of
**all** training rows, dropout off. Of free particles :math:`\Sigma_k = S_k S_k^\top`, as in the released code (Wang and
Liu print :math:`S_k^\top S_k`), and the factor's diagonal is a softplus; the code lets it cross zero, as "signed" does.
:math:`\lambda_2` is 1e-4 unless given, 0.005 in the paper; see `DAGMM`. Adam steps at 1e-3 in batches of 256 (the
paper's: 1e-4, 1024). The logarithmic residual, and a network at rest beside the mixture (``joint=False``), are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .._typing import RandomState, Source
from ..data.prepare import ColumnStatistics
from ..diversify import Diversifier, NoDiversity
from ..diversify.base import is_sound
from ..errors import ConfigError
from ..estimator import (
    DetectorShell,
    FitContext,
    check_at_least,
    check_choice,
    check_count,
    check_family,
    check_width,
    check_widths,
    epochs_for_steps,
    start_points,
)
from ..mixtures import STARTS, CholeskyMixture, SignedCholeskyMixture, start_mixture
from ..nn import Coder, EstimationNetwork, Gaussian, Tanh
from ..numerics.fused import residual_sums
from ..numerics.moments import Moments, merged_moments, weighted_moments
from ..objective import Batch, Objective, Phase, Term
from ..random import Streams
from ..training import Training

__all__ = ["DAGMM"]

PAPER_HIDDEN, PAPER_WIDTH = (60, 30, 10), 118
"""Widths of the encoder for the 118 columns of KDD Cup 1999; narrower data have narrower nets."""

FACTORS = {"free": CholeskyMixture, "signed": SignedCholeskyMixture}
"""What free particles are made of."""

FAMILIES = {"free": "full", "signed": "cholesky"}
"""The same, as kernels call it."""

SMALLEST_NORM, SMALLEST_SQUARE, TINY = 1e-3, 1e-2, 1e-16
DROPOUT, ESTIMATION_WIDTH = 0.5, 10


Residual = tuple[Tensor, Tensor, Tensor]
"""Squared error and two features of the residual, (*r, b) each."""


def _relative(x: Tensor, rebuilt: Tensor) -> Residual:
    """Relative distance and cosine."""
    norm = x.square().sum(-1)
    error, dot, square = residual_sums(x, rebuilt)
    distance = (error.clamp(min=TINY) / norm.clamp(min=SMALLEST_NORM**2)).sqrt()
    return error, distance, dot * (norm * square).clamp(min=TINY).rsqrt()


def _logarithmic(x: Tensor, rebuilt: Tensor) -> Residual:
    """Logarithms of the squared error and of the squared norm."""
    error = (rebuilt - x).square().sum(-1)
    return error, torch.log(error + SMALLEST_SQUARE), torch.log(x.square().sum(-1) + SMALLEST_SQUARE)


RESIDUALS: dict[str, Callable[[Tensor, Tensor], Residual]] = {"log": _logarithmic, "relative": _relative}


class _Estimated(nn.Module):
    """Memberships from a network, and the moments they give: of the batch in training, of all rows afterwards."""

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def __init__(self, m: int, d: int, variational: bool, generator: torch.Generator) -> None:
        super().__init__()
        self.network, self.variational = EstimationNetwork(d, ESTIMATION_WIDTH, m, DROPOUT, generator), variational
        start = (torch.full((m,), 1 / m, dtype=torch.float32), torch.zeros(m, d), torch.eye(d).expand(m, -1, -1))
        for name, value in zip(Moments._fields, start):
            self.register_buffer(name, value.double().clone())

    def energy(self, z: Tensor, streams: Streams | None = None) -> tuple[Tensor, Tensor]:
        """Return E(z), (*r, b), and the sum of inverse variances, (*r,); with `streams` as in training."""
        z = z.mT.contiguous().mT  # the long axis last in memory, for all that follows
        log_gamma, z = self.network(z, streams).double(), z.double()
        moments = self.moments() if streams is None else weighted_moments(z, log_gamma.exp())
        joint = moments.joint_log_prob(z)
        if self.variational:
            return (log_gamma.exp() * (log_gamma - joint)).sum(-1), moments.inverse_variances()
        return -torch.logsumexp(joint, dim=-1), moments.inverse_variances()

    def moments(self) -> Moments:
        return Moments(self.weights, self.means, self.covariances)

    def groups(self, z: Tensor) -> tuple[Tensor, Tensor]:
        gamma = self.network(z).double().exp()
        return gamma, weighted_moments(z.double(), gamma).means

    def settle_(self, parts: Iterable[Tensor]) -> None:
        """Take the moments of all rows."""
        whole = merged_moments((len(z), weighted_moments(z.double(), self.network(z).double().exp())) for z in parts)
        for buffer, value in zip(self.moments(), whole):
            buffer.copy_(value)


class _Free(nn.Module):
    """Particles [mean, factor] of equal weight."""

    def __init__(self, mixture: CholeskyMixture) -> None:
        super().__init__()
        self.mixture = mixture.double()

    def energy(self, z: Tensor, streams: Streams | None = None) -> tuple[Tensor, Tensor]:
        variances = self.mixture.scale_tril().square().sum(-1)
        return -self.mixture.log_prob(z.double()), variances.reciprocal().sum((-2, -1))

    def groups(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.mixture.responsibilities(z.double()), self.mixture.means

    def settle_(self, parts: Iterable[Tensor]) -> None:
        """Nothing: the particles are the mixture."""

    @torch.no_grad()
    def scatter_(self, generator: torch.Generator) -> None:
        """The start of the released code: means uniform in (-0.5, 0.5), entries of the factor in (-1, 1)."""
        mixture = self.mixture
        mixture.means.uniform_(-0.5, 0.5, generator=generator)
        mixture.raw_tril.uniform_(-1, 1, generator=generator).tril_()


class DAGMMModule(Coder):
    """The compression network and the density of what it makes of a row."""

    def __init__(self, density: nn.Module, weights: tuple[float, float], residual: str, **coder: Any) -> None:
        super().__init__(likelihood=Gaussian(variance=0.5), activation=Tanh, **coder)
        self.density: Any = density
        self.weights, self.residual = weights, RESIDUALS[residual]

    def compressed(self, x: Tensor) -> Tensor:
        """Return code, the two features of the residual, and the squared error of rows, (*r, b, d + 1)."""
        code = self.encode(x)
        error, first, second = self.residual(x, self.decode(code))
        return torch.cat([code.mT, torch.stack([first, second, error], dim=-2)], dim=-2).mT

    def embed(self, x: Tensor) -> Tensor:
        return self.compressed(x)[..., :-1]

    def score(self, x: Tensor) -> Tensor:
        return -self.density.energy(self.embed(x))[0]

    def groups(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.density.groups(self.embed(x))

    @torch.no_grad()
    def settle_(self, rows: Iterable[Tensor]) -> None:
        self.density.settle_(self.embed(x) for x in rows)

    def terms(self, batch: Batch, streams: Streams, joint: bool = True) -> dict[str, Term]:
        """Eq. 7; unless `joint` the networks get no gradient."""
        with torch.set_grad_enabled(joint and torch.is_grad_enabled()):
            points = batch.expand(self.compressed(batch.x))
        energy, inverse_variances = self.density.energy(points[..., :-1], streams)
        return {
            "reconstruction": Term(points[..., -1].mean(-1)),
            "energy": Term(energy.mean(-1), self.weights[0]),
            "inverse_variance": Term(inverse_variances, self.weights[1]),
        }

    def reconstruction(self, batch: Batch) -> dict[str, Term]:
        """The first term of Eq. 7."""
        return {"reconstruction": Term(batch.expand(self.compressed(batch.x))[..., -1].mean(-1))}


class DAGMM(DetectorShell):
    """Deep autoencoding Gaussian mixture model: an outlier detector.

    Parameters
    ----------
    n_components : int, default=4
        Components of the mixture.
    latent_dim : int, default=1
        Length of the code; never more than the number of features.
    hidden : sequence of int, optional
        Widths of the encoder's hidden layers; None takes 60-30-10 for 118 columns and more, less for fewer.
    mixture : {"auto", "network", "nvi", "free", "signed"}, default="auto"
        Where the mixture comes from: the estimation network (DAGMM), the same with the variational energy
        (DAGMM-NVI), or free particles of equal weight. "auto" takes "free" with a diversifier, else "network".
        "signed" are free particles whose factor has the released code's parameters (`SignedCholeskyMixture`).
    start : {"uniform", "em", "graph", "kmeans", "k-means++", "linkage", "random"}, default="uniform"
        How free particles are started: as the released code does, or from the codes.
    diversifier : Diversifier, optional
        Acts on free particles: `NSVGD(alpha=...)` keeps them apart. See the module on the scale of alpha.
    residual : {"relative", "log"}, default="relative"
        What is said of a row beside its code: relative distance and cosine, as in the paper; or the logarithms of
        squared error and squared norm, which tell large errors apart where the relative distance is close to one.
    weights : (float, float), default=(0.1, 1e-4)
        Of the energy and of the inverse variances, beside the squared error. The paper has 0.005 for the second; on
        tables of some hundred or thousand rows that outweighs the squared error, and rows are rebuilt badly.
    pretraining_epochs : int, default=0
        Epochs in which the compression network learns alone, before the mixture (DAGMM-p).
    joint : bool, default=True
        Whether the compression network goes on learning beside the mixture, as in the paper. If not, the mixture is
        fitted to the codes of the pretrained network, which then cannot draw all rows into one component.
    contamination : float, default=0.1
        Share of the training rows below the threshold, between 0 and 0.5.
    scaling : {"minmax", "standard", "none", "common", "range", "auto"}, default="minmax"
        How columns are scaled on the way in, by the training rows alone. The relative distance has the norm of the
        row below the line, so scaled rows should not lie around zero.
    training : Training, optional
        Epochs, batch size, optimiser, precision, device.
    n_init : int, default=1
        Restarts, each with a seed of its own; all are kept in ``restarts_`` and compared.
    n_jobs : int, optional
        Processes for the restarts. None runs those of a small model as one program, and those of a large one as
        joblib's context has it, else on all cores.
    selection : {"objective", "agreement", "consensus"}, default="objective"
        Which restart is kept: of lowest final loss, or in best agreement with the others. With "consensus" all are:
        a row's score is the mean of theirs, each in units of its spread over the training rows
        (`steinmix.metrics.consensus_scores`); codes and diagnostics are those of the lowest loss.
    random_state : int, RandomState or None
        Seed of all that is drawn: first weights, order of the rows, noise, samples. A fit with a whole number can be
        repeated; None takes fresh entropy from the operating system.

    Attributes
    ----------
    offset_ : float
        Threshold: rows of a lower score are outliers.
    history_, diagnostics_ : list of dict
    restarts_, agreement_, stability_, row_stability_, consensus_labels_ : list of dict, ndarray
        With ``n_init > 1``; see `DeepEstimator`.

    References
    ----------
    Zong et al. (2018), key ``zong2018``; Wang and Liu (2019), key ``wang2019``.

    Examples
    --------
    >>> import numpy as np, steinmix as sm
    >>> X = np.random.default_rng(0).normal(size=(200, 5))
    >>> detector = sm.DAGMM(training=sm.Training(epochs=2), random_state=0).fit(X)
    >>> sorted(set(detector.predict(X).tolist()))
    [-1, 1]
    """

    module_: DAGMMModule
    _stack_limit = 20_000_000
    _knows_distinct_rows = True

    def __init__(
        self,
        n_components: int = 4,
        *,
        latent_dim: int = 1,
        hidden: Sequence[int] | None = None,
        mixture: str = "auto",
        start: str = "uniform",
        diversifier: Diversifier | None = None,
        residual: str = "relative",
        weights: tuple[float, float] = (0.1, 1e-4),
        pretraining_epochs: int = 0,
        joint: bool = True,
        contamination: float = 0.1,
        scaling: str = "minmax",
        training: Training | None = None,
        n_init: int = 1,
        n_jobs: int | None = None,
        selection: str = "objective",
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.mixture = mixture
        self.start = start
        self.diversifier = diversifier
        self.residual = residual
        self.weights = weights
        self.pretraining_epochs = pretraining_epochs
        self.joint = joint
        self.contamination = contamination
        self.scaling = scaling
        self.training = training
        self.n_init = n_init
        self.n_jobs = n_jobs
        self.selection = selection
        self.random_state = random_state

    def _plan(self, source: Source, stats: ColumnStatistics, prepared: ColumnStatistics) -> dict[str, Any]:
        mixture = check_choice("mixture", self.mixture, ("auto", "network", "nvi", *FACTORS))
        check_choice("start", self.start, (*STARTS, "uniform"))
        check_at_least("pretraining_epochs", self.pretraining_epochs, 0)
        if mixture == "auto":
            mixture = "network" if isinstance(self.diversifier, NoDiversity | None) else "free"
        if mixture in FAMILIES:
            check_family(self.diversifier, FAMILIES[mixture])
        width = source.n_features
        paper = [max(2, round(h * min(1, width / PAPER_WIDTH))) for h in PAPER_HIDDEN]
        return {
            "n_components": check_count("n_components", self.n_components, source.n_rows),
            "n_features": width,
            "latent_dim": min(check_width("latent_dim", self.latent_dim), width),
            "hidden": paper if self.hidden is None else check_widths("hidden", self.hidden),
            "mixture": mixture,
            "residual": check_choice("residual", self.residual, RESIDUALS),
            "weights": _checked(self.weights),
            "epochs": epochs_for_steps(4000, source.n_rows, most=100),
        }

    def _module(self, plan: Mapping[str, Any], streams: Streams) -> DAGMMModule:
        generator, m, d = streams.torch("weights", "cpu"), plan["n_components"], plan["latent_dim"] + 2
        if plan["mixture"] in FACTORS:
            density = _Free(FACTORS[plan["mixture"]](m, d, learn_weights=False))
            density.scatter_(generator)
        else:
            density = _Estimated(m, d, plan["mixture"] == "nvi", generator)
        sizes = {"n_features": plan["n_features"], "n_latent": plan["latent_dim"], "hidden": plan["hidden"]}
        return DAGMMModule(density, tuple(plan["weights"]), plan["residual"], **sizes, generator=generator)

    def _phases(self, module: DAGMMModule, context: FitContext) -> list[Phase]:
        free = isinstance(module.density, _Free)
        particles = module.density.mixture.particles() if free else None
        terms = partial(module.terms, streams=context.streams, joint=self.joint)
        trained = module.parameters() if self.joint else module.density.parameters()
        whole = Objective(terms, list(trained), particles, self.diversifier)
        begin = partial(self._begin, module, context) if free and self.start != "uniform" else None
        main = Phase("mixture", context.epochs, [whole], before=begin)
        networks = [p for name, p in module.named_parameters() if not name.startswith("density.")]
        pretrain = Phase("pretrain", self.pretraining_epochs, [Objective(module.reconstruction, networks)])
        return [pretrain, main] if self.pretraining_epochs else [main]

    def _begin(self, module: DAGMMModule, context: FitContext) -> None:
        """Start free particles from the codes."""
        _, points = start_points(module.embed, module.density.mixture, context.loader)
        start_mixture(self.start, module.density.mixture, points, context.streams)


def _checked(weights: Any) -> list[float]:
    if not hasattr(weights, "__len__") or len(weights) != 2 or not is_sound(weights):
        raise ConfigError(
            f"weights are {weights!r}; expected two finite numbers >= 0, of energy and inverse variances."
        )
    return [float(w) for w in weights]
