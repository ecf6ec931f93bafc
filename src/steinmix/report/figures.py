"""Figures as inline SVG and pictures as PNG data URIs, drawn through matplotlib's objects: no pyplot, no global state.

No text of the user enters a figure; it stands in the page around it, where it is escaped.
"""

from __future__ import annotations

import base64
import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError
from .words import TERMS

__all__ = [
    "MARKERS",
    "PALETTE",
    "as_svg",
    "bands",
    "code_map",
    "collapse_timeline",
    "dressed",
    "galleries",
    "mark",
    "panels",
    "phase_spans",
    "picture",
    "quantities",
    "require_for_report",
    "scatter",
    "score_histogram",
    "small_maps",
    "standalone",
    "strip",
    "tiled",
    "training_curves",
]

PALETTE = ("#4a83c4", "#ee6677", "#2c9440", "#b8a51f", "#3fb0d0", "#b5438a", "#8a8a8a")
"""Paul Tol's bright scheme, safe for colour-blind readers; tuned a little for pages both white and dark."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""The next seven components repeat the colours with another shape."""

INK = "#123456"
"""Stands for the colour of the page's text and is replaced by ``currentColor``, so that figures follow dark pages."""

BIG = 10
SMALL = 9
TITLE = 42
"""Characters of a title that fit above a small map."""
GAP = 1
"""Pixels between the images of a strip."""


def require_for_report(*packages: str, remedy: str = "") -> None:
    """Raise ConfigError, with another `remedy` if there is one, unless packages of the extra ``report`` are there."""
    from importlib.util import find_spec

    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        names = " and ".join(missing)
        raise ConfigError(f'a report needs {names}; do: pip install "steinmix[report]"{remedy}.')


