"""Standard output and error on every terminal: without Greek letters, on a full disk, with no reader.

Characters that a terminal cannot show are spelled in ASCII. If standard output fails, the command ends with
one line. If standard error fails, its messages are dropped, and the work continues.
"""

import codecs
import contextlib
import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any, TextIO

SPELLED = {
    "−": "-",  # a minus sign
    "–": "-",
    "—": "-",
    "·": "*",
    "×": "x",
    "⁄": "/",  # what a fraction such as ½ is made of
    "²": "^2",
    "³": "^3",
    "±": "+/-",
    "∂": "d",
    "∇": "grad",
    "√": "sqrt",
    "∞": "inf",
    "∝": "~",
    "∈": "in",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "←": "<-",
    "→": "->",
    "↦": "->",
    "⟨": "<",
    "⟩": ">",
    "‖": "||",
    "′": "'",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "ℓ": "l",
    "µ": "u",  # of units
    "λ": "lambda",  # which Unicode spells lamda
    "Λ": "Lambda",
}
"""Replacements for characters that a terminal lacks; a Greek letter becomes its name."""


class Unwritten(Exception):
    """Standard output failed, for this reason."""

    def __init__(self, reason: OSError):
        super().__init__(reason)
        self.reason = reason


@contextlib.contextmanager
def forgiving() -> Iterator[None]:
    """Make standard output and error accept all text within this context.

    Raises:
        Unwritten: when standard output fails, at the latest at the end of the context.
    """
    while (free := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # closed, so that the next file opened, such as one of results, would be taken for it
    os.close(free)
    out, err = (_spelling(stream) for stream in (sys.stdout, sys.stderr))
    with (
        contextlib.redirect_stdout(_Output(out)),
        contextlib.redirect_stderr(_Messages(err)),
    ):
        try:
            yield
        finally:
            sys.stderr.flush()
            sys.stdout.flush()


def spell(character: str) -> str:
    """Spell a character in ASCII; a question mark if it is unknown."""
    if character in SPELLED:
        return SPELLED[character]
    plain = unicodedata.normalize("NFKD", character)  # a letter without its accent, a digit that stood high
    if plain != character:
        return "".join(map(spell, plain))
    if character.isascii():
        return character
    if unicodedata.combining(character):
        return ""
    greek = re.match(r"GREEK (SMALL|CAPITAL) LETTER (?:FINAL )?(\w+)", unicodedata.name(character, ""))
    if greek is None:
        return "?"
    return greek[2].capitalize() if greek[1] == "CAPITAL" else greek[2].lower()


def _spell_error(error: UnicodeError) -> tuple[str | bytes, int]:
    """Handle characters that an encoding lacks, one at a time."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":  # a byte of a file name that is not text here: unchanged
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return spell(character), error.start + 1


codecs.register_error("spell", _spell_error)


def _spelling(stream: TextIO | None) -> TextIO:
    """Return the stream with the handler above; a closed stream stays closed."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if hasattr(stream, "reconfigure"):  # a notebook's has no encoding
        stream.reconfigure(errors="spell")
    return stream


class _Stream:
    """A stream that is given up as soon as it fails."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text, or give up."""
        with self._letting_go():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the buffer, or give up."""
        with self._letting_go():
            self._stream.flush()

    @contextlib.contextmanager
    def _letting_go(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)  # the buffer goes here when Python ends
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            self._let_go(error)

    def _let_go(self, error: OSError) -> None:
        raise NotImplementedError


class _Output(_Stream):
    def _let_go(self, error: OSError) -> None:
        raise Unwritten(error) from error


class _Messages(_Stream):
    def _let_go(self, error: OSError) -> None:
        """Continue: a failed message is no reason to lose computed results."""
