import itertools
import json
import math

import numpy as np
import pytest
import torch

from steinmix.errors import ConfigError
from steinmix.random import StackedStreams, Streams, fixed_generator, restart_seed, seed_of


def draws(streams, name):
    return torch.rand(3, generator=streams.torch(name)).tolist(), streams.numpy(name).random(3).tolist()


def test_streams_do_not_depend_on_the_order_in_which_they_are_asked_for():
    forward, backward = Streams(7), Streams(7)
    names = ["order", "noise", "mask"]
    found = {name: draws(forward, name) for name in names}
    assert {name: draws(backward, name) for name in reversed(names)} == found


def test_a_name_stands_for_one_generator_that_goes_on():
    streams = Streams(0)
    assert streams.torch("a") is streams.torch("a")
    assert streams.numpy("a") is streams.numpy("a")
    assert draws(streams, "a") != draws(streams, "a")


def test_names_and_seeds_give_different_numbers():
    found = [draws(Streams(seed), name) for seed in (0, 1, 2**32, 2**64, 2**64 + 1) for name in ("a", "b")]
    assert len({str(d[0]) for d in found}) == len({str(d[1]) for d in found}) == len(found)


def test_streams_of_different_names_are_uncorrelated():
    streams = Streams(0)
    a, b = (streams.normal_like(torch.empty(20_000), name) for name in ("a", "b"))
    assert abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 0.03


def test_normal_like_is_standard_and_of_the_type_asked_for():
    noise = Streams(0).normal_like(torch.empty(300, 200, dtype=torch.float64))
    assert noise.shape == (300, 200)
    assert noise.dtype == torch.float64
    assert abs(float(noise.mean())) < 0.02
    assert float(noise.var()) == pytest.approx(1, abs=0.03)


def test_state_dict_is_json_and_puts_every_generator_back():
    streams = Streams(2**70)
    draws(streams, "a"), streams.torch("torch only"), streams.integer("numpy only")
    state = json.loads(json.dumps(streams.state_dict()))
    expected = draws(streams, "a"), draws(streams, "torch only"), draws(streams, "numpy only"), draws(streams, "new")
    fresh = Streams(0)
    fresh.load_state_dict(state)
    assert fresh.seed == 2**70
    assert (draws(fresh, "a"), draws(fresh, "torch only"), draws(fresh, "numpy only"), draws(fresh, "new")) == expected


def test_loading_goes_back_in_streams_that_have_gone_on():
    streams = Streams(0)
    draws(streams, "a")
    state = streams.state_dict()
    expected = draws(streams, "a")
    draws(streams, "a")
    streams.load_state_dict(state)
    assert draws(streams, "a") == expected


def test_a_restored_stream_lives_where_it_was_asked_for(monkeypatch):
    """A loader keeps its order on the CPU while the noise is on another device; a resumed run must do the same."""
    asked = []

    class Generator(torch.Generator):
        def __new__(cls, device="cpu"):
            asked.append(str(device))
            return super().__new__(cls, device="cpu")

    before = Streams(0)
    before.torch("order", "cpu")
    state = before.state_dict()
    resumed = Streams(0, "cuda")
    monkeypatch.setattr("steinmix.random.torch.Generator", Generator)
    resumed.load_state_dict(state)
    resumed.torch("order", "cpu")
    assert asked == ["cpu"]


def test_integers_suit_libraries_that_want_a_random_state():
    streams = Streams(0)
    values = [streams.integer("k-means") for _ in range(50)]
    assert len(set(values)) == 50
    assert all(0 <= v < 2**31 for v in values)


def test_seed_of_takes_what_scikit_learn_takes():
    assert seed_of(5) == seed_of(np.int64(5)) == 5
    assert seed_of(np.random.RandomState(3)) == seed_of(np.random.RandomState(3))
    assert seed_of(np.random.default_rng(3)) == seed_of(np.random.default_rng(3))
    moving = np.random.default_rng(3)
    assert seed_of(moving) != seed_of(moving)
    assert seed_of(None) != seed_of(None)


def test_seeds_of_generators_and_of_entropy_are_spread_wide():
    moving = np.random.RandomState(3)
    for ask in (lambda: seed_of(None), lambda: seed_of(moving)):
        seeds = [ask() for _ in range(100)]
        assert len(set(seeds)) == 100
        assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("wrong", [-1, np.int64(-3), 1.0, True, "0", [0]])
def test_a_seed_that_is_none_is_named(wrong):
    with pytest.raises(ConfigError, match=r"^random_state is .*; expected a whole number >= 0, a generator of NumPy"):
        seed_of(wrong)


def test_no_global_generator_is_touched(global_generators):
    before = global_generators()
    streams = Streams(seed_of(None))
    draws(streams, "a"), streams.integer("b"), streams.normal_like(torch.empty(3))
    torch.rand(2, generator=fixed_generator())
    Streams(0).load_state_dict(streams.state_dict())
    assert global_generators() == before


def test_the_fixed_generator_always_starts_alike():
    assert torch.equal(torch.rand(4, generator=fixed_generator()), torch.rand(4, generator=fixed_generator()))


def test_uniform_like_is_uniform_and_of_the_type_asked_for():
    noise = Streams(0).uniform_like(torch.empty(300, 200, dtype=torch.float64))
    assert noise.dtype is torch.float64
    assert float(noise.min()) >= 0
    assert float(noise.max()) < 1
    assert float(noise.mean()) == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize("kind", ["normal_like", "uniform_like"])
