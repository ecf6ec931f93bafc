"""Kernels as scalar functions, their Gram matrices by double loops, their gradients by autograd."""

import math

import torch


def rbf(a, b, h):
    """exp(-|a - b|^2 / (2 h^2)), over the last axis."""
    return torch.exp(-((a - b) ** 2).sum(-1) / (2 * h**2))


def imq(a, b, h):
    """(1 + |a - b|^2 / h^2)^(-1/2), over the last axis."""
    return 1 / torch.sqrt(1 + ((a - b) ** 2).sum(-1) / h**2)


KERNELS = {"rbf": rbf, "imq": imq}


def plain_gram(name, theta, h):
    """The Gram matrix of the rows of `theta` (m, p) in Python floats."""
    rows = theta.tolist()
    shape = {"rbf": lambda d2: math.exp(-d2 / (2 * h * h)), "imq": lambda d2: 1 / math.sqrt(1 + d2 / (h * h))}[name]
    gram = [[shape(sum((x - y) ** 2 for x, y in zip(a, b))) for b in rows] for a in rows]
    return torch.tensor(gram, dtype=torch.float64)


def kernel_sums(kernel, theta, ascent, h):
    """For every i the sums over j of k(theta_j, theta_i) g_j, of grad_{theta_j} k(theta_j, theta_i), of k alone."""
    smoothed, repulsion, mass = [], [], []
    for here in theta.double():
        moving = theta.double().clone().requires_grad_()
        k = kernel(moving, here, h)
        gradients = torch.autograd.grad(k.sum(), moving)[0]  # row j: the derivative with respect to theta_j
        smoothed.append((k.detach()[:, None] * ascent.double()).sum(0))
        repulsion.append(gradients.sum(0))
        mass.append(k.detach().sum()[None])
    return torch.stack(smoothed), torch.stack(repulsion), torch.stack(mass)


def nsvgd(kernel, theta, ascent, h, alpha):
    """Equation (1) of Wang and Liu (2019)."""
    smoothed, repulsion, _ = kernel_sums(kernel, theta, ascent, h)
    return smoothed + alpha / len(theta) * repulsion
