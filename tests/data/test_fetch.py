import hashlib
import sys
import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import pytest

from steinmix.data import fetch
from steinmix.errors import ChecksumError, ConfigError, DataError

CONTENT = b"published"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """A data folder and a cache of our own."""
    data, cache = tmp_path / "data", tmp_path / "cache"
    data.mkdir()
    monkeypatch.setenv("STEINMIX_DATA", str(data))
    monkeypatch.setattr(fetch, "cache_folder", lambda: cache)
    return data, cache


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A public home on this machine."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    home = tmp_path / "home"
    home.mkdir()
    (home / "file.gz").write_bytes(CONTENT)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(home))) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def put(folder, content=CONTENT):
    path = folder / "set" / "file.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_named_folder_comes_before_the_cache(folders):
    cached = put(folders[1])
    assert fetch.locate("set/file.gz", (), DIGEST) == cached
    named = put(folders[0])
    assert fetch.locate("set/file.gz", (), DIGEST) == named


def test_another_file_is_refused_and_a_repaired_one_accepted(folders):
    path = put(folders[0], b"changed")
    with pytest.raises(ChecksumError) as caught:
        fetch.locate("set/file.gz", (), DIGEST)
    for part in (str(path), hashlib.sha256(b"changed").hexdigest(), DIGEST, "Delete"):
        assert part in str(caught.value)
    put(folders[0])
    assert fetch.locate("set/file.gz", (), DIGEST) == path


def test_a_file_is_read_for_its_digest_once(folders, monkeypatch):
    put(folders[0])
    fetch.locate("set/file.gz", (), DIGEST)
    monkeypatch.setattr(fetch.hashlib, "file_digest", None)
    fetch.locate("set/file.gz", (), DIGEST)


def test_without_a_digest_nothing_is_asked(folders):
    path = put(folders[0], b"anything")
    assert fetch.locate("set/file.gz") == path


def test_missing_files_without_a_home_or_a_leave_to_download(folders):
    with pytest.raises(DataError, match=r"no public home.*STEINMIX_DATA"):
        fetch.locate("set/file.gz")
    with pytest.raises(DataError, match=r"set/file.gz was not found.*http://nowhere.*download_if_missing=True"):
        fetch.locate("set/file.gz", "http://nowhere/file.gz", download=False)
    assert not folders[1].exists()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_download(folders, server):
    pytest.importorskip("pooch")
    path = fetch.locate("set/file.gz", (f"{server}/absent.gz", f"{server}/file.gz"), DIGEST)
    assert path == folders[1] / "set" / "file.gz"
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["file.gz"]
    assert fetch.locate("set/file.gz", (), DIGEST) == path


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_wrong_or_failed_download_leaves_nothing(folders, server):
    pytest.importorskip("pooch")
    with pytest.raises(ChecksumError, match=rf"file.gz: got other bytes.*{'0' * 64}"):
        fetch.locate("set/file.gz", f"{server}/file.gz", "0" * 64)
    with pytest.raises(DataError, match=r"could not be fetched:\n.*absent.gz: 404[^$]*STEINMIX_DATA"):
        fetch.locate("set/file.gz", f"{server}/absent.gz", DIGEST)
    assert list((folders[1] / "set").iterdir()) == []


def test_needs_pooch(folders, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("STEINMIX_DATA", str(folders[0]))
    monkeypatch.setitem(sys.modules, "pooch", None)
    path = put(folders[0])
    assert fetch.locate("set/file.gz", (), DIGEST) == path
    with pytest.raises(ConfigError, match=r'pip install "steinmix\[data\]"'):
        fetch.locate("set/other.gz", "http://nowhere/other.gz")


def test_the_cache_is_the_users(monkeypatch):
    pytest.importorskip("pooch")
    monkeypatch.undo()
    assert fetch.cache_folder().name == "steinmix"
