"""What may stand in a saved file, and what may not."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import steinmix as sm
from steinmix import NSVGD, ConfigError
from steinmix._files import read_folder, write_folder
from steinmix.diversify import RBF
from steinmix.estimator.persistence import plain_params
from steinmix.training import Callback


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


class Holding(Callback):
    """A callback of the user's that has weights."""

    def __init__(self, weights):
        self.weights = {"w": weights}


def test_long_arrays_of_the_users_objects_are_told_apart_by_their_digest():
    """Written out they made megabytes of a record, and of every checkpoint."""
    ones = torch.ones(300, 100)
    told, again, other = (
        json.dumps(plain_params({"callbacks": (Holding(weights),)}, strict=False))
        for weights in (ones, ones.clone(), ones.clone().index_fill_(0, torch.tensor([7]), 2.0))
    )
    assert told == again != other
    assert len(told) < 300
    assert plain_params({"rates": np.ones(101)})["rates"]["$array"] == [1.0] * 101  # what is saved is whole


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
@pytest.mark.parametrize(("method", "change"), [(sm.DAGMM, {"n_components": 0}), (sm.GMVAE, {"image_shape": [[[]]]})])
def test_a_plan_that_cannot_be_built_is_told_as_a_bad_file(method, change, tmp_path):
    training = sm.Training(epochs=0, progress=False)
    method(2, training=training, random_state=0).fit(np.random.default_rng(0).random((20, 4))).save(tmp_path / "m")
    content, tensors = read_folder(tmp_path / "m", "model")
    content["fitted"]["plan_"].update(change)
    write_folder(tmp_path / "m", "model", content, tensors)
    with pytest.raises(sm.ModelFileError, match="does not fit a"):
        sm.load(tmp_path / "m")


def test_a_subclass_is_not_saved_as_its_base(tmp_path, rng):
    class GaussianMixture(sm.GaussianMixture):
        pass

    model = GaussianMixture(2, collapse="ignore", training=sm.Training(epochs=0)).fit(rng.normal(size=(20, 2)))
    with pytest.raises(ConfigError, match=r"GaussianMixture is no class of steinmix"):
        model.save(tmp_path / "model")
    assert not any(tmp_path.iterdir())
