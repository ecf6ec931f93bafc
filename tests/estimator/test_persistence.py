"""What may stand in a saved file, and what may not."""

from dataclasses import dataclass

import pytest

from steinmix import NSVGD, ConfigError
from steinmix.diversify import RBF
from steinmix.estimator.persistence import plain_params


def own(name):
    """A configuration of the user's, under a name that this library has too."""

    @dataclass
    class Kernel(RBF):
        bandwidth: float = 2.0

    Kernel.__name__ = name
    return Kernel


@pytest.mark.parametrize("name", ["RBF", "Mine"])
def test_a_class_of_the_users_is_not_saved_as_another_of_its_name(name):
    with pytest.raises(ConfigError, match=rf"^diversifier\.kernel is a {name}, which cannot be saved"):
        plain_params({"diversifier": NSVGD(kernel=own(name)())})


def test_a_class_of_this_library_is_saved_by_its_name():
    plain = plain_params({"diversifier": NSVGD(0.5, RBF(0.3))})["diversifier"]
    assert plain["params"]["kernel"] == {"$class": "RBF", "params": {"bandwidth": 0.3}}