@pytest.mark.parametrize("shape", [(10,), (10, 2), (1, 10, 2), (3, 10, 2), (4, 10, 4)])
def test_shares_of_a_batch_get_their_part_of_its_noise(kind, shape):
    """With any number of draws for each row, that of the share's rows too."""
    axis = max(len(shape) - 2, 0)
    whole = getattr(Streams(3), kind)(torch.empty(shape))
    for start, stop in [(0, 4), (4, 7), (7, 10)]:
        streams = Streams(3)
        streams.share = (start, stop, 10)
        part = whole.narrow(axis, start, stop - start)
        assert torch.equal(getattr(streams, kind)(torch.empty(part.shape)), part)


@pytest.mark.parametrize("shape", [(10,), (10, 3), (10, 3, 4)])
def test_bytes_are_one_for_each_number_of_a_row_and_shares_of_a_batch_get_theirs(shape):
    whole = Streams(3).bytes_like(torch.empty(shape))
    assert whole.dtype is torch.uint8
    assert whole.shape == (10, np.prod(shape[1:], dtype=int))
    for start, stop in [(0, 4), (4, 7), (7, 10)]:
        streams = Streams(3)
        streams.share = (start, stop, 10)
        assert torch.equal(streams.bytes_like(torch.empty(stop - start, *shape[1:])), whole[start:stop])


def test_bytes_are_uniform_wherever_they_stand_in_a_word():
    drawn = Streams(0).bytes_like(torch.empty(1000, 8)).double()
    assert (drawn.mean(0) - 127.5).abs().max() < 4.5 * math.sqrt((256**2 - 1) / 12 / 1000)
    assert len(drawn.unique()) == 256


def test_kinds_of_noise_do_not_share_a_stream_unless_asked_to():
    x = torch.empty(2, 3)
    kinds = ("normal_like", "uniform_like", "bytes_like")
    for build in (lambda: Streams(0), lambda: StackedStreams([Streams(0), Streams(1)])):
        known = kinds if type(build()) is Streams else kinds[:2]
        for first, second in itertools.permutations(known, 2):
            streams = build()
            getattr(streams, first)(x)
            assert torch.equal(getattr(streams, second)(x), getattr(build(), second)(x))


def test_restart_seeds_differ_and_the_first_is_the_root():
    for root in (0, 7, 2**64, 2**64 + 1):
        seeds = [restart_seed(root, r) for r in range(100)]
        assert seeds[0] == root
        assert len(set(seeds)) == 100
        assert all(0 <= seed < 2**63 for seed in seeds[1:])
    assert restart_seed(0, 1) != restart_seed(1, 1)
    assert restart_seed(0, 1) == 8553423580030593164


@pytest.mark.parametrize("kind", ["normal_like", "uniform_like"])
@pytest.mark.parametrize("shape", [(5, 3), (100,)])
def test_each_slice_of_a_stacked_draw_is_what_the_restart_draws_alone(kind, shape):
    stack, alone = StackedStreams([Streams(s) for s in (3, 4, 5)]), [Streams(s) for s in (3, 4, 5)]
    for active in ([0, 1, 2], [0, 2], [0, 1, 2]):  # whoever sits out draws nothing meanwhile
        stack.active = active
        found = getattr(stack, kind)(torch.empty(len(active), *shape), "some")
        expected = [getattr(alone[r], kind)(torch.empty(shape), "some") for r in active]
        assert torch.equal(found, torch.stack(expected))


@pytest.mark.parametrize("kind", ["normal_like", "uniform_like"])
def test_a_stacked_draw_does_not_depend_on_the_layout_of_what_it_is_like(kind):
    found, expected = (
        getattr(StackedStreams([Streams(3), Streams(4)]), kind)(x)
        for x in (torch.empty(2, 7, 20).mT, torch.empty(2, 20, 7))
    )
    assert torch.equal(found, expected)


def test_a_stack_has_no_generator_of_its_own():
    stack = StackedStreams([Streams(0), Streams(1)])
    for ask in (stack.torch, stack.numpy, stack.integer):
        with pytest.raises(NotImplementedError, match="normal_like"):
            ask("noise")


def test_the_state_of_a_stack_is_that_of_its_members():
    stack = StackedStreams([Streams(0), Streams(1)])
    x = torch.empty(2, 4)
    stack.normal_like(x)
    state = json.loads(json.dumps(stack.state_dict()))
    expected = stack.normal_like(x)
    other = StackedStreams([Streams(8), Streams(9)])
    other.load_state_dict(state)
    assert torch.equal(other.normal_like(x), expected)
    with pytest.raises(ValueError, match="shorter"):
        StackedStreams([Streams(0), Streams(1), Streams(2)]).load_state_dict(state)


def test_generators_of_the_own_kind_of_device_are_made_on_the_own_device(monkeypatch):
    """Not on the first of its kind, where another process may work."""
    saved, streams, made = Streams(0), Streams(0, "cuda:1"), []
    saved.torch("noise")
    monkeypatch.setattr(streams, "torch", lambda name, device: made.append(device) or torch.Generator())
    streams.load_state_dict(saved.state_dict() | {"devices": {"noise": "cuda"}})
    assert made == [torch.device("cuda:1")]


def test_generators_live_on_the_own_device_unless_another_is_named(monkeypatch):
    made, generator = [], torch.Generator
    monkeypatch.setattr("steinmix.random.torch.Generator", lambda device: made.append(device) or generator())
    streams = Streams(0, "cuda:1")
    streams.torch("noise"), streams.torch("order", "cpu")
    assert made == [torch.device("cuda:1"), "cpu"]