def mark(component: int) -> tuple[str, str]:
    """Return colour and marker shape of a component."""
    return PALETTE[component % len(PALETTE)], MARKERS[component // len(PALETTE) % len(MARKERS)]


def picture(image: np.ndarray, low: float, high: float, colours: str = "gray") -> str:
    """Return an image (h, w) as a PNG data URI, one pixel a value; NaN is transparent."""
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    high = high if high > low else low + 1
    no_metadata: Any = {"Software": None}
    imsave(buffer, image, vmin=low, vmax=high, cmap=colours, origin="upper", format="png", metadata=no_metadata)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def strip(images: np.ndarray, side: int, low: float, high: float) -> str:
    """Return images (n, side * side) side by side, or (lines, n, side * side), as one PNG data URI."""
    lines = images if images.ndim == 3 else images[None]
    return picture(tiled(lines.reshape(*lines.shape[:2], side, side)), low, high)


def tiled(images: np.ndarray) -> np.ndarray:
    """Return images (lines, n, h, w) as one, with gaps of NaN."""
    lines, n, h, w = images.shape
    canvas = np.full((lines, h + GAP, n, w + GAP), np.nan)
    canvas[:, :h, :, :w] = images.swapaxes(1, 2)
    return canvas.reshape(lines * (h + GAP), n * (w + GAP))[:-GAP, :-GAP]


def code_map(points: np.ndarray, groups: np.ndarray, means: np.ndarray | None, axes: tuple[str, str], name: str) -> str:
    """Return a map of rows (n, 2), marked by group (n,), with numbered component means (m, 2), as SVG."""
    figure = _figure(8.0, 5.6)
    ax = dressed(figure.add_subplot())
    scatter(ax, points, groups, 13, 0.65)
    for c, (x, y) in enumerate(() if means is None else means):
        ax.scatter([x], [y], s=230, c="#ffffff", edgecolors=mark(c)[0], linewidths=2.2, zorder=3)
        ax.text(x, y, str(c), color="#111111", fontsize=BIG, ha="center", va="center_baseline", weight="bold", zorder=4)
    ax.set_xlabel(axes[0])
    ax.set_ylabel(axes[1])
    return as_svg(figure, name)


def scatter(ax: Any, points: np.ndarray, groups: np.ndarray, size: float, alpha: float = 1.0) -> None:
    """Draw rows (n, 2), marked by group (n,)."""
    for g in np.unique(groups).tolist():
        colour, marker = mark(g)
        ax.scatter(*points[groups == g].T, s=size, c=colour, marker=marker, alpha=alpha, linewidths=0)


def panels(n: int, columns: int, width: float = 2.6, height: float | Sequence[float] = 2.5) -> tuple[Any, list[Any]]:
    """Return a figure of `n` panels of this size in inches, line by line; each line may have a height of its own."""
    heights = np.broadcast_to(height, -(-n // columns))
    figure = _figure(width * columns, float(heights.sum()))
    axes = figure.subplots(len(heights), columns, squeeze=False, gridspec_kw={"height_ratios": heights.tolist()})
    axes = axes.ravel().tolist()
    for ax in axes[n:]:
        ax.set_visible(False)
    return figure, axes[:n]


def small_maps(lines: Mapping[str, Sequence[tuple[str, np.ndarray, np.ndarray]]], name: str) -> str:
    """Return one small map for each title, rows (n, 2) and groups (n,), in named lines of equal length, as SVG.

    The number of a group stands at the median of its rows.
    """
    maps = [(side, *shown) for side, line in lines.items() for shown in line]
    figure, axes = panels(len(maps), len(maps) // len(lines), 3.0, 2.9)
    for ax, (side, title, points, groups) in zip(axes, maps):
        scatter(dressed(ax), points, groups, 5, 0.65)
        ax.set_ylabel(side)
        for g in np.unique(groups).tolist():
            x, y = np.median(points[groups == g], axis=0)
            ax.text(x, y, str(g), color=INK, fontsize=BIG, ha="center", va="center", weight="bold")
        ax.set_title(textwrap.fill(title, TITLE), fontsize=SMALL, color=INK, loc="left", parse_math=False)
        ax.tick_params(labelleft=False, labelbottom=False)  # axes of a projection have no unit
    return as_svg(figure, name)


def galleries(shown: Sequence[tuple[str, np.ndarray]], columns: int, name: str) -> str:
    """Return one panel for each title and grey images (lines, n, h, w) from 0 to 255, as SVG; lines are numbered."""
    tall = [lines * h / (n * w) for lines, n, h, w in (images.shape for _, images in shown)]
    heights = [3.6 * max(tall[i : i + columns]) + 0.4 for i in range(0, len(tall), columns)]
    figure, axes = panels(len(shown), columns, 4.0, heights)
    for ax, (title, images) in zip(axes, shown):
        h = images.shape[2]
        ax.imshow(tiled(images), vmin=0, vmax=255, cmap="gray", interpolation="none")
        ax.set_title(title, fontsize=SMALL, color=INK, loc="left", parse_math=False)
        ax.set_xticks([])
        ax.set_yticks([i * (h + GAP) + (h - 1) / 2 for i in range(len(images))], map(str, range(len(images))))
        ax.tick_params(colors=INK, labelsize=SMALL, length=0)
        for spine in ax.spines.values():
            spine.set_visible(False)
    return as_svg(figure, name)


def training_curves(history: Sequence[Mapping[str, Any]], name: str) -> str:
    """Return one panel for the loss and one for each term, over all epochs, phases apart, as SVG."""
    shown = quantities(history)
    columns = min(3, len(shown))
    lines = -(-len(shown) // columns)
    figure = _figure(9.6, 2.3 * lines + 0.3)
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for ax, quantity in zip(axes, shown):
        dressed(ax).set_title(quantity.replace("_", " "), fontsize=BIG, color=INK, loc="left", parse_math=False)
        _draw_phases(ax, history, quantity)
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    for ax in axes[max(0, len(shown) - columns) : len(shown)]:
        ax.set_xlabel("epoch")
    return as_svg(figure, name)


def quantities(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return loss and terms, well-known ones first; a term that is alone is the loss and stands for it."""
    found = {name for record in history for name in record} - {"phase", "epoch", "step", "diagnostics", "loss"}
    known = [name for name in TERMS if name in found]
    terms = [*known, *sorted(found.difference(known))]
    return terms if len(terms) == 1 else ["loss", *terms]


def phase_spans(history: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, int]]:
    """Return (name, first, last) of each phase, as numbers of epochs over all phases from 1."""
    spans: list[tuple[str, int, int]] = []
    for number, record in enumerate(history, start=1):
        if spans and spans[-1][0] == record["phase"]:
            spans[-1] = (spans[-1][0], spans[-1][1], number)
        else:
            spans.append((record["phase"], number, number))
    return spans


def _draw_phases(ax: Any, history: Sequence[Mapping[str, Any]], quantity: str) -> None:
    """Draw one line a phase in the phase's colour: objectives differ between phases, so lines are not joined."""
    for i, (_, first, last) in enumerate(phase_spans(history)):
        y = [history[e - 1].get(quantity, np.nan) for e in range(first, last + 1)]
        marker = "o" if len(y) == 1 else None
        ax.plot(range(first, last + 1), y, color=PALETTE[i % len(PALETTE)], linewidth=1.8, marker=marker, markersize=4)
    ax.set_xlim(0.5, len(history) + 0.5)


def collapse_timeline(history: Sequence[Mapping[str, Any]], name: str) -> str:
    """Return occupancy per component as a heat map, effective components and the closest pair, over epochs, as SVG."""
    watched = [(number, r["diagnostics"]) for number, r in enumerate(history, start=1) if "diagnostics" in r]
    occupancy = np.array([d["occupancy"] for _, d in watched]).T
    m, first, last = len(occupancy), watched[0][0], watched[-1][0]
    pairs = m > 2 and all("closest_relative" in d for _, d in watched)  # the only pair is the median one
    heights = [min(7.5, 1.6 + 0.17 * m), *([1.7] * (1 + pairs))]
    figure = _figure(9.6, heights[0] + 1.7 * (1 + pairs))
    axes = figure.subplots(len(heights), 1, sharex=True, gridspec_kw={"height_ratios": heights})
    _heat(figure, axes[0], occupancy, first, last)
    epochs = [number for number, _ in watched]
    _line(
        axes[1],
        epochs,
        [d["effective_components"] for _, d in watched],
        f"effective clusters by probability, of {m}",
        (0, m * 1.05),
    )
    if pairs:
        closest = [d["closest_relative"] for _, d in watched]
        _line(axes[2], epochs, closest, "closest pair of means / median pair", (0, max(1e-6, *closest) * 1.15))
    axes[-1].set_xlabel("epoch (of all phases)")
    axes[-1].set_xlim(first - 0.5, last + 0.5)
    return as_svg(figure, name)


def bands(lines: Mapping[str, tuple[Sequence[float], Sequence[Any]]], x: str, y: str, name: str) -> str:
    """Return means with their 95 % intervals as bands, one colour a line, as SVG.

    Parameters
    ----------
    lines : mapping
        Name -> places (k,) on the x-axis, and (mean, low, high) at each.
    x, y : str
        What the axes are.
    name : str
        Begins the figure's ids.
    """
    figure = _figure(8.0, 4.4)
    ax = dressed(figure.add_subplot())
    for i, (label, (places, points)) in enumerate(lines.items()):
        colour, marker = mark(i)
        mean, low, high = zip(*points)
        marker = marker if len(places) < 30 else None
        ax.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)
        ax.plot(places, mean, color=colour, linewidth=1.8, label=label, marker=marker, markersize=4)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.legend(frameon=False, fontsize=SMALL, labelcolor=INK)
    return as_svg(figure, name)


def score_histogram(groups: Mapping[str, np.ndarray], threshold: float, name: str) -> str:
    """Return how many rows of each group have which score, with the threshold as a line, as SVG.

    Scores below the lowest place shown are counted there: some lie so low that all others would be one bar.
    """
    scores = np.concatenate(list(groups.values()))
    low, middle, high = np.quantile(scores, (0.005, 0.5, 1))
    low = min(low, threshold) - 0.1 * abs(middle - threshold)
    edges = np.linspace(low, max(high, threshold), 61)
    figure = _figure(8.0, 3.4)
    ax = dressed(figure.add_subplot())
    ax.hist(
        [scores.clip(low) for scores in groups.values()],
        bins=edges.tolist(),
        stacked=True,
        color=[PALETTE[i] for i in range(len(groups))],
        label=list(groups),
    )
    ax.axvline(threshold, color=INK, linewidth=1.2, linestyle="--", label="threshold")
    ax.set_xlabel("score; rows left of the threshold are flagged")
    ax.set_ylabel("rows")
    ax.legend(frameon=False, fontsize=SMALL, labelcolor=INK, loc="upper left")
    return as_svg(figure, name)


def standalone(svg: str) -> str:
    """Return an SVG element as a file of its own, dark on white."""
    return svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg" style="background:#fff;color:#222"', 1)


def _heat(figure: Any, ax: Any, occupancy: np.ndarray, first: int, last: int) -> None:
    from matplotlib.ticker import MaxNLocator

    m = len(occupancy)
    top = max(2 / m, float(occupancy.max())) if m > 1 else 1.0
    extent = (first - 0.5, last + 0.5, m - 0.5, -0.5)
    style: Any = {"aspect": "auto", "extent": extent, "cmap": "cividis", "interpolation": "nearest"}
    shown = ax.imshow(100 * occupancy, vmin=0, vmax=100 * top, **style)
    dressed(ax).set_title("share of rows per component, by probability", fontsize=BIG, color=INK, loc="left")
    ax.grid(False)
    step = max(1, -(-m // 24))
    ax.set_yticks(range(0, m, step))
    ax.set_ylabel("component")
    ticks = MaxNLocator(5, steps=[1, 2, 5, 10], integer=True)
    bar = figure.colorbar(shown, ax=ax, pad=0.01, fraction=0.04, ticks=ticks, format="%.0f %%")
    bar.ax.tick_params(colors=INK, labelsize=SMALL)
    bar.outline.set_visible(False)


def _line(ax: Any, x: list[int], y: list[float], title: str, limits: tuple[float, float]) -> None:
    from matplotlib.ticker import MaxNLocator

    dressed(ax).set_title(title, fontsize=BIG, color=INK, loc="left")
    ax.plot(x, y, color=PALETTE[0], linewidth=1.8, marker="o" if len(x) == 1 else None, markersize=4)
    ax.set_ylim(*limits)
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=limits[1] > 1))


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="none")


def dressed(ax: Any) -> Any:
    """Return the axes after giving them the look of all figures."""
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    ax.set_facecolor("none")
    ax.grid(color=INK, alpha=0.15, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(colors=INK, labelsize=SMALL)
    ax.xaxis.label.set(color=INK, fontsize=SMALL)
    ax.yaxis.label.set(color=INK, fontsize=SMALL)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    if isinstance(numbers := ax.yaxis.get_major_formatter(), ScalarFormatter):
        numbers.set_useOffset(False)  # "+1.444e1" above an axis is overlooked
    for side, spine in ax.spines.items():
        spine.set(visible=side in ("left", "bottom"), color=INK, alpha=0.4)
    return ax


def as_svg(figure: Any, name: str) -> str:
    """Return the figure as an SVG element for use inside a page: no metadata, fixed ids that begin with `name`."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", facecolor="none", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = (
        re.sub(r'\s(xmlns(:\w+)?|width|height|version)="[^"]*"', "", text[: text.index(">")]) + text[text.index(">") :]
    )
    text = text.replace("xlink:href", "href").replace(INK, "currentColor")
    text = re.sub(r"(?<![\d.])(\d{2,}\.\d\d)\d+", r"\1", text)  # a hundredth of a point is finer than any screen
    # matplotlib salts its ids with random bytes; count them instead, so that one input gives one page.
    numbers = {found: f"{name}-{i}" for i, found in enumerate(dict.fromkeys(re.findall(r'\bid="([^"]+)"', text)))}
    return re.sub(r'(\bid="|href="#|url\(#)([^")]+)', lambda m: m[1] + numbers.get(m[2], m[2]), text)
