"""The example of variational inference, in small: other SVGDs' particles, and the chains' moments."""

import jax
import numpy as np
import pytest
import torch
from blackjax import diagnostics

from oracles.svgd import trajectory
from steinmix.random import Streams

EXAMPLE = "bayesian_logistic_regression"


@pytest.fixture(scope="module")
def table(example):
    return example.load(Streams(0))


def test_the_particles_are_those_of_independent_svgds(example, table):
    theta = example.start(Streams(0), table, 12)
    own = example.stein(theta, table, steps=15).numpy()
    slow = trajectory(theta.numpy(), lambda theta: example.score(theta, table), example.STEP, 15)[-1]
    for other in (slow, example.svgd(theta, table, 15), example.blackjax_svgd(theta, table, 15)):
        np.testing.assert_allclose(own, other, rtol=0, atol=1e-10)


def test_the_score_by_hand_is_the_gradient(example, table):
    theta = example.start(Streams(1), table, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(example.log_joint(theta, table).sum(), theta)
    np.testing.assert_allclose(example.score(theta.detach().numpy(), table), gradient, atol=1e-10)


def test_split_r_hat_is_that_of_blackjax(example, normal):
    draws = normal(4, 100, 3) + normal(4, 1, 3)
    halves = torch.cat([draws[:, :50], draws[:, 50:]]).numpy()
    with jax.enable_x64(True):
        expected = diagnostics.potential_scale_reduction(halves).max()
    assert example.diagnose(draws)[0] == pytest.approx(float(expected), rel=1e-10)


def test_draws_are_worth_fewer_if_each_depends_on_the_last(example, normal):
    """Of x_t = a x_{t-1} + noise, n draws are worth n (1 - a) / (1 + a)."""
    noise, draws = normal(400, 500, 1), [normal(400, 1)]
    for t in range(499):
        draws.append(0.6 * draws[-1] + 0.8 * noise[:, t])
    assert example.diagnose(noise)[1] == pytest.approx(200_000, rel=0.2)
    assert example.diagnose(torch.stack(draws, 1))[1] == pytest.approx(50_000, rel=0.2)


def test_particles_have_the_moments_of_the_posterior(example, table):
    draws = example.chain(Streams(0), table, chains=32, steps=1500)
    r_hat, effective = example.diagnose(draws)
    assert r_hat < 1.1
    assert effective > 400
    draws = draws.flatten(0, 1)
    theta = example.start(Streams(0), table, 50)
    sample = example.stein(theta, table, steps=800)
    sd = draws.std(0)
    assert ((sample.mean(0) - draws.mean(0)).abs() < 0.2 * sd).all()
    assert ((sample.std(0) / sd - 1).abs() < 0.2).all()
    accuracy, loss = example.predictive(sample, table)
    true_accuracy, true_loss = example.predictive(draws, table)
    assert accuracy == pytest.approx(true_accuracy, abs=0.02)
    assert loss == pytest.approx(true_loss, abs=0.01)
    flat = example.stein(theta, table, alpha=0.0, steps=800)
    assert (flat.std(0) / sd).mean() < 0.6  # without entropy most of the spread is lost


@pytest.mark.parametrize("installed", [True, False])
def test_it_prints_its_table(example, capsys, monkeypatch, installed):
    draws = Streams(0).normal_like(torch.zeros(4, 50, 7, dtype=torch.float64))
    monkeypatch.setattr(example, "chain", lambda streams, table: draws)
    monkeypatch.setattr(example, "find_spec", lambda name: installed or None)
    example.main(particles=10, steps=3)
    out = capsys.readouterr().out
    assert all(name in out for name in ("log loss", "fractal dimension", "Markov chains", "split R-hat"))
    assert ("BlackJAX SVGD: largest difference" in out) == installed
    assert ("BlackJAX is not installed" in out) != installed
