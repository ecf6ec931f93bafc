import numpy as np
import pytest
import torch

from steinmix import ConfigError, Training
from steinmix.training import Cosine
from steinmix.training.config import OPTIMIZERS, has_fast_bf16


@pytest.mark.parametrize(
    "setting",
    [
        {"epochs": -1},
        {"epochs": 1.5},
        {"epochs": True},
        {"batch_size": 0},
        {"batch_size": None},
        {"batch_size": "64"},
        {"accumulate": 0},
        {"accumulate": None},
        {"lr": 0.0},
        {"lr": -1.0},
        {"lr": float("nan")},
        {"lr": "1e-3"},
        {"clip_norm": 0.0},
        {"ema": "0.9"},
        {"optimizer": "newton"},
        {"optimizer": 5},
        {"precision": "fp8"},
        {"precision": 16},
        {"schedule": Cosine},
        {"device": "toaster"},
        {"device": "meta"},
    ],
)
def test_what_cannot_work_is_named(setting):
    (name,) = setting
    with pytest.raises(ConfigError, match=f"training.{name} is .*expected"):
        Training(**setting).check()


def test_what_can_work_passes():
    Training().check()
    Training(epochs=0, batch_size=1, lr=1e-9, clip_norm=0.1, optimizer=torch.optim.SGD, precision="bf16").check()
    Training(epochs=np.int64(3), batch_size=np.int32(64), lr=np.float32(1e-3), resident_bytes=4e9).check()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_descends(name):
    w = torch.nn.Parameter(torch.tensor([3.0]))
    optimizer = Training(optimizer=name).build_optimizer([{"params": [w]}], 0.1)
    assert optimizer.param_groups[0]["lr"] == 0.1
    for _ in range(5):
        optimizer.zero_grad()
        w.square().sum().backward()
        optimizer.step()
    assert 0 < float(w.detach()) < 3


def test_an_optimiser_may_be_a_function_and_a_group_have_its_own_rate():
    w, v = (torch.nn.Parameter(torch.ones(1)) for _ in range(2))
    made = Training(optimizer=torch.optim.RMSprop).build_optimizer([{"params": [w], "lr": 0.5}, {"params": [v]}], 0.1)
    assert type(made) is torch.optim.RMSprop
    assert [g["lr"] for g in made.param_groups] == [0.5, 0.1]


@pytest.mark.parametrize(
    ("precision", "fast", "network", "dtype"),
    [
        ("auto", True, torch.nn.Conv2d(1, 1, 1), torch.bfloat16),
        ("auto", True, torch.nn.ConvTranspose2d(1, 1, 1), torch.bfloat16),
        ("auto", False, torch.nn.Conv2d(1, 1, 1), None),
        ("auto", True, torch.nn.Linear(1, 1), None),
        ("auto", True, torch.nn.Linear(500, 1000), torch.bfloat16),
        ("auto", False, torch.nn.Linear(500, 1000), None),
        ("fp32", True, torch.nn.Conv2d(1, 1, 1), None),
        ("bf16", False, torch.nn.Linear(1, 1), torch.bfloat16),
    ],
)
def test_precision_by_device_and_network(monkeypatch, precision, fast, network, dtype):
    monkeypatch.setattr("steinmix.training.config.has_fast_bf16", lambda device: fast)
    module = torch.nn.Sequential(network)
    assert Training(precision=precision).autocast_dtype(module, torch.device("cpu")) is dtype


def test_a_device_tells_whether_it_computes_in_bf16(monkeypatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    for avx, amx in ((True, False), (False, True), (False, False)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda found=avx: found, raising=False)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda found=amx: found, raising=False)
        assert has_fast_bf16(cpu) is (avx or amx)
    for capability, answer in (((7, 5), False), ((8, 0), True), ((9, 0), True)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, found=capability: found)
        assert has_fast_bf16(gpu) is answer
    assert has_fast_bf16(torch.device("meta")) is False
