"""Markdown of pages shows foreign names as they are."""

import html

import markdown_it
import pytest

from fpo_jax.experiments.report.parts import code, markdown_table, plain

TEXT = markdown_it.MarkdownIt("commonmark", {"html": False}).enable("table")
NAMES = [
    "[gpt](https://elsewhere)",
    "`](https://elsewhere)[`",
    "a`b",
    "``",
    "`",
    "![](https://elsewhere/pixel.png)",
    "<https://elsewhere>",
    "a | b |",
    "# *one* _two_ **three**\n\n- four",
    "\\`[x](y)\\`",
    "&lt;script&gt;",
    "<script>alert(1)</script>",
    "1. first",
    "- four",
    "+ five",
    "---",
    "===",
    "[x]: https://elsewhere",
    "www.elsewhere.org, a@b.org, :smile:",
    "plain",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_is(name):
    line = " ".join(name.split())
    for rendered, around in (
        (TEXT.render(f"by {code(name)}."), "<p>by <code>{}</code>.</p>\n"),
        (TEXT.render(f"by {plain(name)}."), "<p>by {}.</p>\n"),
    ):
        assert html.unescape(rendered) == around.format(line)
    table = TEXT.render(markdown_table(["name", name], [[name, "1"]]))
    assert html.unescape(table).count(f"<td>{line}</td>") == 1
    assert html.unescape(table).count(f"<th>{line}</th>") == 1
    assert html.unescape(TEXT.render(plain(name))) == f"<p>{line}</p>\n"
    for rendered in (TEXT.render(code(name)), TEXT.render(plain(name)), table):
        assert "<a " not in rendered
        assert "<img" not in rendered


def test_numbers_and_words_are_not_escaped():
    """A table is read as it stands in a file, too."""
    for cell in (
        "0.83 [0.57, 1.16]",
        "-0.07 [-0.13, -0.03]",
        "closes, 16 pairs (a third)",
        "149 of 1024: 12.5 %",
    ):
        assert plain(cell) == cell
