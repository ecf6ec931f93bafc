import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from oracles.kernels import KERNELS, kernel_sums, plain_gram
from steinmix.diversify import (
    IMQ,
    NSVGD,
    RBF,
    FunctionSpace,
    Identity,
    MeansOnly,
    Pairwise,
    Standardised,
    Wasserstein,
)
from steinmix.diversify.bandwidths import as_bandwidth

LIBRARY = {"rbf": RBF, "imq": IMQ}
SIZES = [1, 2, 10, 64, 65, 256, 257, 700]


def sums(kernel, theta, ascent):
    """The smoothed gradients alone, the repulsion alone, and both together over the kernel's mass."""
    smoothed, away = kernel.direction(theta, ascent, 0.0), kernel.direction(theta, torch.zeros_like(ascent), 1.0)
    return smoothed, away, kernel.direction(theta, ascent, 1.0, normalised=True)


def error(got, expected):
    return float((got.double() - expected).abs().max() / expected.abs().max().clamp(min=1e-12))


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("m", SIZES)
def test_sums_equal_autograd_of_the_kernel(normal, name, m):
    theta, ascent = normal(m, 3), normal(m, 3)
    found = sums(LIBRARY[name](1.2), theta, ascent)
    smoothed, away, mass = kernel_sums(KERNELS[name], theta, ascent, 1.2)
    for got, expected in zip(found, (smoothed, away, (smoothed + away) / mass)):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(("m", "p"), [(10, 500), (64, 12)])
def test_few_particles_of_many_numbers_get_the_same_sums(normal, name, m, p):
    """Their differences are too many to be formed: the sums come from one product with K."""
    theta, ascent = normal(m, p), normal(m, p)
    h = 0.7 * p**0.5
    smoothed, away, mass = kernel_sums(KERNELS[name], theta, ascent, h)
    for got, expected in zip(sums(LIBRARY[name](h), theta, ascent), (smoothed, away, (smoothed + away) / mass)):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("m", [10, 65, 700])
