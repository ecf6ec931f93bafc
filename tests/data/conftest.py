import numpy as np
import pytest

from steinmix.random import Streams


@pytest.fixture
def rng():
    return Streams(0).numpy("tests")


@pytest.fixture
def table(rng):
    """1000 rows, 3 columns."""
    return rng.normal(size=(1000, 3))


@pytest.fixture
def check_source(rng):
    """The contract of a Source, against the array it stands for."""

    def check(source, expected, rows=64):
        n = len(expected)
        assert (source.n_rows, source.n_features) == expected.shape
        assert source.dtype == expected.dtype
        index = np.array([n - 1, 0, 0, n // 2])
        taken = source.take(index)
        assert np.array_equal(taken, expected[index])
        assert taken.dtype == source.dtype
        assert taken.flags.c_contiguous
        assert source.take(np.array([], dtype=int)).shape == (0, expected.shape[1])
        assert np.array_equal(np.concatenate([i for i, _ in source.blocks(rows)]), np.arange(n))
        for order in (None, rng):
            seen = []
            for i, block in source.blocks(rows, order):
                assert len(i) == len(block) <= rows
                assert np.array_equal(block, expected[i])
                assert block.dtype == source.dtype
                assert block.flags.c_contiguous
                assert block.flags.writeable
                seen.append(i)
            assert np.array_equal(np.sort(np.concatenate(seen)), np.arange(n))

    return check
