import pytest
import torch
from torch import distributions as dist

from steinmix.numerics.fused import bernoulli_log_prob, residual_sums, tanh


def test_tanh_is_that_of_torch_to_two_units_of_the_last_place_of_one():
    x = torch.linspace(-20, 20, 20_001, dtype=torch.float32)
    torch.testing.assert_close(tanh(x), torch.tanh(x), rtol=0, atol=2 * torch.finfo(torch.float32).eps)


def test_tanh_keeps_the_digits_of_a_narrow_type():
    x = torch.linspace(-0.1, 0.1, 101, dtype=torch.bfloat16)
    assert torch.equal(tanh(x), torch.tanh(x))


def test_tanh_has_the_gradient_of_differences(normal):
    x = normal(3, 4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(tanh, (x,))


def test_residual_sums_are_the_sums(normal):
    x, rebuilt = normal(2, 5, 7, dtype=torch.float64), normal(2, 5, 7, dtype=torch.float64)
    error, dot, square = residual_sums(x, rebuilt)
    for i in range(2):
        for j in range(5):
            pairs = list(zip(x[i, j].tolist(), rebuilt[i, j].tolist()))
            assert float(error[i, j]) == pytest.approx(sum((b - a) ** 2 for a, b in pairs))
            assert float(dot[i, j]) == pytest.approx(sum(a * b for a, b in pairs))
            assert float(square[i, j]) == pytest.approx(sum(b * b for _, b in pairs))


def test_residual_sums_have_the_gradient_of_differences(normal):
    x, rebuilt = normal(3, 4, dtype=torch.float64), normal(3, 4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda r: residual_sums(x, r), (rebuilt,))


def test_only_the_rebuilt_rows_get_a_gradient(normal):
    x, rebuilt = normal(3, 4).requires_grad_(), normal(3, 4).requires_grad_()
    sum(part.sum() for part in residual_sums(x, rebuilt)).backward()
    assert x.grad is None
    assert rebuilt.grad is not None


def test_bernoulli_equals_torch_on_binary_rows(normal):
    x, logits = (normal(6, 5) > 0).double(), normal(6, 5) * 3
    expected = dist.Bernoulli(logits=logits).log_prob(x).sum(-1)
    torch.testing.assert_close(bernoulli_log_prob(x, logits), expected)


def test_bernoulli_on_grey_rows_is_the_printed_formula_and_finite_at_the_ends(normal):
    x, logits = torch.sigmoid(normal(6, 5)), normal(6, 5)
    p = torch.sigmoid(logits)
    expected = (x * p.log() + (1 - x) * (1 - p).log()).sum(-1)
    torch.testing.assert_close(bernoulli_log_prob(x, logits), expected)
    ends = bernoulli_log_prob(torch.tensor([[0.0, 1.0]]), torch.tensor([[500.0, -500.0]]))
    assert ends.tolist() == [-1000.0]


def test_bernoulli_has_the_gradient_of_differences_where_rows_are_shared_too(normal):
    x, logits = torch.sigmoid(normal(3, 4).double()), normal(2, 3, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda each: bernoulli_log_prob(x, each), (logits,))