@pytest.mark.parametrize("far", [0.0, 30.0, 100.0])
def test_float32_errs_by_less_than_a_hundred_thousandth(normal, name, m, far):
    theta, ascent = normal(m, 4, dtype=torch.float32) + far, normal(m, 4, dtype=torch.float32)
    kernel = LIBRARY[name]("median")
    for got, expected in zip(sums(kernel, theta, ascent), sums(kernel, theta.double(), ascent.double())):
        assert got.dtype == torch.float32
        assert error(got, expected) < 1e-5


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("bandwidth", ["median", 1.0])
@pytest.mark.parametrize("m", [200, 300])
@pytest.mark.parametrize("far", [1e3, 1e4, 1e6])
def test_one_particle_far_out_does_not_spoil_the_others(normal, name, bandwidth, m, far):
    theta, ascent = normal(m, 10, dtype=torch.float32), normal(m, 10, dtype=torch.float32)
    theta[0] += far
    kernel = LIBRARY[name](bandwidth)
    h = as_bandwidth(bandwidth)(theta.double())
    smoothed, away, mass = kernel_sums(KERNELS[name], theta.double(), ascent.double(), float(h))
    for got, expected in zip(sums(kernel, theta, ascent), (smoothed, away, (smoothed + away) / mass)):
        assert error(got, expected) < 0.01


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("m", [64, 100, 300])
@pytest.mark.parametrize("far", [1e2, 1e3, 1e4])
def test_two_groups_far_apart_are_two_groups(normal, name, m, far):
    theta, ascent = normal(m, 10, dtype=torch.float32), normal(m, 10, dtype=torch.float32)
    theta[: m // 2] += far
    kernel = LIBRARY[name](1.0)
    smoothed, away, mass = kernel_sums(KERNELS[name], theta.double(), ascent.double(), 1.0)
    for got, expected in zip(sums(kernel, theta, ascent), (smoothed, away, (smoothed + away) / mass)):
        assert error(got, expected) < 0.01
    torch.testing.assert_close(kernel.matrices(theta)[0].diagonal(), torch.ones(m), rtol=0, atol=0.01)


@pytest.mark.filterwarnings("ignore")  # of the compiler's own
@pytest.mark.parametrize("name", KERNELS)
def test_compiled_it_errs_no_more(normal, name):
    theta, ascent = normal(100, 10, dtype=torch.float32), normal(100, 10, dtype=torch.float32)
    theta[50:] += 1e4
    kernel = NSVGD(1.0, LIBRARY[name](3.0))
    found = torch.compile(kernel, backend="eager", fullgraph=True)(theta, ascent)
    assert error(found, kernel(theta.double(), ascent.double())) < 0.01


@pytest.mark.parametrize("kernel", [RBF, IMQ, lambda h: Wasserstein(RBF(h), "unit"), lambda h: Standardised()])
@pytest.mark.parametrize("scale", [0.005, 500.0])
@pytest.mark.parametrize("m", [10, 70, 300])
def test_squares_of_half_precision_do_not_overflow(normal, kernel, scale, m):
    theta, ascent = (scale * normal(m, 4)).half(), normal(m, 4).half()
    for rule in (scale, "median"):
        diversify = NSVGD(1.0, kernel(rule))
        found = diversify(theta, ascent)
        assert found.dtype == torch.float16
        assert error(found, diversify(theta.double(), ascent.double())) < 0.01


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision_is_taken(normal, name, kind):
    theta, ascent = normal(10, 4).to(kind), normal(10, 4).to(kind)
    for got, expected in zip(
        sums(LIBRARY[name](1.0), theta, ascent), sums(LIBRARY[name](1.0), theta.double(), ascent.double())
    ):
        assert got.dtype == kind
        assert error(got, expected) < 0.1


@pytest.mark.parametrize(
    "kernel", [RBF(), IMQ(), Wasserstein(), MeansOnly(), Standardised(), FunctionSpace(Wasserstein(), torch.tanh)]
)
@pytest.mark.parametrize("m", [8, 100])
def test_autocast_of_the_caller_does_not_round_directions(normal, kernel, m):
    theta, ascent = normal(m, 6, dtype=torch.float32), normal(m, 6, dtype=torch.float32)
    expected = NSVGD(1.0, kernel)(theta, ascent)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(NSVGD(1.0, kernel)(theta, ascent), expected)


@pytest.mark.parametrize("diversify", [NSVGD(1.0, MeansOnly()), Pairwise(1.0, MeansOnly())])
def test_float16_under_an_autocast_to_bf16_is_taken(normal, diversify):
    theta, ascent = normal(8, 6).half(), normal(8, 6).half()
    expected = diversify(theta, ascent)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(diversify(theta, ascent), expected)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("m", [8, 100])
def test_memory_layout_does_not_matter(normal, name, m):
    theta, ascent = normal(m, 6), normal(m, 6)
    kernel = LIBRARY[name](0.9)
    expected = sums(kernel, theta[:, ::2].contiguous(), ascent[:, ::2].contiguous())
    column_major = theta[:, ::2].T.contiguous().T
    assert not column_major.is_contiguous()
    for found in (
        sums(kernel, theta[:, ::2], ascent[:, ::2]),
        sums(kernel, column_major, ascent[:, ::2]),
    ):
        for got, want in zip(found, expected):
            torch.testing.assert_close(got, want)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("m", [6, 300])
def test_leading_axes_equal_separate_calls(normal, name, m):
    theta, ascent = normal(2, 2, m, 3), normal(2, 2, m, 3)
    kernel = LIBRARY[name]("median")
    found = sums(kernel, theta, ascent)
    for r in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        for got, want in zip(found, sums(kernel, theta[r], ascent[r])):
            torch.testing.assert_close(got[r], want)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("m", [6, 100])
def test_matrices_are_the_gram_matrix_and_its_weights(normal, name, m):
    theta = normal(m, 3)
    k, w = LIBRARY[name](0.8).matrices(theta)
    torch.testing.assert_close(k, plain_gram(name, theta, 0.8), rtol=1e-9, atol=1e-12)
    from_weights = w.sum(1, keepdim=True) * theta - w @ theta
    torch.testing.assert_close(from_weights, kernel_sums(KERNELS[name], theta, theta, 0.8)[1], rtol=1e-9, atol=1e-10)


def test_sums_leave_their_arguments_alone(normal):
    for m in (5, 100):
        theta, ascent = normal(m, 2), normal(m, 2)
        copies = theta.clone(), ascent.clone()
        for kernel in (RBF(), IMQ(), Identity()):
            NSVGD(1.0, kernel)(theta, ascent)
        assert torch.equal(theta, copies[0])
        assert torch.equal(ascent, copies[1])


class Largest(TorchDispatchMode):
    """Notes the number of elements of the largest tensor any operation returns."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


@pytest.mark.parametrize("kernel", [RBF(), IMQ()])
def test_memory_is_linear_in_the_number_of_particles(normal, kernel):
    m, p = 5000, 2
    theta = normal(m, p, dtype=torch.float32)
    with Largest() as largest:
        NSVGD(1.0, kernel)(theta, theta)
    assert largest.elements <= m * m / 10  # a block of the kernel matrix, never the whole


def test_the_identity_kernel_passes_the_direction_on(normal):
    theta, ascent = normal(2, 5, 3), normal(2, 5, 3)
    for strength, normalised in ((0.0, False), (2.0, False), (2.0, True)):
        assert torch.equal(Identity().direction(theta, ascent, strength, normalised), ascent)
    k, w = Identity().matrices(theta)
    assert torch.equal(k, torch.eye(5).double().expand(2, 5, 5))
    assert not w.any()
