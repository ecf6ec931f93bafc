import html
import json
import random
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib import import_module
from inspect import signature

import matplotlib
import numpy as np
import pytest
import torch

import steinmix as sm
from steinmix import methods, report
from steinmix.errors import ConfigError, ModelFileError
from steinmix.report import figures, null_rows, words, write_report

EVIL = "<script>alert('x')</script>"
RECORD = {
    "command": "steinmix fit digits --method vade -o run/",
    "data": "digits",
    "created": "2031-02-03 04:05",
    "seed": 7,
    "wall_s": 61.25,
    "peak_bytes": 3 * 2**30,
    "hardware": "2 CPU cores",
    "versions": {"steinmix": "9.9", "torch": "8.8"},
    "note": "kept",
}
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Checked(HTMLParser):
    """Reads a page and notes tags that are not closed, ids, links, and images without an alternative text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.sources, self.tags, self.mute = [], [], [], [], set(), []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.note(tag, found)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.note(tag, dict(attrs))

    def note(self, tag, found):
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if "href" in found else []
        self.sources += [found["src"]] if "src" in found else []
        if (tag == "img" and not found.get("alt")) or (found.get("role") == "img" and not found.get("aria-label")):
            self.mute.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def pages(vade, mixture, autoencoder, vae, digits, blobs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    made = {
        "vade": write_report(vade, digits[0], RECORD, folder / "vade.html", labels=digits[1]),
        "mixture": write_report(mixture, blobs[0], {}, folder / "mixture.html"),
        "autoencoder": write_report(autoencoder, digits[0], {}, folder / "ae.html", labels=digits[1]),
        "vae": write_report(vae, blobs[0], None, str(folder / "vae.html")),
    }
    return {name: path.read_text() for name, path in made.items()}


KINDS = ["vade", "mixture", "autoencoder", "vae"]


@pytest.mark.parametrize("kind", KINDS)
def test_pages_are_whole_and_ask_the_network_for_nothing(pages, kind):
    text = pages[kind]
    page = Checked(text)
    assert page.open == []
    assert page.mute == []
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"https?://|(?<!:)//\w+\.|@import|url\((?!#|data:)", text)
    assert not page.tags & {"script", "link", "iframe", "object", "form"}
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert all(link.startswith("data:") or link[1:] in page.ids for link in page.links)
    assert len(text) < 3e6
    assert "default-src 'none'" in text


@pytest.mark.parametrize("kind", KINDS)
def test_all_parts_are_there(pages, kind):
    page = Checked(pages[kind])
    parts = {"map", "nulls", "training", "parameters", "versions", "main"}
    clusters = {"clusters", "collapse"} if kind in ("vade", "mixture") else {"rebuilt"}
    assert parts | clusters <= set(page.ids)


def test_the_record_is_shown(pages):
    text = html.unescape(pages["vade"])
    shown = [
        "steinmix fit digits --method vade -o run/",
        "VaDE on digits",
        "3 February 2031, 04:05",
        "61.2 s",
        "3.0 GiB",
    ]
    for words_ in [*shown, "2 CPU cores", "9.9", "8.8", "300 rows × 64 columns", "kept"]:
        assert words_ in text


def test_without_a_command_the_call_is_shown(pages):
    call = (
        "steinmix.GaussianMixture(n_components=2, random_state=0, training=steinmix.Training(epochs=2, progress=False))"
    )
    assert f"{call}.fit(X)" in html.unescape(pages["mixture"])


def test_accuracy_only_with_labels(pages):
    for name in ("Accuracy", "NMI", "ARI", "Purity", "Your labels"):
        assert name in pages["vade"]
        assert name not in pages["mixture"]
    assert "accuracy" not in pages["mixture"].lower()
    assert "accuracy" not in pages["vae"].lower()


def test_the_headline_is_the_first_null_row(vade, digits, pages):
    scores = null_rows(vade, *digits)[0]["scores"]
    assert f"<strong>{words.percent(scores['accuracy'])}</strong>" in pages["vade"]
    assert f"<strong>{scores['nmi']:.3f}</strong>" in pages["vade"]


def test_images_and_tables(pages):
    assert pages["vade"].count('class="pixels"') >= 30
    assert 'class="pixels"' not in pages["mixture"]
    assert [kind for kind in KINDS if 'id="generated"' in pages[kind]] == ["vade"]
    assert '<table class="features">' in pages["mixture"]


def test_wide_tables_scroll_by_themselves(pages):
    """Or a narrow screen cuts their last column off."""
    before = re.split(r'<table class="(?:features|nulls)', pages["vae"])[:-1]
    assert [part.splitlines()[-1].startswith('<div class="scroll"') for part in before] == [True, True]


def test_one_row_and_one_column_are_single(tmp_path):
    X = np.array([[0.0], [0.1], [9.0]])
    model = sm.GaussianMixture(2, start="kmeans", training=sm.Training(epochs=1), random_state=0).fit(X)
    text = write_report(model, X, {}, tmp_path / "page.html").read_text()
    assert "3 rows × 1 column<" in text
    assert text.count("1 row\n") == text.count("(1 row)") == 1


def test_every_component_has_a_card_and_a_place_in_the_legend(pages):
    for c in range(10):
        assert f"<h3>Cluster {c}</h3>" in pages["vade"]
        assert re.search(rf"</svg>\s*{c} \(\d+ rows\)", pages["vade"])


def test_the_own_row_comes_first_and_is_marked(pages):
    rows = re.findall(r'<tr(?: class="(\w+)")?><th scope="row">([^<]+)<span class="what">', pages["vade"])
    assert rows[0] == ("own", "VaDE")
    assert [name for _, name in rows[1:]] == ["start", "untrained network", "k-means", "plain Gaussian mixture"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_input_gives_the_same_page(pages, kind, request, digits, blobs, tmp_path):
    X, y = digits if kind in ("vade", "autoencoder") else (blobs[0], None)
    model = request.getfixturevalue(kind)
    again = write_report(model, X, RECORD if kind == "vade" else {}, tmp_path / "page.html", labels=y)
    assert again.read_text() == pages[kind]


def test_a_loaded_model_gives_the_same_page(pages, vade, digits, tmp_path):
    vade.save(tmp_path / "model")
    model = sm.load(tmp_path / "model")
    again = write_report(model, digits[0], RECORD, tmp_path / "page.html", labels=digits[1])
    assert again.read_text() == pages["vade"]


def test_strings_of_the_user_are_escaped(blobs, tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(blobs[0], columns=[EVIL, "$\\frac{", "\N{SNOWMAN}", "&amp;", '"><b>'])
    model = sm.GaussianMixture(2, training=sm.Training(epochs=1), random_state=0).fit(frame)
    labels = np.array([EVIL, "<img src=x>"])[blobs[1]]
    record = {"title": EVIL, "data": EVIL, "command": EVIL, "hardware": EVIL, "versions": {EVIL: EVIL}, EVIL: EVIL}
    rows = [row | {"name": EVIL, "what": EVIL} for row in null_rows(model, frame, labels)]
    text = write_report(model, frame, record, tmp_path / "page.html", labels=labels, rows=rows).read_text()
    page = Checked(text)
    assert "script" not in page.tags
    assert "<script" not in text
    assert "<img src=x" not in text
    assert html.escape("<script>") in text


def test_given_rows_are_used(mixture, blobs, tmp_path):
    rows = null_rows(mixture, *blobs)
    rows[1]["name"] = "a row of my own"
    text = write_report(mixture, blobs[0], {}, tmp_path / "page.html", rows=rows).read_text()
    assert "a row of my own" in text


def test_a_record_from_json_and_a_data_description_are_understood(mixture, blobs, tmp_path):
    record = json.loads(json.dumps({"data": {"kind": "parquet", "path": "rows.parquet", "shape": [60, 5]}}))
    text = write_report(mixture, blobs[0], record, tmp_path / "page.html").read_text()
    assert "GaussianMixture on rows.parquet" in text


def test_dead_components_are_named(blobs, tmp_path):
    model = sm.GaussianMixture(2, training=sm.Training(epochs=1), collapse="ignore", random_state=0).fit(blobs[0])
    model.history_[-1]["diagnostics"]["dead_components"] = [1]
    model.labels_ = np.zeros(60, dtype=int)
    text = write_report(model, blobs[0], {}, tmp_path / "page.html").read_text()
    assert "in its likeliest component, component 1 has less than a tenth of an equal share" in " ".join(text.split())


@pytest.mark.parametrize("m", [1, 30])
def test_few_and_many_components(m, blobs, tmp_path):
    model = sm.GaussianMixture(m, training=sm.Training(epochs=1), collapse="ignore", random_state=0).fit(blobs[0])
    text = write_report(model, blobs[0], {}, tmp_path / "page.html").read_text()
    assert Checked(text).open == []
    assert text.count("<article") == min(m, 24)
    assert ("Smaller clusters" in text) == (m > 24)


def test_no_epochs_no_curves(blobs, tmp_path):
    model = sm.GaussianMixture(2, training=sm.Training(epochs=0), random_state=0).fit(blobs[0])
    ids = Checked(write_report(model, blobs[0], {}, tmp_path / "page.html").read_text()).ids
    assert not {"training", "collapse"} & set(ids)
    assert {"clusters", "map", "nulls"} <= set(ids)


def test_nothing_global_is_touched(mixture, blobs, tmp_path):
    before = dict(matplotlib.rcParams), random.getstate(), torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    write_report(mixture, blobs[0], {}, tmp_path / "page.html")
    after = dict(matplotlib.rcParams), random.getstate(), torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    assert before[:2] == after[:2]
    assert bool((before[2] == after[2]).all())
    assert np.array_equal(before[3], after[3])


def test_a_missing_extra_is_named(mixture, blobs, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'jinja2 and matplotlib.*pip install "steinmix\[report\]"'):
        write_report(mixture, blobs[0], {}, tmp_path / "page.html")


def test_a_page_that_cannot_be_written_says_so(mixture, blobs, tmp_path):
    (tmp_path / "page.html").mkdir()
    with pytest.raises(ModelFileError, match=r"page\.html"):
        write_report(mixture, blobs[0], {}, tmp_path / "page.html")


@pytest.mark.parametrize("name", ["cards", "figures", "page", "records", "tables", "words"])
def test_exported_names_are_sorted_and_exist(name):
    module = import_module(f"steinmix.report.{name}")
    assert all(hasattr(module, exported) for exported in module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)


def test_import_is_lazy():
    assert report.__all__ == sorted(report.__all__) == ["null_rows", "write_report"]
    heavy = "{'matplotlib', 'jinja2', 'sklearn', 'torch'}"
    code = f"import sys, steinmix.report; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    with pytest.raises(AttributeError, match="nothing"):
        report.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (3.0, "3"),
        (1234567.0, "1,234,567"),
        (0.123456, "0.123"),
        (-1.5, "−1.50"),
        (217.4, "217"),
        (0.9999, "1.00"),
        (99.97, "100"),
        (1.234e-5, "1.23e−5"),
        (2.5e9, "2.50e9"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_figures_have_three_digits(value, text):
    assert words.figure(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(3.04, "3.0 s"), (99.0, "99.0 s"), (150, "2 min"), (7260, "2 h 1 min")])
def test_durations(seconds, text):
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("stamp", "text"),
    [
        ("2026-11-27T03:31:59+00:00", "27 November 2026, 03:31 UTC"),
        ("2026-11-27T03:31:59+02:00", "27 November 2026, 03:31 UTC+02:00"),
        ("last summer", "last summer"),
        (7, 7),
    ],
)
def test_times_are_plain_words(stamp, text):
    assert words.when(stamp) == text


OTHER_TERMS = {
    "GMVAECV": {"start": "kmeans", "anchor_epochs": 1, "pretraining": sm.Pretraining(epochs=1)},
    "VaDE": {"neighbour_weight": 1.0, "smoothing_epochs": 2, "anchor_epochs": 1},
    "DEPICT": {"hidden": (8, 4)},
}


@pytest.mark.parametrize("method", methods.__all__)
def test_every_term_of_every_method_has_words(method, quickly, blobs):
    kind = getattr(methods, method)
    size = {name: 2 for name in ("n_clusters", "n_components", "latent_dim") if name in signature(kind).parameters}
    small = {"hidden": (4,)} if method != "GaussianMixture" else {}
    for options in ({}, OTHER_TERMS.get(method, {})):
        model = quickly(kind(**size | small | options), blobs[0])
        terms = figures.quantities(model.history_)
        assert [name for name in terms if words.meaning(name) is None] == []


def test_what_was_not_used_is_not_shown(quickly, blobs, tmp_path):
    model = quickly(sm.GMVAE(3, latent_dim=2, hidden=(4,)), blobs[0])
    text = write_report(model, blobs[0], {}, tmp_path / "page.html").read_text()
    resolved = text[text.index("As resolved when fitting") :]
    assert '<th scope="row">latent_dim</th>' in resolved
    assert "epochs</th>" not in resolved


def test_two_means_have_no_median_distance(pages):
    assert "two closest means" in " ".join(pages["vade"].split())
    assert "two closest means" not in " ".join(pages["mixture"].split())


def test_marks_differ_while_they_can():
    assert len({figures.mark(c) for c in range(words.GROUP_LIMIT)}) == words.GROUP_LIMIT
    assert len(words.SHAPES) == len(figures.MARKERS)


def test_ticks_of_a_flat_curve_are_whole_numbers():
    """Where matplotlib would write +1.444e1 above the axis, which is overlooked."""
    from matplotlib.figure import Figure

    from steinmix.report import figures

    axis = figures.dressed(Figure().subplots())
    axis.plot([14.4445, 14.446])
    assert "14.44" in axis.yaxis.get_major_formatter().format_ticks([14.4445, 14.446])[0]
