import itertools

import numpy as np
import pytest
import torch

import steinmix as sm
from steinmix.data.sources import as_source
from steinmix.random import StackedStreams, Streams
from steinmix.training import distinct
from steinmix.training.distinct import find_distinct_rows, hash_rows
from steinmix.training.loader import StackedLoader

CPU = torch.device("cpu")


@pytest.fixture
def rows(rng):
    """200 rows of 12 kinds."""
    return rng.normal(size=(12, 3)).astype(np.float32)[rng.integers(12, size=200)]


def check(found, rows):
    """Codes are equal exactly where rows are, and `first` points at the first row of each code."""
    equal = (rows[:, None] == rows[None]).all(-1)
    codes = found.codes.numpy()
    assert np.array_equal(codes[:, None] == codes[None], equal)
    assert np.array_equal(rows[found.first.numpy()][codes], rows)
    assert [int(np.flatnonzero(codes == c)[0]) for c in range(len(found.first))] == found.first.tolist()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int16])
@pytest.mark.parametrize("block", [1, 100, 2**24])
def test_codes_are_equal_where_rows_are(rows, monkeypatch, dtype, block):
    monkeypatch.setattr(distinct, "BLOCK_BYTES", block)
    whole = (rows * 10).astype(dtype)
    check(find_distinct_rows(as_source(whole), CPU), whole)


def test_rows_of_one_hash_are_told_apart_all_the_same(rows, monkeypatch):
    monkeypatch.setattr(distinct, "hash_rows", lambda rows: np.zeros(len(rows), np.uint64))
    found = find_distinct_rows(as_source(rows), CPU)
    assert np.array_equal(rows[found.first.numpy()][found.codes.numpy()], rows)


def test_hashes_of_floats_that_differ_in_their_highest_bits_only():
    rows = np.array(list(itertools.product([0.0, 1.0], repeat=14)))
    assert len(np.unique(hash_rows(rows))) == 2**14
    assert len(np.unique(hash_rows(rows[:, ::-1]))) == 2**14
    assert len(np.unique(hash_rows(np.eye(700)))) == 700


def test_batches_hold_each_distinct_row_once_in_the_order_of_plain_ones(loader_of, rows):
    plain, compact = (loader_of(rows, 50, Streams(3), distinct=d) for d in (False, True))
    for expected, batch in zip(plain.epoch(), compact.epoch(), strict=True):
        assert torch.equal(batch.index, expected.index)
        assert torch.equal(batch.expand(batch.x), expected.x)
        assert len(batch.x) == len(np.unique(expected.x, axis=0)) <= 12
    assert all(chunk.inverse is None for chunk in compact.chunks())


def test_stacked_batches_do_so_for_each_restart(loader_of, rows):
    def stacked(distinct):
        first = loader_of(rows, 8, Streams(0), distinct=distinct)
        return StackedLoader([first.sibling(s) for s in StackedStreams([Streams(s) for s in (0, 1, 2)]).members])

    plain, compact = stacked(False), stacked(True)
    plain.active = compact.active = [0, 2]
    sizes = set()
    for expected, batch in zip(plain.epoch(), compact.epoch(), strict=True):
        assert torch.equal(batch.index, expected.index)
        assert torch.equal(batch.expand(batch.x), expected.x)
        kinds = [len(np.unique(x, axis=0)) for x in expected.x]
        assert batch.x.shape[1] == max(kinds)
        sizes.add(kinds[0] == kinds[1])
    assert sizes == {True, False}


def test_a_source_that_is_read_in_blocks_gives_plain_batches(loader_of, streamed, rows):
    assert all(b.inverse is None for b in loader_of(streamed(rows), 50, distinct=True).epoch())


@pytest.mark.filterwarnings("ignore::steinmix.CollapseWarning")
@pytest.mark.parametrize("n_init", [1, 2])
@pytest.mark.parametrize("method", ["GaussianMixture", "VaDE"])
def test_a_fit_on_distinct_rows_is_the_plain_fit(rows, method, n_init):
    others = {} if method == "GaussianMixture" else {"latent_dim": 2, "hidden": (8,)}
    others |= {"pretraining": sm.Pretraining(layer_epochs=1)} if method == "VaDE" else {}

    def fit(**training):
        training = sm.Training(epochs=3, batch_size=50, progress=False, **training)
        return getattr(sm, method)(3, start="kmeans", training=training, n_init=n_init, random_state=0, **others).fit(
            rows
        )

    plain, compact = fit(), fit(distinct_rows=True)
    for one, other in zip(plain.history_, compact.history_, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-5, abs=1e-5)
    np.testing.assert_allclose(compact.score_samples(rows), plain.score_samples(rows), rtol=1e-3, atol=1e-3)


def test_a_method_that_has_no_use_for_it_says_so(rows):
    with pytest.raises(sm.ConfigError, match="distinct_rows is set, and VAE has no use for it"):
        sm.VAE(2, training=sm.Training(epochs=1, distinct_rows=True)).fit(rows)
