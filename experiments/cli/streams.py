"""Standard output and error on every terminal: without Greek, on a full disk, with nobody reading.

What a terminal cannot show is spelled in ASCII. Where standard output takes no more, the command ends in one
line; where standard error takes no more, what would be said there is left unsaid, and the work goes on.
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
"""What is written instead of a character that a terminal does not have; a Greek letter by its name."""


class Unwritten(Exception):
    """Standard output takes no more, for this reason."""

    def __init__(self, reason: OSError):
        super().__init__(reason)
        self.reason = reason


@contextlib.contextmanager
def forgiving() -> Iterator[None]:
    """Let standard output and error take whatever we write within this context.

    Raises:
        Unwritten: when standard output takes no more, at the latest as the context ends.
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
    """Spell a character in ASCII; a question mark where nothing is known of it."""
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
    """Handle what an encoding does not have, one character at a time."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":  # a byte of a file name that is no text here: as it was given
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return spell(character), error.start + 1


codecs.register_error("spell", _spell_error)


def _spelling(stream: TextIO | None) -> TextIO:
    """Return the stream, with the handler above; nothing takes the place of a stream that was closed."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if hasattr(stream, "reconfigure"):  # a notebook's has no encoding
        stream.reconfigure(errors="spell")
    return stream


class _Stream:
    """A stream that is let go of as soon as it takes no more."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text, or let go."""
        with self._letting_go():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what was held back, or let go."""
        with self._letting_go():
            self._stream.flush()

    @contextlib.contextmanager
    def _letting_go(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)  # where what is held back goes when Python ends
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
        """Go on: what cannot be said is no reason to give up what was computed."""
