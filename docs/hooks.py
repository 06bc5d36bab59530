"""What the documentation site adds to the pages, which are plain Markdown and can be read without it.

Pages that lie outside `docs/` get a place in it, links between pages follow, and names of our functions lead
to the API reference.
"""

import base64
import functools
import json
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PLACES = {
    "CONTRIBUTING.md": "developers/contributing.md",
    "CHANGELOG.md": "developers/changes.md",
    "SECURITY.md": "developers/reporting.md",
    **{
        f"notebooks/{path.name}": f"start/notebooks/{path.stem}.md"
        for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
    },
}
"""Files of the repository, and where the site has them."""
FENCE = re.compile(r"(^(?:```|~~~).*?^(?:```|~~~)\s*?$)", re.M | re.S)
LINK = re.compile(r"(\]\()(?![a-z]+:|#)([^)\s#]+)((?:#[^)\s]*)?\))")
NAME = re.compile(r"(?<![\[`])`(fpo_jax(?:\.\w+)+)`(?![\]`])")


def on_config(config: "MkDocsConfig") -> "MkDocsConfig":
    """Take no underscore for emphasis, since formulas in docstrings, such as ∇_θ E_{π_θ}[r], have them."""
    from markdown import Markdown
    from markdown.extensions import Extension

    class EmphasisByAsterisks(Extension):
        def extendMarkdown(self, md: Markdown) -> None:
            md.delimiters.remove("_")

    config.markdown_extensions.append(EmphasisByAsterisks())  # type: ignore[arg-type]
    return config


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add the pages from outside, and the pictures that notebooks show."""
    from mkdocs.structure.files import File

    for origin, place in PLACES.items():
        text = (ROOT / origin).read_text(encoding="utf-8")
        if origin.endswith(".ipynb"):
            text, pictures = notebook(json.loads(text), Path(origin).stem)
            for name, picture in pictures.items():
                files.append(File.generated(config, f"start/notebooks/{name}", content=picture))
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: "Page", **_: Any) -> str:
    """Return a page with its links as the site needs them; code stays as it is."""
    here = page.file.src_uri
    parts = FENCE.split(markdown)
    parts[::2] = [relinked(part, here) for part in parts[::2]]
    if here != PLACES["CHANGELOG.md"]:  # which has names that are no more
        parts[::2] = [named(part) for part in parts[::2]]
    parts[::2] = [re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", part) for part in parts[::2]]
    return "".join(parts)


def relinked(text: str, here: str) -> str:
    """Return Markdown whose links lead to where the site has the files that they name."""
    origins = {place: origin for origin, place in PLACES.items()}
    folder = posixpath.dirname(origins.get(here, f"docs/{here}"))

    def moved(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, match[2]))
        place = PLACES.get(target, target.removeprefix("docs/") if target.startswith("docs/") else None)
        if place is None:
            return match[0]  # mkdocs names it as a link that leads nowhere
        return match[1] + posixpath.relpath(place, posixpath.dirname(here) or ".") + match[3]

    return LINK.sub(moved, text)


@functools.cache
def modules() -> set[str]:
    """Return the modules that the API reference shows."""
    pages = (ROOT / "docs/reference/api").glob("*.md")
    return {name for page in pages for name in re.findall(r"^::: (\S+)", page.read_text("utf-8"), re.M)}


def named(text: str) -> str:
    """Return Markdown in which names below the modules of the API reference lead there."""
    shown = modules()

    def linked(match: re.Match[str]) -> str:
        name = match[1]
        known = any(name == module or name.startswith(f"{module}.") for module in shown)
        return f"[`{name}`][{name}]" if known else match[0]

    return NAME.sub(linked, text)


def notebook(content: dict[str, Any], stem: str) -> tuple[str, dict[str, bytes]]:
    """Return a stored notebook as Markdown, and its pictures by file name."""
    parts, pictures = [], {}
    for cell in content["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                name = f"{stem}_{len(pictures) + 1}.png"
                pictures[name] = base64.b64decode(data["image/png"])
                parts.append(f"![What the cell above shows]({name})")
            else:
                text = "".join(output.get("text", data.get("text/plain", "")))
                parts.append(f"```text\n{text.rstrip()}\n```")
    return "\n\n".join(parts) + "\n", pictures
