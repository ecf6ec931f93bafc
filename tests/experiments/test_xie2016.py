import numpy as np
import torch
from torch import nn

from steinmix.experiments import xie2016
from steinmix.random import Streams


def images(n=40):
    return Streams(0).numpy("images").integers(0, 256, size=(n, 784), dtype=np.uint8)


def begun(seed):
    """The autoencoder after one epoch of steps that change nothing."""
    return xie2016.autoencoder(seed).set_params(training__epochs=1, training__lr=1e-12).fit(images()).module_


def linear(module):
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


def test_weights_are_uniform_within_one_over_the_root_of_the_inputs():
    module = begun(0)
    for layer in linear(module):
        bound = layer.in_features**-0.5
        assert 0.98 * bound < float(layer.weight.detach().abs().max()) <= bound * (1 + 1e-6)
        assert float(layer.weight.detach().std()) > 0.9 * bound / 3**0.5
        assert float(layer.bias.detach().abs().max()) < 1e-9
    assert not torch.equal(linear(module)[0].weight, linear(begun(1))[0].weight)


def test_the_loss_is_the_mean_squared_error_but_for_a_constant():
    module, x = begun(0), torch.from_numpy(images()).float() / 255
    with torch.no_grad():
        output = module.decode(module.encode(x))
    gradients = [torch.autograd.grad(f(o := output.clone().requires_grad_()), o)[0] for f in losses(module, x)]
    assert torch.allclose(*gradients, atol=1e-7)


def losses(module, x):
    return (lambda o: -module.likelihood.log_prob(x, o).mean()), (lambda o: (o - x).square().mean())
