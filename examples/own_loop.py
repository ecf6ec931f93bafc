"""A mixture and a loop of your own: the diversifier needs two lines.

A one-dimensional mixture of six components is fitted to data with six modes, from a start at which all components
sit in the middle.
"""

from __future__ import annotations

import torch

import steinmix as sm

X = torch.tensor(sm.datasets.load_toy(n_components=6, spacing=5.0, random_state=0).data, dtype=torch.float32)


def fit(diversifier: sm.NSVGD | sm.NoDiversity) -> torch.Tensor:
    """Return the sorted means after 3,000 steps of Adam."""
    generator = torch.Generator().manual_seed(0)
    means = torch.rand(6, 1, generator=generator).sub_(3).requires_grad_()
    theta = sm.Particles([means])
    optimizer = torch.optim.Adam([means], lr=0.05)
    for _ in range(3000):
        x = X[torch.randint(len(X), (256,), generator=generator)]
        log_prob = torch.distributions.Normal(means.T, 1.0).log_prob(x)
        loss = -(torch.logsumexp(log_prob, dim=1)).mean()
        optimizer.zero_grad()
        loss.backward()
        theta.diversify_(diversifier)
        optimizer.step()
    return means.detach().flatten().sort().values


if __name__ == "__main__":
    print("no diversifier:", fit(sm.NoDiversity()))
    print("NSVGD(0.1):    ", fit(sm.NSVGD(alpha=0.1)))
