"""From a matplotlib figure to an SVG that may stand in a page among others: same bytes for the same figure.

matplotlib is imported only here and only when a plot is made: it takes a third of a second.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

# Text stays text: it can be searched and copied, and takes the page's font. `parse_math` would read "$" in a name.
_STYLE: Mapping[str, object] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mlperf-ops",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a94a3",
    "axes.labelcolor": "#4a5361",
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.unicode_minus": False,
    "xtick.color": "#4a5361",
    "ytick.color": "#4a5361",
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": "#e4e8ee",
    "grid.linewidth": 0.8,
    "text.color": "#1c2430",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}
_LARGEST_PX_PER_INCH = 118
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_HEAD = re.compile(r"^.*?<svg\b[^>]*?viewBox=\"(?P<box>[^\"]+)\"[^>]*>", re.DOTALL)
_OWN_STYLE = re.compile(r"\s*<style\b.*?</style>", re.DOTALL)
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_FONT_FAMILY = re.compile(r"font: (?P<rest>[^;\"']*?) (?:'[^']*'|&quot;[^&]*&quot;)[^;\"]*")
_COMMENT = re.compile(r"\s*<!--.*?-->", re.DOTALL)
_ID = re.compile(r"\bid=\"(?P<id>[^\"]+)\"")


def draw(name: str, size_inches: tuple[float, float], paint: Callable[[Any], None], label: str) -> str:
    """Return an `<svg>` element without anything from outside.

    Args:
        name: Prefix of the element's ids, so that plots of one page do not share any.
        size_inches: Width and height; the page scales it.
        paint: Draws into the figure.
        label: What the plot shows, for readers who cannot see it.
    """
    import matplotlib as mpl  # noqa: PLC0415  # slow: see above
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context(dict(_STYLE)), warnings.catch_warnings():
        # Only the text's width is estimated with matplotlib's font; the page's own font draws it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=size_inches, layout="constrained")
        paint(figure)
        stream = io.StringIO()
        FigureCanvasSVG(figure).print_svg(stream, metadata=dict(_NO_METADATA))
    return _embedded(stream.getvalue(), name, label, size_inches)


def _embedded(document: str, name: str, label: str, size_inches: tuple[float, float]) -> str:
    from html import escape  # noqa: PLC0415  # only beside matplotlib

    head = _HEAD.match(document)
    if head is None:
        raise AssertionError("matplotlib wrote an SVG without a view box")
    body = document[head.end() :]
    for noise in (_OWN_STYLE, _METADATA, _COMMENT):
        body = noise.sub("", body)
    body = _FONT_FAMILY.sub(r"font: \g<rest> sans-serif", body)
    used = set(re.findall(r"(?:href=\"#|url\(#)([^\"\)]+)", body))
    body = _ID.sub(lambda match: f'id="{name}-{match["id"]}"' if match["id"] in used else "", body)
    body = re.sub(r"(href=\"#|url\(#)", rf"\g<1>{name}-", body)
    width = round(size_inches[0] * _LARGEST_PX_PER_INCH)
    return (
        f'<svg class="plot" role="img" aria-label="{escape(label)}" viewBox="{head["box"]}" '
        f'style="max-width:{width}px" xmlns:xlink="http://www.w3.org/1999/xlink">{body.rstrip()}'
    )
