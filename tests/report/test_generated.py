import base64
import io

import numpy as np
import pytest
from matplotlib.image import imread

import steinmix as sm
from steinmix.random import Streams
from steinmix.report import write_report
from steinmix.report.cards import grey_range
from steinmix.report.figures import tiled
from steinmix.report.generated import _nearest_pairs, generated
from steinmix.report.records import gather, image_side

STYLED = {"latent_dim": 4, "w_dim": 3, "hidden": (16,)}


def strips(model, X):
    rows = gather(model, X, None, Streams(0))
    return generated(model, rows, image_side(rows)), rows


def pixels(uri):
    return imread(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_a_strip_runs_from_one_mean_to_the_other(vade, digits):
    found, rows = strips(vade, digits[0])
    item = found["between"][0]
    low, high = grey_range(rows)
    shown = pixels(item["image"])
    assert shown.shape[:2] == (8, 9 * 9 - 1)
    for c, place in zip(item["pair"], (slice(0, 8), slice(-8, None))):
        mean = vade.interpolate(c, c, 2)[0].reshape(8, 8)
        np.testing.assert_allclose(shown[:, place, 0], (mean - low) / (high - low), atol=2 / 255)
    assert np.abs(shown[:, :8, 0] - shown[:, -8:, 0]).max() > 6 / 255  # the ends cannot be mistaken for each other
    assert found["styles"] == []


def test_every_component_is_beside_its_nearest(vade):
    pairs = _nearest_pairs(vade, np.arange(10))
    means = vade.means_
    for c in range(10):
        others = [d for d in range(10) if d != c]
        nearest = min(others, key=lambda d: np.linalg.norm(means[c] - means[d]))
        assert tuple(sorted((c, nearest))) in pairs
    assert len(set(pairs)) == len(pairs) <= 10
    assert _nearest_pairs(vade, np.array([3])) == []


def test_the_styles_shown_are_the_strongest(quickly, digits):
    gmvae = quickly(sm.GMVAE(5, **STYLED), digits[0])
    found, _ = strips(gmvae, digits[0])
    shown = [item["coordinate"] for item in found["styles"]]
    assert shown == np.argsort(-gmvae.style_effects())[:2].tolist()
    assert pixels(found["styles"][0]["image"]).shape[:2] == (5 * 9 - 1, 9 * 9 - 1)


def test_tables_and_mixtures_of_pixels_have_none(quickly, mixture, blobs, digits):
    assert strips(mixture, blobs[0])[0] is None
    assert strips(quickly(sm.GaussianMixture(3), digits[0]), digits[0])[0] is None
    table = quickly(sm.VaDE(2, hidden=(8,), start="kmeans"), blobs[0])
    assert strips(table, blobs[0])[0] is None


@pytest.mark.parametrize("kind", [sm.GMVAE, sm.GMVAECV])
def test_a_model_with_styles_has_a_page(kind, quickly, digits, tmp_path):
    """Its map is of codes alone, and its labels are those of `predict`."""
    model = quickly(kind(5, **STYLED), digits[0])
    text = write_report(model, digits[0], {}, tmp_path / "page.html").read_text()
    assert 'id="generated"' in text
    assert "coordinate" in text
    assert np.array_equal(gather(model, digits[0], None, Streams(0)).labels, model.predict(digits[0]))


def test_tiles_stand_line_by_line_with_gaps():
    images = np.arange(24.0).reshape(2, 3, 2, 2)
    canvas = tiled(images)
    assert canvas.shape == (5, 8)
    np.testing.assert_array_equal(canvas[3:, 6:], images[1, 2])
    np.testing.assert_array_equal(canvas[:2, 3:5], images[0, 1])
    assert np.isnan(canvas[2]).all()
    assert np.isnan(canvas[:, [2, 5]]).all()
