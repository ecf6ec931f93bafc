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


def test_of_a_linear_classifier_it_is_the_slope_in_closed_form(normal):
    """KL[p || q] has the slope W' (q - p) at a step of that length along the noise: that way, not the opposite."""
    weight, x, noise = normal(4, 5), normal(6, 5), 3 * normal(6, 5)
    length, log_prob = torch.tensor(0.7, dtype=x.dtype), linear(weight)
    log_p = log_prob(x)
    with torch.no_grad():  # it needs none of the caller's
        step = adversarial_step(log_prob, x, log_p, length, noise)
    probe = length * noise / noise.norm(dim=-1, keepdim=True)
    slope = (log_prob(x + probe).exp() - log_p.exp()) @ weight
    torch.testing.assert_close(step, length * slope / slope.norm(dim=-1, keepdim=True), rtol=1e-9, atol=1e-12)


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
