"""Who multiplies float32 matrices: no digit is lost, and the process-wide switch is given back."""

from __future__ import annotations

import threading

import pytest
import torch

from steinmix import VaDE
from steinmix.numerics import precision
from steinmix.numerics.precision import onednn_products, widened
from steinmix.training import Training

switch = torch.backends.mkldnn.matmul


def test_products_are_of_float32():
    generator = torch.Generator().manual_seed(1)
    for n, k, m in ((256, 784, 500), (256, 500, 2000), (31, 7, 3)):
        a, b = torch.randn(n, k, generator=generator), torch.randn(k, m, generator=generator)
        exact = a.double() @ b.double()
        with onednn_products():
            error = (a @ b - exact).abs().max()
        assert error < 1e-5 * exact.abs().max()


@pytest.fixture
def allowed(monkeypatch):
    monkeypatch.setattr(precision, "_loses_nothing", lambda: True)


def test_the_switch_is_held_while_anyone_needs_it(allowed):
    before = switch.fp32_precision
    inner, outer = threading.Event(), threading.Event()

    def other():
        with onednn_products():
            inner.set()
            outer.wait(10)

    thread = threading.Thread(target=other)
    with onednn_products():
        thread.start()
        assert inner.wait(10)
    assert switch.fp32_precision == "bf16"
    outer.set()
    thread.join()
    assert switch.fp32_precision == before


def test_the_switch_is_given_back_after_an_error(allowed):
    before = switch.fp32_precision
    with pytest.raises(ZeroDivisionError), onednn_products():
        raise ZeroDivisionError
    assert switch.fp32_precision == before


def test_a_processor_that_rounds_is_left_alone(monkeypatch):
    monkeypatch.setattr(precision, "ROUNDING", 0.0)
    precision._loses_nothing.cache_clear()
    try:
        with onednn_products():
            assert switch.fp32_precision == "none"
    finally:
        precision._loses_nothing.cache_clear()


@pytest.mark.parametrize(("hidden", "held"), [((600, 600), "bf16"), ((8,), "none")])
def test_large_networks_in_float32_are_trained_there(allowed, hidden, held):
    seen, x = set(), torch.rand(40, 5, generator=torch.Generator().manual_seed(0)).numpy()
    model = VaDE(3, hidden=hidden, start="random", training=Training(epochs=1, precision="fp32"), random_state=0)
    hook = torch.nn.modules.module.register_module_forward_hook(lambda *_: seen.add(switch.fp32_precision))
    try:
        model.fit(x)
    finally:
        hook.remove()
    assert ("bf16" in seen) is (held == "bf16")
    assert switch.fp32_precision == "none"


def test_widened_keeps_wide_types():
    assert widened(torch.ones(1, dtype=torch.bfloat16)).dtype is torch.float32
    assert widened(torch.ones(1, dtype=torch.float64)).dtype is torch.float64
