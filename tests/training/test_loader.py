import numpy as np
import pytest
import torch

from steinmix.random import Streams
from steinmix.training.loader import CHUNK_ROWS, WINDOW_BATCHES


def numbered(n, f=2, dtype=np.float32):
    """Row i holds i."""
    return np.repeat(np.arange(n, dtype=dtype)[:, None], f, axis=1)


KINDS = ["resident", "read", "streamed"]


@pytest.fixture
def build(loader_of, streamed):
    def build(kind, array, batch_size=8, **others):
        source = streamed(array) if kind == "streamed" else array
        return loader_of(source, batch_size, resident_bytes=0 if kind == "read" else 2**31, **others)

    return build


def order_of(loader):
    batches = list(loader.epoch())
    for batch in batches:
        assert torch.equal(batch.x[:, 0].long(), batch.index)
        assert batch.x.dtype == torch.float32
    return [b.index.tolist() for b in batches]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "batch_size"), [(24, 8), (25, 8), (3, 8), (1, 1), (100, 7), (5000, 16)])
def test_an_epoch_has_every_row_once_with_its_number(build, kind, n, batch_size):
    loader = build(kind, numbered(n), batch_size)
    for _ in range(2):
        found = order_of(loader)
        assert sorted(i for batch in found for i in batch) == list(range(n))
        assert len(found) == loader.steps_per_epoch == -(-n // batch_size)
        assert max(map(len, found)) <= batch_size


@pytest.mark.parametrize("kind", KINDS)
def test_each_epoch_has_another_order_and_the_same_seed_the_same(build, kind):
    first, again = build(kind, numbered(300)), build(kind, numbered(300))
    found = [order_of(first), order_of(first)]
    assert found[0] != found[1]
    assert found == [order_of(again), order_of(again)]
    assert found[0] != order_of(build(kind, numbered(300), streams=Streams(1)))


@pytest.mark.parametrize("kind", ["resident", "read"])
def test_batches_differ_by_at_most_one_row(build, kind):
    sizes = [len(b) for b in order_of(build(kind, numbered(26), 8))]
    assert sizes == [7, 7, 6, 6]


def test_resident_and_read_data_give_the_same_batches(build):
    assert order_of(build("resident", numbered(90))) == order_of(build("read", numbered(90)))


def test_bytes_stay_bytes_until_they_are_in_a_batch(loader_of):
    seen = []

    def prepare(x):
        seen.append(x.dtype)
        return x.float() / 2

    loader = loader_of(numbered(10, dtype=np.uint8), 5, prepare=prepare)
    assert sorted(v for b in loader.epoch() for v in (2 * b.x[:, 0]).long().tolist()) == list(range(10))
    assert set(seen) == {torch.uint8}


def test_a_streamed_source_is_shuffled_across_blocks_in_bounded_memory(streamed, loader_of):
    n, batch_size = 20_000, 16
    source = streamed(numbered(n))
    index = np.concatenate(order_of(loader_of(source, batch_size)))
    assert source.largest <= 1024
    neighbours = np.abs(np.diff(index))
    assert np.median(neighbours) > 100
    assert WINDOW_BATCHES * batch_size < 1024


@pytest.mark.parametrize("n", [33, 32 * WINDOW_BATCHES + 33])
def test_no_streamed_batch_is_much_smaller_than_the_others(streamed, loader_of, n):
    sizes = [len(index) for index in order_of(loader_of(streamed(numbered(n)), 32))]
    assert sum(sizes) == n
    assert min(sizes) >= 16


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, CHUNK_ROWS, CHUNK_ROWS + 1, 1000])
def test_chunks_have_every_row_once_in_file_order(build, kind, n):
    chunks = list(build(kind, numbered(n)).chunks())
    assert [i for c in chunks for i in c.index.tolist()] == list(range(n))
    assert all(torch.equal(c.x[:, 0].long(), c.index) for c in chunks)
    assert max(len(c.x) for c in chunks) <= CHUNK_ROWS


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_of_chosen_rows(build, kind):
    wanted = torch.tensor([0, 3, 255, 256, 700, 999])
    chunks = list(build(kind, numbered(1000)).chunks(wanted))
    assert torch.equal(torch.cat([c.index for c in chunks]), wanted)
    assert torch.equal(torch.cat([c.x[:, 0] for c in chunks]).long(), wanted)


def test_reading_in_chunks_draws_nothing(build):
    loader, other = build("resident", numbered(300)), build("resident", numbered(300))
    list(loader.chunks())
    assert order_of(loader) == order_of(other)


@pytest.mark.parametrize("limit", [1, 50, 299])
def test_a_sample_of_rows_is_ascending_without_repeats(build, limit):
    index = build("resident", numbered(300)).sample_index(limit)
    assert len(index) == limit
    assert bool((index.diff() > 0).all())
    assert int(index.max()) < 300


@pytest.mark.parametrize("limit", [300, 1000])
def test_a_sample_as_large_as_the_data_is_all_of_them(build, limit):
    assert build("resident", numbered(300)).sample_index(limit).tolist() == list(range(300))


def test_a_sample_is_drawn_evenly(build):
    loader = build("resident", numbered(40))
    counts = torch.zeros(40)
    for _ in range(400):
        counts[loader.sample_index(10)] += 1
    assert float((counts - 100).abs().max()) < 4.5 * np.sqrt(400 * 0.25 * 0.75)
