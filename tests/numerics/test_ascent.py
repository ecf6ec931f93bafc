import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from steinmix.numerics import ascent
from steinmix.numerics.ascent import mixture_ascent

FORMS = {"whole": mixture_ascent, "batched": ascent._batched, "unrolled": ascent._unrolled}


def by_autograd(x, means, log_vars):
    """The gradient of the mean log-likelihood of points (d, b), from torch's own mixture."""
    means, log_vars = means.clone().requires_grad_(), log_vars.clone().requires_grad_()
    parts = Independent(Normal(means, (0.5 * log_vars).exp()), 1)
    mixture = MixtureSameFamily(Categorical(logits=torch.zeros(len(means), dtype=means.dtype)), parts)
    return torch.autograd.grad(mixture.log_prob(x.T).mean(), [means, log_vars])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("m", "d"), [(1, 1), (2, 1), (6, 1), (4, 3)])
def test_it_is_the_gradient_of_the_log_likelihood(normal, form, m, d):
    x, means, log_vars = 2 * normal(d, 17), 2 * normal(m, d), normal(m, d)
    torch.testing.assert_close(FORMS[form](x, means, log_vars), by_autograd(x, means, log_vars), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("form", FORMS)
def test_leading_dimensions_are_runs_and_points_may_be_shared(normal, form):
    x, means, log_vars = normal(3, 1, 2, 9), normal(3, 4, 5, 2), normal(3, 4, 5, 2)
    found = FORMS[form](x, means, log_vars)
    for s in range(3):
        for v in range(4):
            for one, expected in zip(found, by_autograd(x[s, 0], means[s, v], log_vars[s, v])):
                torch.testing.assert_close(one[s, v], expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("lead", [(5,), (3, 7), (1, 7), (7, 1)])
@pytest.mark.parametrize("shared", [False, True])
def test_blocks_change_nothing(normal, monkeypatch, lead, shared):
    means, log_vars = normal(*lead, 3, 1), normal(*lead, 3, 1)
    x = normal(*lead[:-1], *([1] if shared else lead[-1:]), 1, 8)
    whole = mixture_ascent(x, means, log_vars)
    monkeypatch.setattr(ascent, "BLOCK_ENTRIES", 50)
    torch.testing.assert_close(mixture_ascent(x, means, log_vars), whole, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("form", FORMS)
def test_far_points_and_tight_components_stay_finite(form):
    x = torch.tensor([[-60.0, 0.0, 60.0]])
    means, log_vars = torch.tensor([[-1.0], [1.0]]), torch.full((2, 1), -3.0)
    by_means, by_log_vars = FORMS[form](x, means, log_vars)
    assert bool(torch.isfinite(by_means).all() and torch.isfinite(by_log_vars).all())
    assert by_means.flatten().sign().tolist() == [-1, 1]
