import gzip
import inspect
import io
import os
import struct
import zipfile

import numpy as np
import pytest
import scipy.sparse as sp

from steinmix.data import as_source, datasets, fetch
from steinmix.data.datasets import har, mnist
from steinmix.data.datasets._card import check_counts, check_shape
from steinmix.errors import ChecksumError, ConfigError, DataError

FOLDER = os.environ.get("STEINMIX_DATA")
SIZES = {
    "arcs": (10_000, 2, 5),
    "arrhythmia": (452, 274, 2),
    "digits": (1797, 64, 10),
    "har_recomputed": (10_411, 561, 6),
    "kddcup99": (494_021, 118, 2),
    "mnist": (70_000, 784, 10),
    "rcv1": (10_000, 2000, 4),
    "toy": (12_000, 1, 6),
    "usps": (9298, 256, 10),
}
NOT_HERE = ("har", "reuters", "stl10", "svhn")
FILES = {
    "arrhythmia": "odds/arrhythmia.mat",
    "har_recomputed": "har/har_561_recomputed.npz",
    "kddcup99": "kddcup99/kddcup.data_10_percent.gz",
    "mnist": "mnist/train-images-idx3-ubyte.gz",
    "rcv1": "rcv1/rcv1_10k_2000.npz",
    "svhn": "svhn/train_32x32.mat",
}


def need(name):
    if name not in {"arcs", "digits", "toy"} and not FOLDER:
        pytest.skip("STEINMIX_DATA does not name a folder with the published files")


