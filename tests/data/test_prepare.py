import numpy as np
import pytest
import scipy.sparse as sp

from steinmix.data import Scaling, as_source, choose_scaling, column_statistics
from steinmix.data.prepare import ColumnStatistics, shares_unit, spreads_alike
from steinmix.errors import ConfigError, DataError


def stats_of(X, rows=4096):
    return column_statistics(as_source(X), rows)


def scaled(X, rule):
    scaling = choose_scaling(stats_of(X), rule, np.asarray(X).dtype)
    return scaling, (X - scaling.shift) / scaling.scale


@pytest.mark.parametrize("rows", [7, 100, 4096])
@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_statistics_equal_those_of_the_whole_array(rows, wrap, dtype, table):
    X = np.where(np.abs(table) > 0.5, 3 * np.abs(table), 0).astype(dtype)
    stats = stats_of(wrap(X), rows)
    wide = X.astype(np.float64)
    assert stats.n_rows == 1000
    assert np.array_equal(stats.minimum, wide.min(0))
    assert np.array_equal(stats.maximum, wide.max(0))
    assert np.allclose(stats.mean, wide.mean(0), rtol=1e-12)
    assert np.allclose(stats.variance, wide.var(0), rtol=1e-12)
    assert stats.mean.dtype == np.float64


@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_array])
def test_the_checksum_is_of_the_values_in_their_order(wrap, table):
    X = np.where(np.abs(table) > 0.5, table, 0)
    X[:2] = [X.min(0), X.max(0)]  # which stay, so that the ranges do
    inner = np.concatenate([X[:2], X[:1:-1]])
    moved = np.concatenate([X[:2], np.sign(X[2:]) * np.abs(X[2:]) ** 1.01]).clip(X.min(0), X.max(0))
    checksum = stats_of(wrap(X)).checksum
    assert {stats_of(wrap(X), rows).checksum for rows in (1, 7, 999)} == {checksum}
    assert len({checksum, *(stats_of(wrap(other)).checksum for other in (inner, moved))}) == 3


def test_files_and_arrays_have_one_checksum(tmp_path, table):
    np.save(tmp_path / "x.npy", table)
    assert stats_of(tmp_path / "x.npy", 100).checksum == stats_of(np.asfortranarray(table)).checksum


@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_array])
def test_a_large_mean_does_not_swallow_a_small_variance(wrap, table):
    stats = stats_of(wrap(1e9 + table), 64)
    assert np.allclose(stats.variance, table.var(0), rtol=1e-5)


@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("value", [0.1, 1.6000000000123456e18, 1e25])
def test_a_column_of_one_value_has_that_mean(wrap, value, table):
    """Beside its rounded mean, of a time in nanoseconds for example, such a column would lie thousands off."""
    stats = stats_of(wrap(np.column_stack([table[:, 0], np.full(1000, value)])), 64)
    assert (stats.mean[1], stats.variance[1]) == (value, 0)


def test_sparse_extremes_count_the_zeros_that_are_not_stored():
    X = np.array([[1.0, -1.0, 2.0], [3.0, -2.0, 5.0], [0.0, 0.0, 4.0]])
    stats = stats_of(sp.csr_array(X), 2)
    assert stats.minimum.tolist() == [0, -2, 2]
    assert stats.maximum.tolist() == [3, 0, 5]


def test_sparse_duplicates_are_added_up():
    X = sp.csr_array((np.array([1.0, 2.0]), np.array([0, 0]), np.array([0, 2, 2])), shape=(2, 1))
    stats = stats_of(X)
    assert (stats.maximum[0], stats.mean[0], stats.variance[0]) == (3, 1.5, 2.25)


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
def test_values_that_are_not_finite_are_located(value, word, tmp_path, table):
    table[777, 1] = value
    np.save(tmp_path / "x.npy", table)
    with pytest.raises(DataError, match=rf"contains {word}.*row 777, column 1;"):
        column_statistics(as_source(tmp_path / "x.npy"), 100)


