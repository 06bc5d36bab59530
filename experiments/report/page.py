"""The file of a page: text, tables, figures and charts, without any request to the network."""

import base64
import gzip
import importlib.resources
import io
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import markdown_it
from plotly.offline import get_plotlyjs

from fpo_jax.experiments.report.charts import as_data, style_data
from fpo_jax.experiments.report.parts import Drawn, Section

FILE = "report.html"
MOST_ON = 12
"""At first only this many methods are switched on; more would hide each other."""
COLOURS = 128
"""Number of colours of a figure in the page. The files beside the page have all colours."""
SHOWN_FIGURES = (".png",)
"""The page shows these files of figures. It plays animations itself."""


def write(
    path: Path,
    title: str,
    intro: str,
    sections: Sequence[Section],
    origin: Mapping[str, Any],
    kind: str = "run",
) -> None:
    """Write a page.

    Args:
        path: the file.
        title: the heading.
        intro: an introduction, in Markdown.
        sections: in order. Their figures are read from their files and put into the page.
        origin: where the numbers come from, as `fpo_jax.experiments.core.files.provenance` returns it.
        kind: the command that was run, in one word.
    """
    here = importlib.resources.files(__package__)

    def read(name: str) -> str:
        return here.joinpath(name).read_text(encoding="utf-8")

    text = markdown_it.MarkdownIt("commonmark", {"html": False}).enable("table")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(read),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )

    def markdown(paragraph: str) -> str:
        tables_scroll = text.render(paragraph).replace("<table>", '<div class="scroll" tabindex="0"><table>')
        return tables_scroll.replace("</table>", "</table></div>")

    data = [_data(section) for section in sections]
    written = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    page = environment.get_template("page.html").render(
        title=title,
        kind=kind,
        intro=markdown(intro),
        sections=sections,
        data=written.replace("<", "\\u003c"),  # so that no "</script>" in it ends the script
        origin=origin,
        plotly=_plotly(),
        style=read("page.css"),
        script=read("charts.js") + read("page.js"),
        markdown=markdown,
        embedded=_embedded,
        most_on=MOST_ON,
        shown=lambda pictures: [p for p in pictures if p.suffix in SHOWN_FIGURES],
    )
    path.write_text(page, encoding="utf-8", errors="surrogateescape")  # keeps file names as they were given


@cache
def _plotly() -> str:
    """Return the charting library, compressed to a third of its size, since it is most of the page."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), compresslevel=6, mtime=0)).decode()


def _embedded(picture: Path) -> str:
    """Return a figure as a data URL, with few colours, which makes it four times smaller."""
    from PIL import Image  # installed with matplotlib

    reduced = io.BytesIO()
    with Image.open(picture) as image:
        image.quantize(COLOURS, method=Image.Quantize.FASTOCTREE).save(reduced, "png")
    return f"data:image/png;base64,{base64.b64encode(reduced.getvalue()).decode()}"


def _data(section: Section) -> Drawn:
    """Return the data that the script draws in a section."""
    view = section.view
    methods = {
        label: {**style_data(style), "on": number < MOST_ON}
        for number, (label, style) in enumerate(view.methods.items())
    }
    charts = [as_data(chart, view.methods) for chart in view.charts]
    return {"methods": methods, "charts": charts, "player": view.player}
