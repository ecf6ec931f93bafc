"""Sets that are too large to be here, or are made by the user: their loaders on small files of the same form."""

import gzip
import os
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.io import savemat

from steinmix.data import datasets, fetch
from steinmix.data.datasets import rcv1, reuters, stl10, svhn
from steinmix.errors import ConfigError, DataError

FOLDER = os.environ.get("STEINMIX_DATA")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("STEINMIX_DATA", str(tmp_path))
    monkeypatch.setattr(fetch, "cache_folder", lambda: tmp_path / "cache")
    for name in ("rcv1", "stl10", "svhn"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def house_numbers(folder, monkeypatch, rng):
    """Three files of 4, 5 and 6 images, as MATLAB keeps them."""
    rows = {"train": 4, "test": 5, "extra": 6}
    made = {}
    for part, n in rows.items():
        made[part] = rng.integers(0, 256, size=(32, 32, 3, n), dtype=np.uint8), np.arange(1, n + 1)[:, None] % 11 + 6
        savemat(folder / "svhn" / f"{part}_32x32.mat", {"X": made[part][0], "y": made[part][1]})
    monkeypatch.setattr(svhn, "_ROWS", rows)
    monkeypatch.setattr(svhn, "_FILES", {k: replace(file, sha256=None) for k, file in svhn._FILES.items()})
    return made


def test_house_numbers(house_numbers):
    found = datasets.load_svhn(subset="test")
    images, labels = house_numbers["test"]
    assert found.data.dtype == np.uint8
    assert found.data.shape == (5, 3072)
    names = [found.feature_names.index(name) for name in ("red_0_0", "blue_0_1", "green_31_2")]
    assert np.array_equal(found.data[3, names], [images[0, 0, 0, 3], images[0, 1, 2, 3], images[31, 2, 1, 3]])
    assert labels.ravel().tolist() == [7, 8, 9, 10, 11]
    assert found.target.tolist() == [7, 8, 9, 0, 1]
    whole = datasets.load_svhn()
    assert np.array_equal(whole.data[4:9], found.data)
    assert len(whole.data) == len(whole.target) == 15
    assert whole.image_shape == (32, 32, 3)


def test_other_house_numbers_are_refused(house_numbers, folder, monkeypatch):
    monkeypatch.setattr(svhn, "_ROWS", {"train": 4, "test": 26_032, "extra": 6})
    with pytest.raises(DataError, match=r"SVHN \(test\) holds shape \(5, 3072\).*\(26032, 3072\)"):
        datasets.load_svhn(subset="test")
    savemat(folder / "svhn" / "train_32x32.mat", {"X": np.zeros((4, 3072))})
    with pytest.raises(DataError, match=r"train_32x32.mat lacks X .*expected a MATLAB file of SVHN"):
        datasets.load_svhn(subset="train")


@pytest.fixture
def features(monkeypatch, rng):
    monkeypatch.setattr(stl10, "_SHAPE", (20, 4))
    monkeypatch.setattr(stl10, "_COUNTS", (2,) * 10)
    return {"features": rng.normal(size=(20, 4)), "labels": np.arange(20) % 10 + 1}


def _save_npy(path, features, labels):
    np.save(path, features)
    np.save(path.with_name("labels.npy"), labels)


WRITERS = {
    ".npz": lambda path, **content: np.savez(path, **content),
    ".npy": _save_npy,
    ".mat": lambda path, **content: savemat(path, content),
}


@pytest.mark.parametrize("ending", WRITERS)
def test_features_of_ones_own(folder, features, ending):
    WRITERS[ending](folder / "stl10" / f"features{ending}", **features)
    assert datasets.absent("stl10") == ""
    found = datasets.load_stl10()
    assert found.data.dtype == np.float32
    assert np.allclose(found.data, features["features"])
    assert found.target.tolist() == (np.arange(20) % 10).tolist()
    named = datasets.load_stl10(path=folder / "stl10" / f"features{ending}", return_X_y=True)
    assert np.array_equal(named[1], found.target)


def test_features_that_are_not_there_or_others(folder, features):
    with pytest.raises(DataError, match=r"stl10/features.npz not present.*how to make it.*`labels` \(13000,\)"):
        datasets.load_stl10()
    path = folder / "stl10" / "features.npz"
    with pytest.raises(DataError, match=r"no file .*other.npz"):
        datasets.load_stl10(path=folder / "other.npz")
    with pytest.raises(DataError, match=r"ends in .npz, .npy, .mat"):
        datasets.load_stl10(path=folder / "features.h5")
    wrong = [
        ({"features": features["features"]}, r"lacks labels; expected `features`"),
        (features | {"features": np.zeros((20, 5))}, r"shape \(20, 5, 20\).*\(20, 4, 20\)"),
        (features | {"labels": features["labels"][:-1]}, r"shape \(20, 4, 19\)"),
        (features | {"labels": np.zeros(20)}, r"class sizes"),
        (features | {"features": np.full((20, 4), np.nan)}, r"not finite"),
        (features | {"labels": np.array(["cat"] * 20)}, r"cannot be read"),
        (features | {"labels": np.array([None] * 20)}, r"cannot be read"),  # objects, which would be unpickled
    ]
    for content, message in wrong:
        np.savez(path, **content)
        with pytest.raises(DataError, match=message):
            datasets.load_stl10()
    for ending in (".mat", ".npy"):
        (folder / "broken").with_suffix(ending).write_bytes(b"broken")
        with pytest.raises(DataError, match="cannot be read"):
            datasets.load_stl10(path=(folder / "broken").with_suffix(ending))


TOPICS = """CCAT 11 1
C15 11 1
GCAT 12 1
CCAT 13 1
ECAT 13 1
M11 14 1
MCAT 14 1
G15 15 1
ECAT 16 1
"""
"""Story 13 has two root topics, 15 none."""

VECTORS = {
    "train": "11 1:0.6 3:0.8\n13 1:1\n",
    "test_pt0": "12 2:0.6 47236:0.8\n",
    "test_pt1": "14 1:0.6 2:0.8\n",
    "test_pt2": "15 2:1\n",
    "test_pt3": "16 3:0.6 47235:0.8\n",
}


@pytest.fixture
def corpus(folder, monkeypatch):
    """Six stories in the form of RCV1-v2, of which four count."""
    for part, text in VECTORS.items():
        (folder / "rcv1" / f"lyrl2004_vectors_{part}.dat.gz").write_bytes(gzip.compress(text.encode()))
    (folder / "rcv1" / "rcv1-v2.topics.qrels.gz").write_bytes(gzip.compress(TOPICS.encode()))
    monkeypatch.setattr(reuters, "_TOPICS", replace(reuters._TOPICS, sha256=None))
    monkeypatch.setattr(reuters, "_VECTORS", tuple(replace(file, sha256=None) for file in reuters._VECTORS))
    return folder


def test_stories_with_one_root(corpus, monkeypatch):
    with pytest.raises(DataError, match=r"shape \(4, 47236\); expected the published shape \(685071, 47236\)"):
        datasets.load_reuters()
    monkeypatch.setattr(reuters, "N_STORIES", 4)
    monkeypatch.setattr(reuters, "N_STEMS", 3)
    found = datasets.load_reuters(download_if_missing=False)
    assert found.feature_names == ["stem_0", "stem_1", "stem_2"]  # in two stories each, the other two in one
    assert np.allclose(found.data.toarray(), [[0.6, 0, 0.8], [0, 1, 0], [0.6, 0.8, 0], [0, 0, 1]])
    assert [found.target_names[k] for k in found.target] == ["CCAT", "GCAT", "MCAT", "ECAT"]
    assert found.data.dtype == np.float32


def test_damaged_stories(corpus):
    path = corpus / "rcv1" / "rcv1-v2.topics.qrels.gz"
    path.write_bytes(gzip.compress(b"CCAT 11\n"))
    with pytest.raises(DataError, match=r"qrels.gz cannot be read"):
        datasets.load_reuters()
    path.write_bytes(gzip.compress(TOPICS.encode()))
    (corpus / "rcv1" / "lyrl2004_vectors_test_pt2.dat.gz").write_bytes(gzip.compress(b"a b c\n"))
    with pytest.raises(DataError, match=r"test_pt2.dat.gz cannot be read"):
        datasets.load_reuters()


def test_the_most_frequent_stems():
    stories = sp.csr_matrix(np.array([[3.0, 4, 0, 0], [0, 5, 0, 12], [0, 0, 7, 24], [9, 0, 0, 0]]))
    found, stems = rcv1.frequent_stems(stories, 2)
    assert stems.tolist() == [0, 1]  # as frequent as the last, which comes later
    assert np.allclose(found.toarray(), [[0.6, 0.8], [0, 1], [0, 0], [1, 0]])


def test_the_sample_is_made_of_all_stories_in_the_same_way():
    if not FOLDER:
        pytest.skip("STEINMIX_DATA does not name a folder with the published files")
    whole, sample = datasets.load_rcv1(subset="all"), datasets.load_rcv1()
    assert whole.feature_names == sample.feature_names
    with np.load(f"{FOLDER}/rcv1/rcv1_10k_2000.npz") as file:
        rows = file["row_ids"]
    assert abs(whole.data[rows] - sample.data).max() < 1e-6
    assert np.array_equal(whole.target[rows], sample.target)


def test_what_is_absent_and_how_to_get_it(folder, house_numbers, monkeypatch):
    monkeypatch.setattr(fetch, "_verify", None)  # nothing may be read
    assert datasets.absent("svhn") == ""
    (folder / "svhn" / "extra_32x32.mat").unlink()
    assert datasets.absent("svhn") == "svhn/extra_32x32.mat not present (steinmix data get svhn)"
    assert "topics.qrels.gz not present (steinmix data get reuters)" in datasets.absent("reuters")
    assert "no public home; put it below STEINMIX_DATA" in datasets.absent("rcv1")
    assert "har_561_recomputed.npz" in datasets.absent("har_recomputed")
    with pytest.raises(ConfigError, match="'mnist'; expected one of"):
        datasets.absent("mnist")
