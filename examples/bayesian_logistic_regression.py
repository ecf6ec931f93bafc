r"""Variational inference with the same two lines: F is linear, F[rho] = E_rho log p(theta, data), and alpha is one.

Then F[rho] + H[rho] is minus the KL divergence to the posterior, and NSVGD is Stein variational gradient descent (Wang
and Liu 2019, Section 1 and Appendix C; Liu and Wang 2016). Bayesian logistic regression of scikit-learn's breast cancer
table on six of its columns, theta ~ N(0, I): predictive accuracy and log loss on the 30 % of the rows that were held
out, means and standard deviations of the coefficients, for

* NSVGD; with alpha = 0, without entropy, the particles gather at the mode and the posterior's spread is lost;
* an SVGD written independently, below in NumPy, and that of BlackJAX where it is installed: same steps, same particles;
* long Markov chains: what is true.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import steinmix as sm
from steinmix.random import Streams

COLUMNS = ["radius", "texture", "smoothness", "concavity", "symmetry", "fractal dimension"]
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
    x, y = found.data[[f"mean {name}" for name in COLUMNS]].to_numpy(), 2.0 * found.target.to_numpy() - 1
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


def score(theta: np.ndarray, table: Table) -> np.ndarray:
    """Return the gradient of log p(theta, data) by hand, (m, p)."""
    x, y = table.x.numpy(), table.y.numpy()
    return (y / (1 + np.exp(y * (theta @ x.T)))) @ x - theta


def svgd(start: Tensor, table: Table, steps: int = STEPS) -> Tensor:
    """Move particles (m, p) by Algorithm 1 of Liu and Wang (2016), with nothing of steinmix or torch."""
    theta, m = start.numpy(), len(start)
    for _ in range(steps):
        apart = theta[:, None] - theta[None]
        distance = np.sqrt((apart**2).sum(-1))
        h = np.median(distance[np.triu_indices(m, 1)])
        k = np.exp(-(distance**2) / (2 * h**2))
        phi = (k @ score(theta, table) + np.einsum("ij,ijp->ip", k, apart) / h**2) / m
        theta = theta + STEP * phi
    return torch.from_numpy(theta)


def blackjax_density(table: Table) -> Any:
    """Return log p(theta, data) of one theta (p,) in JAX."""
    from jax import numpy as jnp

    x, y = jnp.asarray(table.x.numpy()), jnp.asarray(table.y.numpy())
    return lambda theta: -jnp.logaddexp(0, -y * (x @ theta)).sum() - 0.5 * (theta**2).sum()


def blackjax_svgd(start: Tensor, table: Table, steps: int = STEPS) -> Tensor:
    """Move particles (m, p) by BlackJAX's SVGD.

    Its kernel is exp(-d^2 / length_scale), and its length_scale med^2 / log m; the paper's is 2 h^2 = 2 med^2.
    """
    import blackjax
    import jax
    import optax

    def paper(state: Any) -> Any:
        state = blackjax.vi.svgd.update_median_heuristic(state)
        scale = 2 * np.log(len(start)) * state.kernel_parameters["length_scale"]
        return state._replace(kernel_parameters={"length_scale": scale})

    with jax.enable_x64(True):
        sampler = blackjax.svgd(jax.grad(blackjax_density(table)), optax.sgd(STEP), update_kernel_parameters=paper)
        state = paper(sampler.init(jax.numpy.asarray(start.numpy()), {}))
        state = jax.lax.fori_loop(0, steps, lambda _, state: sampler.step(state), state)
        return torch.from_numpy(np.array(state.particles))


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


def diagnose(draws: Tensor) -> tuple[float, float]:
    """Return the largest split R-hat of the coefficients, and the smallest number of independent draws worth as much.

    Both follow from the variance between the means of half chains; R-hat is 1.00 where the chains agree.
    """
    half = draws.shape[1] // 2
    parts = torch.cat([draws[:, :half], draws[:, half : 2 * half]])
    within, between = parts.var(1).mean(0), parts.mean(1).var(0)
    total = within * (half - 1) / half + between
    return float((total / within).sqrt().max()), float((len(parts) * total / between).min())


def predictive(theta: Tensor, table: Table) -> tuple[float, float]:
    """Return accuracy and log loss on the held-out rows, their probabilities averaged over draws (m, p)."""
    log_p = F.logsigmoid(table.y_test * (theta @ table.x_test.T))
    log_mean = torch.logsumexp(log_p, 0) - np.log(len(theta))
    return float((log_mean > np.log(0.5)).double().mean()), -float(log_mean.mean())


def show(samples: dict[str, Tensor], table: Table) -> None:
    """Print a column for each sample (m, p)."""
    columns = []
    for sample in samples.values():
        moments = zip(sample.mean(0).tolist(), sample.std(0).tolist())
        columns.append([f"{v:.3f}" for v in predictive(sample, table)] + [f"{m:.2f} ± {s:.2f}" for m, s in moments])
    names = ["", "accuracy", "log loss", "intercept", *COLUMNS]
    for name, *cells in zip(names, *([head, *column] for head, column in zip(samples, columns))):
        print(f"{name:17s}" + "".join(f"{cell:>15s}" for cell in cells))


def main(particles: int = PARTICLES, steps: int = STEPS) -> None:
    """Print the comparison."""
    streams = Streams(0)
    table = load(streams)
    theta = start(streams, table, particles)
    ours = stein(theta, table, steps=steps)
    others, draws = {"NumPy SVGD": svgd(theta, table, steps)}, chain(streams, table)
    if find_spec("blackjax"):
        others["BlackJAX SVGD"] = blackjax_svgd(theta, table, steps)
    else:
        print("BlackJAX is not installed: its SVGD is left out.")
    samples = {"NSVGD": ours, "NSVGD, alpha=0": stein(theta, table, alpha=0.0, steps=steps), **others}
    show({**samples, "Markov chains": draws.flatten(0, 1)}, table)
    r_hat, effective = diagnose(draws)
    print(f"{draws[..., 0].numel()} draws of the chains, worth {effective:.0f}; split R-hat {r_hat:.3f}")
    for name, other in others.items():
        print(f"{name}: largest difference from NSVGD's particles {float((ours - other).abs().max()):.1e}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
