"""The documentation as a site, as far as it can be known without building it, which `make docs` does."""

import importlib
import importlib.util
import json
import pkgutil
import re
from types import SimpleNamespace

import pytest
from markdown_it import MarkdownIt

from fpo_jax.envs import ENVIRONMENTS
from tests import prose
from tests.helpers import ROOT

DOCS = ROOT / "docs"
NAV = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:\n")[1]
IN_NAV = re.findall(r"([\w/]+\.md)$", NAV, re.M)
THEORY = (DOCS / "explanation/theory.md").read_text(encoding="utf-8")
TABLE = THEORY.split("## Equation and function")[1]


@pytest.fixture(scope="module")
def hooks():
    """What the site adds to the pages, without mkdocs."""
    spec = importlib.util.spec_from_file_location("site_hooks", DOCS / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_has_one_place_in_the_navigation(hooks):
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.glob("**/*.md")}
    assert set(IN_NAV) == pages | set(hooks.PLACES.values())
    assert len(IN_NAV) == len(set(IN_NAV))


def test_every_function_of_the_table_exists_and_has_a_reference(hooks):
    rows = [line for line in TABLE.splitlines() if re.match(r"\| *[\d,\s]*\|", line)]
    assert len(rows) >= 35
    shown = hooks.modules()
    for row in rows:
        names = re.findall(r"`([\w.]+)`", row.rsplit("|", 2)[1])
        assert names, row
        for name in names:
            assert name.startswith("fpo_jax."), f"{name}: in full, since the site links it"
            named = pkgutil.resolve_name(name)
            owner = pkgutil.resolve_name(name.rpartition(".")[0])
            if isinstance(owner, type):  # the reference has a method only where its class is defined
                assert name.startswith(f"{owner.__module__}.{owner.__name__}."), name
            assert any(name == module or name.startswith(f"{module}.") for module in shown), name
            home = getattr(named, "__module__", None) or named.__name__
            assert home in shown or name in shown, f"{name} is defined in {home}, which no page shows"


def test_no_asterisk_of_an_emphasis_is_left_in_a_page():
    reader = MarkdownIt()
    stray = re.compile(r"\*\*|(?:^|\s)\*(?:\w|$)")
    for name, path in prose.pages().items():
        text = re.sub(r"\$[^$]+\$", "", path.read_text(encoding="utf-8"))
        parts = [part for token in reader.parse(text) for part in token.children or ()]
        assert [part.content for part in parts if part.type == "text" and stray.search(part.content)] == [], (
            name
        )


def test_the_build_hears_of_a_name_that_leads_nowhere():
    (line,) = re.findall(r"mkdocs build.*", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert "--strict" in line
    assert "--quiet" not in line  # under which the plugin for names does not even warn


def test_modules_of_the_reference_exist(hooks):
    for module in hooks.modules():
        importlib.import_module(module)


def test_names_become_links_where_the_reference_has_them(hooks):
    assert hooks.named("`fpo_jax.expect.expect`.") == "[`fpo_jax.expect.expect`][fpo_jax.expect.expect]."
    for other in ("`fpo_jax.elsewhere.thing`", "[`fpo_jax.expect`](expect.md)", "fpo_jax.expect.expect"):
        assert hooks.named(other) == other


def test_code_stays_as_it_is(hooks):
    page = SimpleNamespace(file=SimpleNamespace(src_uri="findings/bandit.md"))
    code = "```text\n5 % of `fpo_jax.expect.expect`, [a](../../CONTRIBUTING.md)\n```"
    found = hooks.on_page_markdown(f"At 5 % or 6 %:\n\n{code}\n\nBy 7 %.", page)
    assert found == f"At 5\xa0% or 6\xa0%:\n\n{code}\n\nBy 7\xa0%."


def test_links_that_leave_the_folder_are_those_of_the_site(hooks):
    linked = hooks.relinked("[a](../CONTRIBUTING.md#tests) [b](howto/sweep.md)", "README.md")
    assert linked == "[a](developers/contributing.md#tests) [b](howto/sweep.md)"
    # of a page that lies outside: from where it lies
    linked = hooks.relinked("[a](docs/howto/sweep.md#read-the-results)", "developers/contributing.md")
    assert linked == "[a](../howto/sweep.md#read-the-results)"
    assert hooks.relinked("[a](https://jax.dev) [b](#here)", "README.md") == "[a](https://jax.dev) [b](#here)"


def test_a_notebook_becomes_a_page(hooks):
    for path in ROOT.glob("notebooks/*.ipynb"):
        content = json.loads(path.read_text(encoding="utf-8"))
        page, pictures = hooks.notebook(content, path.stem)
        cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
        assert page.count("```python") == len(cells)
        assert pictures, path
        assert all(
            picture.startswith(b"\x89PNG") and f"({name})" in page for name, picture in pictures.items()
        )


def test_the_site_asks_for_nothing_on_the_network():
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in config
    shipped = [*DOCS.glob("assets/*.js"), *DOCS.glob("assets/*.css"), *DOCS.glob("assets/katex/*.css")]
    assert len(shipped) >= 4
    for text in (config, *(path.read_text(encoding="utf-8") for path in shipped)):
        assert not re.search(r"(?:https?:)?//[\w-]+\.\w", re.sub(r"/\*.*?\*/|//! .*", "", text, flags=re.S))
    fonts = re.findall(
        r"url\((fonts/[\w-]+\.woff2)\)", (DOCS / "assets/katex/katex.min.css").read_text("utf-8")
    )
    assert len(fonts) == 20  # KaTeX's faces
    assert all((DOCS / "assets/katex" / font).is_file() for font in fonts)
    assert "MIT" in (DOCS / "assets/katex/LICENSE").read_text(encoding="utf-8")


def test_every_metric_that_is_recorded_has_its_line():
    page = (DOCS / "reference/metrics.md").read_text(encoding="utf-8").split("## In summaries")[0]
    described = {
        name for row in re.findall(r"^\| (`.*?) \|", page, re.M) for name in re.findall(r"`(\w+)`", row)
    }
    recorded = {
        name
        for path in ROOT.glob("tests/golden/*.json")
        if path.stem in ENVIRONMENTS
        for case in json.loads(path.read_text(encoding="utf-8")).values()
        for name in case
        if name != "refused"  # of a pair that has no run
    }
    assert recorded <= described
    assert len(recorded) > 6


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


def test_sentences_are_counted_as_a_reader_would():
    page = "# A b\n\nOne two three. Four `a b` five:\n\n| a | b |\n\n- six *seven*\n- eight nine?\n\n"
    page += "```\ncode. x\n```\n"
    assert prose.sentences(page) == ["One two three.", "Four CODE five:", "six seven", "eight nine?"]
    assert prose.count("of which those that fell. " + "word " * 31).odd == 1
    assert len(prose.count("word " * 31).long) == 1
    assert not prose.count("word " * 30).long


def test_few_sentences_are_long():
    counts = [prose.count(path.read_text(encoding="utf-8")) for path in prose.pages().values()]
    share = sum(len(count.long) for count in counts) / sum(count.sentences for count in counts)
    assert share < 0.04, "python -m tests.prose names them"
