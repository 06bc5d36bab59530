"""Prompts: read from a JSONL file, put into a chat template, cut to the limit, padded to buckets."""

import contextlib
import hashlib
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from transformers import AutoTokenizer

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.json_files import json_lines
from fpo_jax.experiments.llm.config import Config
from fpo_jax.experiments.llm.model_folder import has, read_json, tokenizer_view
from fpo_jax.experiments.llm.settings import INCLUDED

SMALLEST_BUCKET = 32
"""Tokens of the shortest padded prompt; lengths double from there, so that few programs are compiled."""
SPARE_ROWS = 1024
"""Maximum unused rows of an embedding; published models have fewer padding rows."""
DATE = "26 Jul 2024"
"""A fixed date for Llama's chat template, so that a run is the same on another day."""
MOST_SECONDS = 5.0
"""Seconds that a chat template may take for one prompt."""
MOST_ADDED, MOST_COPIES = 100_000, 10
"""Maximum characters that a chat template may add, and maximum repetitions of the prompt in it."""


class Prompt(NamedTuple):
    """One prompt as a model reads it.

    Attributes:
        text: as in the file.
        tokens: [p] its tokens, with the chat template around it.
        cut: how many tokens were cut from its end.
    """

    text: str
    tokens: list[int]
    cut: int


class Tokenizer:
    """The tokenizer of a checkpoint, with the tokens that begin every text and those that end a response.

    `chat` says whether prompts use its chat template: True, False, or None for yes if it has one.
    """

    def __init__(self, folder: Path, config: Config, chat: bool | None = None, what: str = "model"):
        if not any(has(folder, name, what) for name in ("tokenizer.json", "tokenizer.model")):
            raise InputError(what, folder, "a folder with a tokenizer, but it has no tokenizer.json")
        with readable(folder, what), tokenizer_view(folder, what) as view:
            self.inner: Any = AutoTokenizer.from_pretrained(
                view, local_files_only=True, trust_remote_code=False
            )
            size = len(self.inner)
        rows, self.folder, self.what = config.vocab_size, folder, what
        if not rows - SPARE_ROWS <= size <= rows:
            allowed = f"one whose tokenizer fits its {rows} embeddings, but it has {size} tokens"
            raise InputError(what, folder, allowed)
        stored = read_json(folder, "config.json", what)
        if not isinstance(stored.get("bos_token_id"), int | None):
            raise InputError(f"{what}: bos_token_id in config.json", stored["bos_token_id"], "an integer")
        if {self.inner.bos_token_id, stored.get("bos_token_id")} - {None, self.inner.bos_token_id}:
            allowed = f"one whose tokenizer starts with token {stored['bos_token_id']}, as in its config.json"
            raise InputError(what, folder, f"{allowed}, not {self.inner.bos_token_id}")
        if chat and self.inner.chat_template is None:
            allowed = "one whose tokenizer has a chat template, or use --chat False"
            raise InputError(what, folder, allowed)
        self.chat = chat is not False and self.inner.chat_template is not None
        with readable(folder, what):
            begin = self.inner.bos_token_id
            self.begins = tuple(token for token in self.inner("")["input_ids"] if token == begin)
        self.ends = read_ends(folder, stored, self.inner.eos_token_id, rows, what)

    def render(self, text: str) -> list[int]:
        """Return the tokens of a prompt, as a user's turn if the model has a chat template."""
        if not self.chat:
            return list(self.inner(text)["input_ids"])
        turn = [{"role": "user", "content": text}]
        with readable(self.folder, self.what, "chat template"), _in_time(self.folder, self.what):
            shown = self.inner.apply_chat_template(
                turn, add_generation_prompt=True, date_string=DATE, tokenize=False
            )
            if len(shown) > MOST_ADDED + len(text) * MOST_COPIES:
                raise ValueError(f"it makes {len(shown)} characters of {len(text)}")
            return list(self.inner(shown, add_special_tokens=False)["input_ids"])

    def encode(self, text: str, limit: int) -> Prompt:
        """Return a prompt of at most `limit` tokens, cut at the end of its text, not of its template.

        Raises:
            InputError: when the template alone is longer.
        """
        tokens = self.render(text)
        inner, shown, cut = self.inner(text, add_special_tokens=False)["input_ids"], text, 0
        while len(tokens) > limit:
            cut += len(tokens) - limit
            if cut > len(inner):
                least = len(self.render(""))
                raise InputError("prompt_limit", limit, f"more than the {least} tokens of an empty prompt")
            shown = self.inner.decode(inner[: len(inner) - cut])
            tokens = self.render(shown)
        return Prompt(text, tokens, cut)

    def response(self, tokens: np.ndarray) -> str:
        """Return a response as text, up to the token that ends it."""
        ends = np.isin(tokens, self.ends)
        stop = int(np.argmax(ends)) if ends.any() else len(tokens)
        return self.inner.decode([int(token) for token in tokens[:stop]], skip_special_tokens=True)


