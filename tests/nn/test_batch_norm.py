import pytest
import torch

from steinmix.nn.batch_norm import BatchNorm1d, BatchNorm2d


def own_moments(x):
    """The moments of all rows, as if other processes had given theirs."""
    values = x.movedim(1, -1).flatten(0, -2)
    return values.mean(0), values.var(0, correction=0), len(values)


def pair(kind, channels, normal):
    """Two batch norms alike, of which one is given its moments."""
    plain, given = (kind(channels).double() for _ in range(2))
    with torch.no_grad():
        plain.weight.copy_(normal(channels))
        plain.bias.copy_(normal(channels))
    given.load_state_dict(plain.state_dict())
    given.moments = own_moments
    return plain, given


@pytest.mark.parametrize(("kind", "shape"), [(BatchNorm1d, (6, 3)), (BatchNorm2d, (2, 3, 4, 5)), (BatchNorm1d, (1, 3))])
def test_given_moments_do_what_torch_does_with_its_own(normal, kind, shape):
    plain, given = pair(kind, shape[1], normal)
    x, weight = normal(*shape).requires_grad_(), normal(*shape)
    found, expected = given(x), plain(x)
    torch.testing.assert_close(found, expected)
    for a, b in zip(given.state_dict().values(), plain.state_dict().values()):
        torch.testing.assert_close(a, b)
    sides = ((found, given), (expected, plain))
    gradients = [torch.autograd.grad((y * weight).sum(), [x, norm.weight, norm.bias]) for y, norm in sides]
    for a, b in zip(*gradients):
        torch.testing.assert_close(a, b)


def test_given_moments_are_for_training(normal):
    plain, given = pair(BatchNorm1d, 3, normal)
    x = normal(6, 3)
    assert torch.equal(given.eval()(x), plain.eval()(x))


def test_given_moments_keep_type_and_memory_order(normal):
    norm = pair(BatchNorm2d, 3, normal)[1]
    x = normal(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    assert norm(x).is_contiguous(memory_format=torch.channels_last)
    assert norm.float()(x.bfloat16()).dtype is torch.bfloat16
