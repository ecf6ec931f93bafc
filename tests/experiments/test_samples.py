"""The judge of samples: what it says of pure, mixed and lost components, and of its own error."""

import numpy as np
import pytest

from oracles.points import blobs
from steinmix.experiments import samples


@pytest.fixture(scope="module")
def gallery():
    return samples.make_gallery(*blobs(600, 3, 4))


def test_pure_mixed_and_missing_components(gallery):
    x, labels = blobs(600, 3, 4)
    pure = [x[labels == c] for c in range(3)]
    assert gallery.judge.scores(pure) == {"one_class": 1.0, "classes": 3.0}
    mixed = np.concatenate([pure[0], pure[1]])
    found = gallery.judge.scores([pure[0], mixed, pure[0]])
    assert found["one_class"] == pytest.approx(5 / 6)
    assert found["classes"] <= 2


def test_a_judge_of_labels_without_meaning_errs(gallery):
    assert gallery.judge.error() == 0
    x, labels = blobs(600, 3, 4)
    shuffled = np.random.default_rng(0).permutation(labels)
    assert samples.make_gallery(x, shuffled).judge.error() > 0.5


def test_a_generator_is_judged(gallery):
    found = samples.run("set/gmm", 0, gallery)
    assert found["one_class"] > 0.95
    assert found["classes"] == 3
    assert found["judge_error"] == 0
    assert found["one_class_sure"] >= found["one_class"] - 0.01
