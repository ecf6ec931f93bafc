"""A filter of warnings that threads share."""

import warnings

from sklearn.exceptions import ConvergenceWarning

from steinmix.numerics.shared import without_convergence_warnings


def test_filters_are_as_before_when_the_last_of_two_threads_is_done():
    before = list(warnings.filters)
    first, second = without_convergence_warnings(), without_convergence_warnings()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    with warnings.catch_warnings(record=True) as seen:
        warnings.warn("still held", ConvergenceWarning, stacklevel=1)
    assert not seen
    second.__exit__(None, None, None)
    assert warnings.filters == before