@pytest.fixture
def no_files(tmp_path, monkeypatch):
    monkeypatch.setenv("STEINMIX_DATA", str(tmp_path))
    monkeypatch.setattr(fetch, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path


@pytest.fixture(scope="module")
def kddcup99():
    """Loaded once: it is large."""
    need("kddcup99")
    return datasets.load_kddcup99()


def test_every_loader_is_available():
    assert sorted(datasets.available()) == sorted([*SIZES, *NOT_HERE])


@pytest.mark.parametrize("name", SIZES)
def test_published_sizes_and_cards(name, request):
    need(name)
    found = request.getfixturevalue(name) if name == "kddcup99" else datasets.available()[name]()
    n, f, classes = SIZES[name]
    assert found.data.shape == (n, f)
    assert found.target.shape == (n,)
    assert found.target.dtype == np.int64
    assert np.array_equal(np.unique(found.target), np.arange(classes))
    assert len(found.feature_names) == f
    assert len(set(found.feature_names)) == f
    assert all(type(feature) is str for feature in found.feature_names)
    assert len(found.target_names) == classes
    assert found.name == name
    for part in ("Source", "Licence", "Size", "Preparation", "Citation", found.licence, found.source):
        assert part in found.DESCR
    assert as_source(found.data).n_rows == n


@pytest.mark.parametrize("name", [*SIZES, *NOT_HERE])
def test_docstrings_say_source_licence_and_size(name):
    text = inspect.getdoc(datasets.available()[name])
    for part in ("Source:", "Licence:", "Size:", "Parameters\n-", "Returns\n-"):
        assert part in text


@pytest.mark.parametrize("name", ["digits", "arcs", "toy", "rcv1"])
def test_pairs_and_frames(name):
    pd = pytest.importorskip("pandas")
    need(name)
    load = datasets.available()[name]
    X, y = load(return_X_y=True)
    found = load(as_frame=True)
    assert isinstance(found.data, pd.DataFrame)
    assert isinstance(found.target, pd.Series)
    assert list(found.frame.columns) == [*found.feature_names, "target"]
    dense = X.toarray() if sp.issparse(X) else X
    assert np.array_equal(found.data.to_numpy(), dense)
    assert np.array_equal(found.target, y)
    assert load(return_X_y=True, as_frame=True)[0].shape == X.shape


def test_digits_are_between_zero_and_one():
    X, _ = datasets.load_digits(return_X_y=True)
    assert X.dtype == np.float32
    assert (X.min(), X.max()) == (0, 1)


def test_mnist_parts():
    need("mnist")
    train, test = (datasets.load_mnist(subset=s) for s in ("train", "test"))
    X, y = datasets.load_mnist(return_X_y=True)
    assert X.dtype == np.uint8
    assert X.max() == 255
    assert np.array_equal(X, np.concatenate([train.data, test.data]))
    assert np.array_equal(y, np.concatenate([train.target, test.target]))
    assert train.target[:5].tolist() == [5, 0, 4, 1, 9]


def test_kdd_rows_against_the_first_lines_of_the_file(kddcup99):
    found = kddcup99
    row = dict(zip(found.feature_names, found.data[0]))
    with gzip.open(f"{FOLDER}/kddcup99/kddcup.data_10_percent.gz", "rt") as file:
        first = next(file).strip().split(",")
    assert row["duration"] == float(first[0])
    assert row[f"service={first[2]}"] == 1
    assert row["src_bytes"] == float(first[4])
    assert row["dst_host_srv_rerror_rate"] == np.float32(first[40])
    assert found.label_names[found.label[0]] == first[41]
    one_hot = [i for i, n in enumerate(found.feature_names) if "=" in n]
    assert len(one_hot) == 80
    assert np.all(found.data[::1000, one_hot].sum(1) == 3)
    assert len(found.label_names) == 23
    assert np.array_equal(found.target == 1, found.label == found.label_names.index("normal."))
    assert len(found.continuous) == 31
    assert set(found.continuous) < set(found.feature_names)


def test_usps_parts():
    need("usps")
    test = datasets.load_usps(subset="test")
    assert test.data.shape == (2007, 256)
    assert (test.data.min(), test.data.max()) == (0, 1)
    assert test.data.dtype == np.float32


def test_rcv1_rows_have_unit_length():
    need("rcv1")
    X, _ = datasets.load_rcv1(return_X_y=True)
    assert X.format == "csr"
    assert X.dtype == np.float32
    assert np.allclose(sp.linalg.norm(X, axis=1), 1, atol=1e-5)


def test_har_split_and_range():
    need("har_recomputed")
    found = datasets.load_har(features="recomputed")
    assert np.bincount(found.split).tolist() == [7415, 2996]
    assert np.array_equal(np.unique(found.subject), np.arange(1, 31))
    assert np.abs(found.data).max() == 1


def test_arcs_look_like_the_authors_file():
    X, y = datasets.load_arcs(return_X_y=True)
    radius = np.linalg.norm(X, axis=1)
    assert np.allclose(np.quantile(radius, [0.05, 0.5, 0.95]), [0.41, 0.72, 0.94], atol=0.01)
    assert np.allclose(X.std(0), 0.51, atol=0.01)
    assert np.bincount(y).tolist() == [2000] * 5


@pytest.mark.parametrize(
    ("grid", "means"),
    [("centred", [-6, -2, 2, 6]), ("paper", [4, 8, 12, 16]), ("code", [-16, -16 / 3, 16 / 3, 16])],
)
def test_toy_grids(grid, means):
    found = datasets.load_toy(n_components=4, spacing=4.0, grid=grid)
    assert np.allclose(found.means, means)
    for k, mean in enumerate(means):
        rows = found.data[found.target == k]
        assert len(rows) == 2000
        assert abs(rows.mean() - mean) < 0.1
        assert abs(rows.var() - 1) < 0.15


@pytest.mark.parametrize("load", [datasets.load_arcs, datasets.load_toy])
def test_generated_sets_follow_their_seed_only(load):
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    a, b, c = (load(random_state=s).data for s in (1, 1, 2))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    assert load(random_state=None).data.shape == a.shape


@pytest.mark.parametrize(
    ("load", "wrong"),
    [
        (datasets.load_arcs, {"n_arcs": 0}),
        (datasets.load_arcs, {"n_samples": 3}),
        (datasets.load_har, {"features": "other"}),
        (datasets.load_mnist, {"subset": "half"}),
        (datasets.load_rcv1, {"subset": "test"}),
        (datasets.load_svhn, {"subset": "half"}),
        (datasets.load_toy, {"grid": "round"}),
        (datasets.load_toy, {"n_components": 0}),
        (datasets.load_usps, {"subset": "half"}),
    ],
)
def test_wrong_parameters(load, wrong):
    with pytest.raises(ConfigError, match=r"Got .*expected"):
        load(**wrong)


@pytest.mark.parametrize("name", ["arrhythmia", "har", "kddcup99", "mnist", "reuters", "svhn", "usps"])
def test_no_download_unless_allowed(name, no_files):
    with pytest.raises(DataError, match=r"download_if_missing=True"):
        datasets.available()[name](download_if_missing=False)


@pytest.mark.parametrize("name", ["har_recomputed", "rcv1"])
def test_files_without_a_public_home(name, no_files):
    with pytest.raises(DataError, match=rf"{FILES[name]}.*no public home.*STEINMIX_DATA"):
        datasets.available()[name]()


@pytest.mark.parametrize("name", FILES)
def test_changed_files_are_refused(name, no_files):
    path = no_files / FILES[name]
    path.parent.mkdir()
    path.write_bytes(b"changed")
    with pytest.raises(ChecksumError, match=r"expected [0-9a-f]{64}"):
        datasets.available()[name]()


def test_other_usps_digits_are_refused(no_files):
    (no_files / "usps").mkdir()
    path = no_files / "usps" / "zip.test.gz"
    path.write_bytes(gzip.compress(b"1.0 " + b"0.5 " * 256 + b"\n"))
    with pytest.raises(DataError, match=r"shape \(1, 257\).*shape \(2007, 257\)"):
        datasets.load_usps(subset="test")
    path.write_bytes(b"not gzip")
    with pytest.raises(DataError, match="cannot be read"):
        datasets.load_usps(subset="test")


def test_sizes_are_compared():
    with pytest.raises(DataError, match=r"shape \(3, 2\); expected the published shape \(3, 3\)"):
        check_shape("x", (3, 2), (3, 3))
    with pytest.raises(DataError, match=r"class sizes \[1, 2\]; expected the published class sizes \[2, 1\]"):
        check_counts("x", np.array([0, 1, 1]), [2, 1])


@pytest.mark.parametrize("pack", [lambda raw: raw, gzip.compress])
@pytest.mark.parametrize(("code", "dtype"), [(8, ">u1"), (11, ">i2"), (13, ">f4")])
def test_idx(pack, code, dtype, tmp_path):
    X = np.arange(24).reshape(2, 3, 4).astype(dtype)
    (tmp_path / "x").write_bytes(pack(bytes([0, 0, code, 3]) + struct.pack(">3I", 2, 3, 4) + X.tobytes()))
    found = mnist.read_idx(tmp_path / "x")
    assert np.array_equal(found, X)
    assert found.dtype.isnative
    assert found.flags.writeable


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "head"),
        (b"\1\2\3\4", "head"),
        (b"\0\0\x08\x02\0\0", "head"),
        (b"\0\0\x08\x01\0\0\0\x09abc", "11 bytes; its head announces 17"),
        (b"\x1f\x8bbroken", "cannot be read"),
    ],
)
def test_broken_idx(raw, message, tmp_path):
    (tmp_path / "x").write_bytes(raw)
    with pytest.raises(DataError, match=message):
        mnist.read_idx(tmp_path / "x")


