"""DAGMM's objective row by row and component by component, in float64, from the equations of Zong et al. (2018)."""

import math

import numpy as np


def normal_density(z, mean, covariance):
    """N(z; mean, covariance) by inverse and determinant."""
    gap = z - mean
    norm = math.sqrt(np.linalg.det(2 * math.pi * covariance))
    return math.exp(-0.5 * gap @ np.linalg.inv(covariance) @ gap) / norm


def moments(z, gamma):
    """Eq. 5: phi (m,), mu (m, d), Sigma (m, d, d), by loops."""
    n, m = gamma.shape
    phi, mu, sigma = [], [], []
    for k in range(m):
        mass = sum(gamma[i, k] for i in range(n))
        mean = sum(gamma[i, k] * z[i] for i in range(n)) / mass
        sigma.append(sum(gamma[i, k] * np.outer(z[i] - mean, z[i] - mean) for i in range(n)) / mass)
        phi.append(mass / n)
        mu.append(mean)
    return np.array(phi), np.array(mu), np.array(sigma)


def energy(z, phi, mu, sigma, jitter=0.0):
    """Eq. 6 for one point."""
    eye = np.eye(len(z))
    return -math.log(sum(p * normal_density(z, u, s + jitter * eye) for p, u, s in zip(phi, mu, sigma)))


def variational_energy(z, gamma, phi, mu, sigma, jitter=0.0):
    """KL(Q || p(k)) - E_Q log p(z | k) for one point with memberships gamma (m,)."""
    eye, kl, expected = np.eye(len(z)), 0.0, 0.0
    for g, p, u, s in zip(gamma, phi, mu, sigma):
        kl += g * math.log(g / p)
        expected += g * math.log(normal_density(z, u, s + jitter * eye))
    return kl - expected


def points(x, rebuilt, code):
    """z of Eq. 1-3 for one row."""
    distance = np.linalg.norm(x - rebuilt) / np.linalg.norm(x)
    cosine = x @ rebuilt / (np.linalg.norm(x) * np.linalg.norm(rebuilt))
    return np.array([*code, distance, cosine])


def inverse_variances(sigma):
    """The double sum of Eq. 7."""
    return sum(1 / s[j, j] for s in sigma for j in range(len(s)))
