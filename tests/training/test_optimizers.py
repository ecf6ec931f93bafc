import math

import pytest
import torch

from steinmix import ConfigError, Training
from steinmix.training.optimizers import TFAdagrad, TFRMSprop


def rmsprop_twin(w, gradients, lr):
    """TensorFlow 1, tf.train.RMSPropOptimizer(lr, decay=0.9): ms starts at 1, epsilon stands inside the root."""
    mean_square, path = 1.0, []
    for g in gradients:
        mean_square = 0.9 * mean_square + (1 - 0.9) * g * g
        w = w - lr * g / math.sqrt(mean_square + 1e-10)
        path.append(w)
    return path


def adagrad_twin(w, gradients, lr):
    """TensorFlow 1, tf.train.AdagradOptimizer(lr): the accumulator starts at 0.1."""
    accumulator, path = 0.1, []
    for g in gradients:
        accumulator = accumulator + g * g
        w = w - lr * g / math.sqrt(accumulator)
        path.append(w)
    return path


TWINS = {"tf_rmsprop": rmsprop_twin, "tf_adagrad": adagrad_twin}


@pytest.mark.parametrize("name", TWINS)
def test_steps_are_those_of_tensorflow(name, normal):
    gradients = (3 * normal(12, 4)).tolist()
    w = torch.nn.Parameter(normal(4))
    start = w.detach().tolist()
    optimizer, path = Training(optimizer=name).build_optimizer([w], 0.05), []
    for g in gradients:
        w.grad = torch.tensor(g, dtype=torch.float64)
        optimizer.step()
        path.append(w.detach().clone())
    expected = [TWINS[name](s, [g[i] for g in gradients], 0.05) for i, s in enumerate(start)]
    torch.testing.assert_close(torch.stack(path), torch.tensor(expected, dtype=torch.float64).T, rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", [TFAdagrad, TFRMSprop])
def test_they_go_on_from_a_saved_state(kind):
    def steps(optimizer, w, count):
        for _ in range(count):
            optimizer.zero_grad()
            w.square().sum().backward()
            optimizer.step()

    w, v = (torch.nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2))
    whole, first = kind([w], lr=0.1), kind([v], lr=0.1)
    steps(whole, w, 7)
    steps(first, v, 4)
    second = kind([v], lr=0.3)
    second.load_state_dict(first.state_dict())
    steps(second, v, 3)
    assert torch.equal(w, v)


@pytest.mark.parametrize("kind", [TFAdagrad, TFRMSprop])
def test_parameters_without_gradient_stay_and_closures_are_called(kind):
    w, v = (torch.nn.Parameter(torch.ones(1)) for _ in range(2))
    optimizer = kind([w, v], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = w.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1
    assert w.item() < 1 == v.item()


def test_a_rate_below_zero_is_named():
    with pytest.raises(ConfigError, match=r"lr is -1.*expected"):
        TFRMSprop([torch.nn.Parameter(torch.ones(1))], lr=-1)