class Bytes:
    """Text byte by byte, for models with random weights."""

    ends: tuple[int, ...] = ()
    begins: tuple[int, ...] = ()

    def encode(self, text: str, limit: int) -> Prompt:
        """Return a prompt of at most `limit` bytes."""
        tokens = list(text.encode())
        return Prompt(text, tokens[:limit], max(0, len(tokens) - limit))

    def response(self, tokens: np.ndarray) -> str:
        """Return a response as text."""
        return bytes(int(token) % 256 for token in tokens).decode(errors="replace")


def read_ends(
    folder: Path, stored: Mapping[str, Any], own: int | None, rows: int, what: str
) -> tuple[int, ...]:
    """Return the tokens that end a response: those of generation_config.json, config.json, the tokenizer.

    Raises:
        InputError: when they are not tokens of the model.
    """
    name = "generation_config.json"
    told = read_json(folder, name, what).get("eos_token_id") if has(folder, name, what) else None
    told = stored.get("eos_token_id") if told is None else told
    told = own if told is None else told
    if told is None:
        return ()
    ends = told if isinstance(told, list) else [told]
    if not all(type(end) is int and 0 <= end < rows for end in ends):
        raise InputError(f"{what}: eos_token_id", told, f"tokens, integers >= 0 and < {rows}")
    return tuple(ends)


@contextlib.contextmanager
def readable(folder: Path, what: str, part: str = "tokenizer") -> Iterator[None]:
    """Turn errors of libraries about a folder's tokenizer into one line.

    Raises:
        InputError: for anything they raise; `tokenizers` can panic, which is not a Python exception.
    """
    try:
        yield
    except (InputError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        allowed = f"one whose {part} can be read ({reason}); download it again"
        raise InputError(what, folder, allowed) from error


@contextlib.contextmanager
def _in_time(folder: Path, what: str) -> Iterator[None]:
    """Stop a chat template that takes too long, if signals are available: in the main thread."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: Any) -> None:
        raise InputError(what, folder, f"one whose chat template ends within {MOST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def prompt_file(name: str) -> Path:
    """Return the file that `--prompts` names; `./included` is a file of that name, `included` is ours."""
    return Path(__file__).with_name("instructions.jsonl") if name == INCLUDED else Path(name)


def read_prompts(path: Path) -> list[str]:
    """Read prompts from a file with one JSON object a line, {"prompt": "…"}; other fields are ignored.

    Raises:
        InputError: when there is no prompt, or a line is broken or empty; names the line.
    """
    prompts = []
    for line in json_lines(path, "prompts"):
        text = line.fields.get("prompt")
        if not isinstance(text, str):
            raise InputError("prompts", line.where, 'a JSON object with a text "prompt"')
        if not text.strip():
            raise InputError("prompts", line.where, "a prompt that is not empty")
        prompts.append(text)
    if not prompts:
        raise InputError(
            "prompts", path, 'a file with one prompt or more, {"prompt": "…"} a line, but it is empty'
        )
    return prompts


def say_cut(prompts: Sequence[Prompt], limit: int) -> None:
    """Print to standard error the number of prompts longer than the limit, if any."""
    if cut := sum(prompt.cut > 0 for prompt in prompts):
        sys.stderr.write(f"{cut} of {len(prompts)} prompts are longer than {limit} tokens, and were cut\n")


def pad_to_bucket(tokens: Sequence[int], limit: int, least: int = 0) -> np.ndarray:
    """Return tokens padded with 0 to their bucket: the smallest of 32, 64, 128 … and the limit with room.

    Args:
        tokens: to pad.
        limit: most tokens of a prompt.
        least: minimum size of the bucket.
    """
    size, needed = SMALLEST_BUCKET, max(len(tokens), least)
    while size < needed:
        size *= 2
    row = np.zeros(max(min(size, limit), needed), np.int32)
    row[: len(tokens)] = tokens
    return row


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
