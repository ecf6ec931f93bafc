"""The example of variational inference, in small: the twin's particles, and the chain's moments."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from oracles.svgd import trajectory
from steinmix.random import Streams

PATH = Path(__file__).parents[2] / "examples" / "bayesian_logistic_regression.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("bayesian_logistic_regression", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def table(example):
    return example.load(Streams(0))


def test_the_particles_are_those_of_an_independent_svgd(example, table):
    theta = example.start(Streams(0), table, 12)
    own = example.stein(theta, table, steps=15)
    other = trajectory(theta.numpy(), example.score(table), example.STEP, 15)[-1]
    np.testing.assert_allclose(own.numpy(), other, atol=1e-12)


def test_the_score_by_hand_is_the_gradient(example, table):
    theta = example.start(Streams(1), table, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(example.log_joint(theta, table).sum(), theta)
    np.testing.assert_allclose(example.score(table)(theta.detach().numpy()), gradient, atol=1e-10)


def test_particles_have_the_moments_of_the_posterior(example, table):
    draws = example.chain(Streams(0), table, chains=32, steps=1500)
    assert example.spread_of_chains(draws) < 1.1
    draws = draws.flatten(0, 1)
    theta = example.start(Streams(0), table, 50)
    sample = example.stein(theta, table, steps=800)
    sd = draws.std(0)
    assert ((sample.mean(0) - draws.mean(0)).abs() < 0.2 * sd).all()
    assert ((sample.std(0) / sd - 1).abs() < 0.2).all()
    accuracy, likelihood = example.predictive(sample, table)
    true_accuracy, true_likelihood = example.predictive(draws, table)
    assert accuracy == pytest.approx(true_accuracy, abs=0.02)
    assert likelihood == pytest.approx(true_likelihood, abs=0.01)
    flat = example.stein(theta, table, alpha=0.0, steps=800)
    assert (flat.std(0) / sd).mean() < 0.6  # without entropy most of the spread is lost


def test_it_prints_its_table(example, capsys, monkeypatch):
    draws = Streams(0).normal_like(torch.zeros(4, 50, 7, dtype=torch.float64))
    monkeypatch.setattr(example, "chain", lambda streams, table: draws)
    example.main(particles=10, steps=20, twin_steps=3)
    out = capsys.readouterr().out
    assert "Markov chain" in out
    assert "independent SVGD" in out
