import json

import numpy as np
import pytest

from steinmix.errors import DataError
from steinmix.experiments.pictures import MAP_ROWS, gallery, latent_map, pack, shown_rows, unpack


def test_packed_arrays_come_back(rng):
    for array in (rng.integers(0, 256, (3, 2, 4, 4), dtype=np.uint8), rng.normal(size=(5, 2)).astype("<f2")):
        back = unpack(json.loads(json.dumps(pack(array))))
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)


BROKEN = (
    *({"zlib": text} for text in ("?", "AAAA", None)),
    *({"shape": shape} for shape in ([2, 3], [1], [-1, -4], [2**40], None)),
    *({"type": kind} for kind in ("|O", "x", "<f2")),
)


@pytest.mark.parametrize("change", BROKEN)
def test_what_is_not_packed_is_refused(change):
    packed = pack(np.arange(4, dtype=np.uint8).reshape(2, 2))
    with pytest.raises(DataError, match="no packed array"):
        unpack(packed | change)


def test_a_map_is_the_codes_on_their_principal_axes(rng):
    codes = rng.normal(size=(40, 4)) * [3.0, 1.0, 0.3, 0.1]
    classes = np.array(["b", "a"])[np.arange(40) % 2]
    found = latent_map("", codes, np.arange(40) % 3, classes)
    centred = codes - codes.mean(0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    points = unpack(found["points"]).astype(float)
    np.testing.assert_allclose(np.abs(points), np.abs(u * s)[:, :2], atol=5e-3)
    np.testing.assert_array_equal(unpack(found["clusters"]), np.arange(40) % 3)
    np.testing.assert_array_equal(unpack(found["classes"]), 1 - np.arange(40) % 2)


def test_a_map_of_many_rows_is_small(rng):
    n = 3000
    codes = rng.normal(size=(n, 10)) * 20
    clusters = rng.integers(0, 10, n)
    found = latent_map("", codes, clusters, clusters)
    assert unpack(found["points"]).shape == (MAP_ROWS, 2)
    np.testing.assert_array_equal(unpack(found["clusters"]), clusters[shown_rows(n)])
    assert len(json.dumps(found)) < 10_000


def test_a_gallery_keeps_sixteen_levels():
    images = np.linspace(-1, 3, 2 * 3 * 4).reshape(2, 3, 4)
    kept = unpack(gallery("", images, 0.0, 2.0)["images"])
    assert kept.shape == (2, 3, 2, 2)
    assert (kept.min(), kept.max(), len(np.unique(kept % 17))) == (0, 255, 1)
    expected = np.clip(images.reshape(kept.shape) / 2, 0, 1) * 255
    assert np.abs(kept - expected).max() <= 8.5
