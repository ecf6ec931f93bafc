import numpy as np
import pytest
import torch

from oracles.kernels import KERNELS, kernel_sums, plain_gram
from steinmix.numerics import kernels as library
from steinmix.numerics.kernels import pair_distances, repulsion, squared_distances

PROFILES = {"rbf": library.rbf, "imq": library.imq}
SIZES = [1, 2, 7, 64, 65, 300]


@pytest.mark.parametrize(("k", "m"), [(1, 1), (3, 5), (64, 64), (5, 65), (300, 130)])
def test_squared_distances_equal_a_double_loop(normal, k, m):
    a, b = normal(k, 3), normal(m, 3)
    expected = torch.tensor([[float(((x - y) ** 2).sum()) for y in b.numpy()] for x in a.numpy()], dtype=torch.float64)
    torch.testing.assert_close(squared_distances(a, b), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("m", [5, 100])
def test_squared_distances_are_never_negative_and_leave_their_arguments_alone(normal, m):
    a = normal(m, 4, dtype=torch.float32) + 50
    before = a.clone()
    assert bool((squared_distances(a, a) >= 0).all())
    assert torch.equal(a, before)


def test_distances_of_few_equal_rows_are_exactly_zero(normal):
    row = normal(1, 5, dtype=torch.float32) + 1e3
    assert squared_distances(row.expand(9, -1), row).eq(0).all()


@pytest.mark.parametrize("m", [2, 3, 64, 65, 150])
def test_pair_distances_hold_each_unordered_pair_once(normal, m):
    theta = normal(2, m, 3)
    for part, rows in zip(pair_distances(theta), theta.numpy()):
        expected = sorted(np.linalg.norm(rows[i] - rows[j]) for i in range(m) for j in range(i))
        np.testing.assert_allclose(np.sort(part.numpy()), expected, rtol=1e-9)


def test_pair_distances_above_the_limit_are_a_fixed_sample_without_self_pairs(normal):
    theta = normal(2001, 2)
    found = pair_distances(theta)
    assert torch.equal(found, pair_distances(theta))
    assert 65_000 < len(found) <= 65_536
    assert bool((found > 0).all())


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("m", SIZES)
def test_gram_matrix_equals_a_double_loop(normal, name, m):
    theta, h = normal(m, 3), torch.tensor(1.3, dtype=torch.float64)
    k, _ = PROFILES[name](squared_distances(theta, theta), h)
    torch.testing.assert_close(k, plain_gram(name, theta, 1.3), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("m", SIZES)
def test_repulsion_equals_autograd_of_the_kernel(normal, name, m):
    theta, h = normal(m, 3), torch.tensor(0.7, dtype=torch.float64)
    _, w = PROFILES[name](squared_distances(theta, theta), h)
    expected = kernel_sums(KERNELS[name], theta, theta, 0.7)[1]
    torch.testing.assert_close(repulsion(w, theta, theta), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", KERNELS)
def test_leading_axes_have_a_bandwidth_each(normal, name):
    theta, h = normal(2, 3, 6, 4), torch.tensor([[0.5, 1.0, 2.0], [3.0, 0.7, 1.1]], dtype=torch.float64)
    k, w = PROFILES[name](squared_distances(theta, theta), h)
    for r in np.ndindex(2, 3):
        alone = PROFILES[name](squared_distances(theta[r], theta[r]), h[r])
        torch.testing.assert_close(k[r], alone[0])
        torch.testing.assert_close(w[r], alone[1])


def test_what_is_kept_from_an_inference_serves_parameters_too(normal):
    library._upper.cache_clear()
    with torch.inference_mode():
        pair_distances(normal(5, 2))
    x = normal(5, 2)
    assert torch.equal(pair_distances(torch.nn.Parameter(x)), pair_distances(x))


@pytest.mark.parametrize("m", [5, 100, 2500])
def test_distances_of_pairs_do_not_ask_where_tensors_are_made_by_default(normal, m):
    x = normal(m, 2)
    with torch.device("meta"):
        found = pair_distances(x)
    assert torch.equal(found, pair_distances(x))
