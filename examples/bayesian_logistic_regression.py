r"""Variational inference with the same two lines: F is linear, F[rho] = E_rho log p(theta, data), and alpha is one.

Then F[rho] + H[rho] is minus the KL divergence to the posterior, and NSVGD is Stein variational gradient descent (Wang
and Liu 2019, Section 1 and Appendix C; Liu and Wang 2016). Bayesian logistic regression of scikit-learn's breast cancer
table on six of its columns, theta ~ N(0, I), judged on 30 % of the rows that were held out:

* particles: predictive accuracy and log-likelihood, marginal means and standard deviations of the coefficients;
* alpha = 0: without entropy the particles gather at the mode, and what the posterior does not know is lost;
* an SVGD written independently, the slow twin of the tests (found in a clone of the repository only): same steps,
  same particles;
* a long Markov chain: what is true.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import steinmix as sm
from steinmix.random import Streams

COLUMNS = [f"mean {name}" for name in ["radius", "texture", "smoothness", "concavity", "symmetry", "fractal dimension"]]
STEP, STEPS, PARTICLES = 0.01, 1500, 100


class Table(NamedTuple):
    """Rows with a column of ones, and classes -1 and +1; float64."""

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor


def load(streams: Streams) -> Table:
    """Return the table, split at random and scaled by its training rows."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer(as_frame=True)
    x, y = found.data[COLUMNS].to_numpy(), 2.0 * found.target.to_numpy() - 1
    order = streams.numpy("split").permutation(len(x))
    train, test = np.split(order, [7 * len(x) // 10])
    x = (x - x[train].mean(0)) / x[train].std(0)
    x = np.column_stack([np.ones(len(x)), x])
    return Table(*(torch.from_numpy(a) for a in (x[train], y[train], x[test], y[test])))


def log_joint(theta: Tensor, table: Table) -> Tensor:
    """Return log p(theta, data) for each theta (m, p), up to a constant, (m,)."""
    return F.logsigmoid(table.y * (theta @ table.x.T)).sum(-1) - 0.5 * theta.square().sum(-1)


def start(streams: Streams, table: Table, particles: int) -> Tensor:
    """Return particles (m, p) drawn from the prior."""
    return torch.randn(particles, table.x.shape[1], generator=streams.torch("start"), dtype=torch.float64)


def stein(theta: Tensor, table: Table, alpha: float = 1.0, steps: int = STEPS, step: float = STEP) -> Tensor:
    """Move particles (m, p) by plain gradient steps, diversified."""
    theta = theta.clone().requires_grad_()
    particles, diversifier = sm.Particles([theta]), sm.NSVGD(alpha=alpha)
    optimizer = torch.optim.SGD([theta], lr=step)
    for _ in range(steps):
        loss = -log_joint(theta, table).mean()  # minus F
        optimizer.zero_grad()
        loss.backward()
        particles.diversify_(diversifier)
        optimizer.step()
    return theta.detach()


def score(table: Table) -> Callable[[np.ndarray], np.ndarray]:
    """Return the gradient of log p(theta, data) by hand, in NumPy, for the twin."""
    x, y = table.x.numpy(), table.y.numpy()

    def gradient(theta: np.ndarray) -> np.ndarray:
        return (y / (1 + np.exp(y * (theta @ x.T)))) @ x - theta

    return gradient


def chain(streams: Streams, table: Table, chains: int = 64, steps: int = 6000) -> Tensor:
    """Return draws (chains, steps / 2, p) of random-walk Metropolis chains; their first halves are left out.

    Proposals have the covariance of the posterior at its mode, scaled by the usual 2.38^2 / p.
    """
    generator = streams.torch("chain")
    mode = stein(torch.zeros(1, table.x.shape[1], dtype=torch.float64), table, alpha=0.0)
    hessian = torch.autograd.functional.hessian(lambda t: -log_joint(t[None], table)[0], mode[0])
    root = torch.linalg.cholesky(torch.linalg.inv(hessian)) * 2.38 / len(hessian) ** 0.5
    theta = mode + torch.randn(chains, len(root), generator=generator, dtype=torch.float64) @ root.T
    density, draws = log_joint(theta, table), []
    for number in range(steps):
        proposal = theta + torch.randn(theta.shape, generator=generator, dtype=torch.float64) @ root.T
        proposed = log_joint(proposal, table)
        taken = torch.rand(chains, generator=generator, dtype=torch.float64).log() < proposed - density
        theta, density = torch.where(taken[:, None], proposal, theta), torch.where(taken, proposed, density)
        if number >= steps // 2:
            draws.append(theta)
    return torch.stack(draws, 1)


def spread_of_chains(draws: Tensor) -> float:
    """Return the largest split R-hat of the coefficients; 1.00 means that the chains agree."""
    half = draws.shape[1] // 2
    parts = torch.cat([draws[:, :half], draws[:, half : 2 * half]])
    within, between = parts.var(1).mean(0), parts.mean(1).var(0)
    return float(((within * (half - 1) / half + between) / within).sqrt().max())


def predictive(theta: Tensor, table: Table) -> tuple[float, float]:
    """Return accuracy and mean log-likelihood on the held-out rows, averaged over draws (m, p)."""
    log_p = F.logsigmoid(table.y_test * (theta @ table.x_test.T))
    log_mean = torch.logsumexp(log_p, 0) - np.log(len(theta))
    return float((log_mean > np.log(0.5)).double().mean()), float(log_mean.mean())


def twin() -> Callable[..., np.ndarray] | None:
    """Return the tests' independent SVGD, or None outside a clone."""
    tests = Path(__file__).parent.parent / "tests"
    if not (tests / "oracles" / "svgd.py").is_file():
        return None
    sys.path.insert(0, str(tests))
    from oracles.svgd import trajectory

    return trajectory


def main(particles: int = PARTICLES, steps: int = STEPS, twin_steps: int = 50) -> None:
    """Print the comparison."""
    streams = Streams(0)
    table = load(streams)
    theta = start(streams, table, particles)
    draws = chain(streams, table)
    samples = {
        "NSVGD, alpha = 1": stein(theta, table, steps=steps),
        "NSVGD, alpha = 0": stein(theta, table, alpha=0.0, steps=steps),
        "Markov chain": draws.flatten(0, 1),
    }
    print(f"{'':18s}{'accuracy':>10s}{'log-lik.':>10s}   mean and standard deviation of the coefficients")
    for name, sample in samples.items():
        accuracy, likelihood = predictive(sample, table)
        moments = "  ".join(f"{m:5.2f} ± {s:.2f}" for m, s in zip(sample.mean(0).tolist(), sample.std(0).tolist()))
        print(f"{name:18s}{accuracy:10.3f}{likelihood:10.3f}   {moments}")
    print(f"\nsplit R-hat of the chains: {spread_of_chains(draws):.3f}")
    independent = twin()
    if independent is not None:
        own = stein(theta, table, steps=twin_steps).numpy()
        other = independent(theta.numpy(), score(table), STEP, twin_steps)[-1]
        difference = np.abs(own - other).max()
        print(f"after {twin_steps} steps, largest difference from the independent SVGD: {difference:.1e}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
