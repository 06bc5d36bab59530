"""How long the sentences of our pages are: `python -m tests.prose [FOLDER]`.

It prints a line a page, then the longest sentences. Counted are the words of running text. Code, tables,
equations, headings and captions of figures are not. A span of code or of mathematics is one word. A sentence
ends at a full stop, question or exclamation mark, or with its paragraph or list item.
"""

import re
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LONG = 30
"""Words beyond which a sentence is long."""
ODD = (
    r"\bof which those\b",
    r"\bis (?:said|told|gone on with|meant)\b",
    r"\b(?:What|what) (?:\w+ ){1,6}(?:is|are|was|were) (?:what|that)\b",
    r"\bthere is what\b",
    r"\bto which .* is\b",
    r", so that ",
    r"\bbesides\b",
    r"\bleft out\b",
    r"\bor not at all\b",
    r"\bheld (?:to|against)\b",
)
"""Turns of phrase that made readers go back to the start of a sentence."""


class Count(NamedTuple):
    """What a page holds."""

    sentences: int
    words: int
    long: list[str]
    odd: int


def pages(root: Path = ROOT) -> dict[str, Path]:
    """Return the pages by name."""
    found = [root / "README.md", root / "CONTRIBUTING.md", *sorted(root.glob("docs/**/*.md"))]
    return {path.relative_to(root).as_posix(): path for path in found if path.is_file()}


def running_text(page: str) -> list[str]:
    """Return the paragraphs and list items of a page, code and mathematics as one word each."""
    page = re.sub(r"^(```|~~~).*?^\1", "", page, flags=re.M | re.S)
    page = re.sub(r"^\$\$.*?^\$\$", "", page, flags=re.M | re.S)
    page = re.sub(r"`[^`]*`|\$[^$\n]*(?:\n[^$\n]+)?\$", "CODE", page)
    page = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", page)
    page = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", page)
    page = re.sub(r"^ {4,}\S.*$", "", page, flags=re.M)
    kept = [line for line in page.splitlines() if not re.match(r"\s*(?:\||#|:::|<)", line)]
    items = re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", "\n".join(kept))
    return [" ".join(item.split()) for item in items if item.strip()]


def sentences(page: str) -> list[str]:
    """Return the sentences of a page."""
    found = []
    for item in running_text(page):
        item = re.sub(r"^(?:[-*>]|\d+\.) ", "", item).replace("*", "")
        for sentence in re.split(r"(?<=[.!?])\)?\s+(?=[\w\"“(])", item):
            if len(re.findall(r"[A-Za-z]{2,}", sentence)) > 1:
                found.append(sentence)
    return found


def count(page: str) -> Count:
    """Count the sentences of a page."""
    all_of_it = sentences(page)
    lengths = [len(sentence.split()) for sentence in all_of_it]
    long = [one for one, length in zip(all_of_it, lengths, strict=True) if length > LONG]
    odd = sum(len(re.findall(turn, one)) for one in all_of_it for turn in ODD)
    return Count(len(all_of_it), sum(lengths), long, odd)


def line(name: str, counts: list[Count]) -> str:
    """Return a line of the table."""
    number, words, odd = (
        sum(getattr(one, field) for one in counts) for field in ("sentences", "words", "odd")
    )
    long, each = sum(len(one.long) for one in counts), max(number, 1)
    return f"{name:42s} {number:9d}  {words / each:10.1f}  {long:10d}  {long / each:5.1%}  {odd:3d}"


def main(root: Path = ROOT) -> None:
    """Print a line a page, then the long sentences, the longest first."""
    counts = {name: count(path.read_text(encoding="utf-8")) for name, path in pages(root).items()}
    print(f"{'page':42s} sentences  words each  > {LONG} words  share  odd")
    for name, one in counts.items():
        print(line(name, [one]))
    print(line("together", [*counts.values()]))
    longest = (
        (len(sentence.split()), name, sentence) for name, one in counts.items() for sentence in one.long
    )
    for length, name, sentence in sorted(longest, reverse=True)[:20]:
        print(f"\n{length} words, {name}: {sentence}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