def har_archive(nested):
    """An archive of the published layout: three train rows, two test rows, two features."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("UCI HAR Dataset/features.txt", "1 a-mean()\n2 a-mean()\n")
        for part, n in (("train", 3), ("test", 2)):
            for key, line in (("X", "  1.0e-001 -2.0e-001\n"), ("y", "5\n"), ("subject", "1\n")):
                archive.writestr(f"UCI HAR Dataset/{part}/{key}_{part}.txt", line * n)
            archive.writestr(f"__MACOSX/UCI HAR Dataset/{part}/._X_{part}.txt", "not data")
    if not nested:
        return inner.getvalue()
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr("UCI HAR Dataset.names", "text")
        archive.writestr("UCI HAR Dataset.zip", inner.getvalue())
    return outer.getvalue()


@pytest.mark.parametrize("nested", [False, True])
def test_har_archive(nested, no_files):
    path = no_files / "har" / "human+activity+recognition+using+smartphones.zip"
    path.parent.mkdir()
    path.write_bytes(har_archive(nested))
    found = har._published(path)
    assert np.allclose(found["X"], [[0.1, -0.2]] * 5)
    assert found["split"].tolist() == [0, 0, 0, 1, 1]
    assert found["names"] == ["1 a-mean()", "2 a-mean()"]
    with pytest.raises(DataError, match=r"shape \(5, 2\); expected the published shape \(10299, 561\)"):
        datasets.load_har()


def test_broken_har_archives(no_files):
    path = no_files / "har" / "human+activity+recognition+using+smartphones.zip"
    path.parent.mkdir()
    path.write_bytes(b"not a zip")
    with pytest.raises(DataError, match="cannot be read"):
        datasets.load_har()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "text")
    with pytest.raises(DataError, match=r"lacks train/X_train.txt"):
        datasets.load_har()