def test_they_are_named_and_found_in_sparse_rows(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3,inf\n")
    with pytest.raises(DataError, match=r"row 1, column 1 \('b'\)"):
        column_statistics(as_source(tmp_path / "x.csv"))
    source = as_source(sp.csr_array(np.eye(5)))
    source.matrix.data[3] = np.nan
    with pytest.raises(DataError, match="row 3, column 3"):
        column_statistics(source, 2)


def test_standard(table):
    X = np.column_stack([5 * table + 3, np.full(1000, 0.1)])
    scaling, Z = scaled(X, "standard")
    assert np.allclose(Z.mean(0), 0)
    assert np.allclose(Z.std(0), [1, 1, 1, 0])
    assert scaling.scale[3] == 1


def test_range_is_one_number_for_all_columns(table):
    scaling, Z = scaled(10 * table, "range")
    assert (Z.min(), Z.max()) == (0, 1)
    assert len(set(scaling.scale)) == len(set(scaling.shift)) == 1
    assert np.all(choose_scaling(stats_of(np.full((3, 2), 7.0)), "range", np.float64).scale == 1)


def test_none_changes_nothing(table):
    assert np.array_equal(scaled(table, "none")[1], table)


def test_auto_by_kind_of_data(table):
    def auto(X):
        return choose_scaling(stats_of(X), "auto", X.dtype)

    def same(a: Scaling, b: Scaling):
        return np.array_equal(a.shift, b.shift) and np.array_equal(a.scale, b.scale)

    unit = np.clip(table, 0, 1)
    grey = np.round(16 * unit)
    lengths = np.abs(table) / np.abs(table).max()
    mixed = np.abs(table) * [1, 1, 1000]
    rules = [(unit, "none"), (grey, "range"), (lengths, "common"), (table, "standard"), (mixed, "standard")]
    for X, rule in rules:
        assert same(auto(X), choose_scaling(stats_of(X), rule, X.dtype))
    images = auto((255 * unit).astype(np.uint8))
    assert np.all(images.shift == 0)
    assert np.all(images.scale == 255)
    assert np.all(auto(table > 0).scale == 1)


def pictures(rng):
    """Grey values on a dark background, (300, 25); columns at the rim are hardly ever lit."""
    lit = rng.random((300, 25)) < np.linspace(0.01, 0.6, 25)
    return np.where(lit, rng.uniform(0.5, 1, size=(300, 25)), 0)


@pytest.mark.parametrize("change", [lambda X: 2 * X - 1, lambda X: ((X - 0.13) / 0.31).astype(np.float32)])
def test_auto_knows_pictures_whose_zero_was_moved(rng, change):
    """To [-1, 1], or by one mean and deviation; standardised, a column at the rim would weigh as much as any."""
    X = pictures(rng)
    Z = scaled(change(X), "auto")[1]
    np.testing.assert_allclose(Z, X / X.max(), atol=1e-6)
    each = X / X.std(0) - X.mean(0)
    assert np.ptp(choose_scaling(stats_of(each), "auto", each.dtype).scale) > 0  # standardised one by one


def test_auto_does_not_take_signed_columns_of_one_range_for_pictures(rng):
    X = rng.normal(size=(300, 25))
    X = 2 * (X - X.min(0)) / np.ptp(X, axis=0) - 1
    np.testing.assert_allclose(choose_scaling(stats_of(X), "auto", X.dtype).scale, X.std(0))


def test_auto_looks_at_how_far_bytes_spread(rng):
    """Of answers from 1 to 5, or of grey values up to 16, nothing is left after a division by 255."""
    answers, grey = 1 + rng.binomial(4, 0.5, size=(300, 20)), np.round(16 * pictures(rng))
    for X, rule in ((answers, "common"), (grey, "range")):
        found = choose_scaling(stats_of(X.astype(np.uint8)), "auto", np.dtype(np.uint8))
        assert np.array_equal(found.scale, choose_scaling(stats_of(X), rule, np.float64).scale)


@pytest.mark.parametrize("unit", [1.0, 0.01, 254.0])
def test_auto_does_not_depend_on_the_unit(table, unit):
    for X in (np.abs(table) / 10, np.clip(table, 0, 1), table):
        expected, found = scaled(X, "auto")[1], scaled(unit * X, "auto")[1]
        np.testing.assert_allclose(found - found.mean(0), expected - expected.mean(0), atol=1e-12)


def test_what_crowds_at_the_ends(rng):
    def crowds(X):
        return stats_of(np.asarray(X, np.float64)).crowds_ends

    assert crowds(rng.random((500, 4)) < [0.01, 0.3, 0.5, 0.99])
    assert crowds(rng.beta(0.2, 0.2, size=(500, 4)))
    assert not crowds(rng.random((500, 4)))
    assert not crowds(rng.beta(2, 2, size=(500, 4)))
    assert crowds(np.zeros((3, 2)))  # nothing between 0 and 1


def test_common_is_one_scale_about_the_means(table):
    scaling, Z = scaled(3 * table * [1, 2, 3] + 5, "common")
    assert len(set(scaling.scale)) == 1
    np.testing.assert_allclose(Z.mean(0), 0, atol=1e-12)
    assert np.mean(Z.var(0)) == pytest.approx(1)
    assert np.all(choose_scaling(stats_of(np.full((3, 2), 0.1)), "common", np.float64).scale == 1)


def test_the_statistics_of_scaled_columns_are_those_of_the_scaled_rows(table):
    for rule in ("standard", "range", "minmax", "common"):
        scaling, Z = scaled(table, rule)
        found, expected = scaling.statistics(stats_of(table)), stats_of(Z)
        for name in ("minimum", "maximum", "mean", "variance"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-12)


@pytest.mark.parametrize("unit", [1e-300, 1e300])
@pytest.mark.filterwarnings("error")
def test_the_square_of_a_scale_may_lie_beyond_float64(unit):
    one = np.full(1, unit)
    stats = ColumnStatistics(4, 0 * one, one, one / 2, np.full(1, 0.0 if unit < 1 else np.inf))
    assert not np.isnan(Scaling(0 * one, one).statistics(stats).variance).any()


def test_shared_units_ignore_constant_columns():
    pixels = np.array([[0, 0, 0, 9.0, 16.0], [0, 0, 0, 0.0, 0.0]])
    assert shares_unit(stats_of(pixels))
    assert shares_unit(stats_of(np.tile([[0.0, 0, 0, 0], [16, 8, 7, 1]], 4)))
    assert not shares_unit(stats_of(np.tile([[0.0, 0, 0, 0, 0], [16, 8, 7, 7, 1]], 4)))
    assert not shares_unit(stats_of(pixels - 1))
    assert not shares_unit(stats_of(np.ones((3, 2))))


@pytest.mark.parametrize("spreads", [(60, 90_000), (90_000, 80_000, 60), (1, 0.02), (200, 5)])
def test_a_few_columns_of_different_units_are_standardised(rng, spreads):
    """Age and income; the same and spending; a flag and a rate; small whole numbers."""
    X = rng.random((500, len(spreads))) * spreads
    X[:, 0] = np.where(X[:, 0] > X[:, 0].mean(), spreads[0], 0)
    for rows in (X, X.astype(np.uint8) if max(spreads) == 200 else X):
        found = choose_scaling(stats_of(rows), "auto", rows.dtype)
        np.testing.assert_allclose(found.scale, rows.std(0))


def test_spreads_of_one_unit():
    assert spreads_alike(stats_of(np.array([[0.0, 0, 7], [4, 1, 7]])))
    assert not spreads_alike(stats_of(np.array([[0.0, 0, 7], [4.1, 1, 7]])))
    assert spreads_alike(stats_of(np.array([[0.0] * 16, [99, *[1] * 15]])))  # an image: its borders hardly vary
    assert spreads_alike(stats_of(np.ones((3, 2))))


def test_minmax_takes_every_column_to_the_unit_interval():
    x = np.array([[1.0, 5.0, 7.0], [3.0, -5.0, 7.0], [2.0, 0.0, 7.0]])
    scaling = choose_scaling(stats_of(x), "minmax", np.float64)
    assert ((x - scaling.shift) / scaling.scale).tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]


def test_bad_rules_and_spreads():
    stats = stats_of(np.array([[1.0], [2.0]]))
    with pytest.raises(ConfigError, match=r"'log'.*'auto', 'common', 'minmax', 'none', 'range', 'standard'"):
        choose_scaling(stats, "log", np.float64)
    wide = stats_of(np.array([[0.0, 1.7e308], [1.0, -1.7e308]]))
    for rule in ("standard", "range", "minmax", "common"):
        with pytest.raises(DataError, match=r"Column \d spreads too far"):
            choose_scaling(wide, rule, np.float64)
