import pytest
import torch

from steinmix.numerics.fused import residual_sums, tanh


def test_tanh_is_that_of_torch_to_two_units_of_the_last_place_of_one():
    x = torch.linspace(-20, 20, 20_001, dtype=torch.float32)
    torch.testing.assert_close(tanh(x), torch.tanh(x), rtol=0, atol=2 * torch.finfo(torch.float32).eps)


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
