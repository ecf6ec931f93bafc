"""The step that changes a classifier most, against what is known of a linear one and against a search."""

import numpy as np
import torch

from steinmix.numerics.adversarial import adversarial_step
from steinmix.numerics.densities import categorical_kl


def linear(weight):
    return lambda x: torch.log_softmax(x @ weight.T, dim=-1)


def test_of_two_classes_it_goes_across_the_border(normal):
    """log-odds w x: only w changes the answer, and the step has the length asked for."""
    weight = normal(2, 5)
    x, log_prob = normal(6, 5), linear(weight)
    step = adversarial_step(log_prob, x, log_prob(x), torch.tensor(0.3, dtype=x.dtype), normal(6, 5))
    across = weight[0] - weight[1]
    cosine = (step @ across) / (step.norm(dim=-1) * across.norm())
    np.testing.assert_allclose(cosine.abs(), 1.0, rtol=1e-9)
    np.testing.assert_allclose(step.norm(dim=-1), 0.3, rtol=1e-9)


def test_it_changes_the_answer_more_than_random_steps(normal):
    log_prob = linear(normal(4, 5))
    x, length = normal(50, 5), torch.tensor(0.2, dtype=torch.float64)
    log_p = log_prob(x)
    found = categorical_kl(log_p, log_prob(x + adversarial_step(log_prob, x, log_p, length, normal(50, 5))))
    others = normal(200, 50, 5)
    others = x + length * others / others.norm(dim=-1, keepdim=True)
    random = categorical_kl(log_p, log_prob(others))
    assert float((found / random.mean(0)).mean()) > 2
    assert float((random < found).double().mean()) > 0.95


def test_stacked_rows_get_the_steps_of_their_own(normal):
    x, noise, log_prob = normal(2, 4, 3), normal(2, 4, 3), linear(normal(3, 3))
    length = torch.tensor([0.1, 0.4], dtype=x.dtype).view(2, 1, 1)
    stacked = adversarial_step(log_prob, x, log_prob(x), length, noise)
    for r in range(2):
        alone = adversarial_step(log_prob, x[r], log_prob(x[r]), length[r, 0, 0], noise[r])
        torch.testing.assert_close(stacked[r], alone)


def test_a_classifier_that_says_nothing_gives_no_step(normal):
    step = adversarial_step(
        linear(torch.zeros(3, 2)), torch.zeros(4, 2), torch.zeros(4, 3), torch.tensor(1.0), torch.ones(4, 2)
    )
    assert bool((step == 0).all())
