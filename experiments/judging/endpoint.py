"""A model behind any OpenAI-compatible endpoint as the judge; it needs the optional extra `llm`.

Requests, their time limits and their repetition are the `openai` package's: what was refused for a while
(408, 409, 429, 5xx) or was lost on the way is asked again, after as long as `Retry-After` says or twice as
long each time. The key stands in the request and nowhere else: every text that comes back is cleared of it.
"""

import asyncio
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import numpy as np

from fpo_jax.errors import InputError, shortened
from fpo_jax.experiments.core.wording import EXTRA
from fpo_jax.experiments.judging.answer_files import AnswerPair
from fpo_jax.experiments.judging.question import fill, understand
from fpo_jax.experiments.judging.verdicts import DISAGREED, Verdict

LONGEST_REPLY = 2000
"""Characters of a reply that are kept."""
_NO_COMPLETION = "the answer is no chat completion"
HOPELESS = {401: "key_variable", 403: "key_variable", 404: "judge_model"}
"""What to correct when an endpoint answers with such a status, since no other pair will fare better."""


class _Failed(Exception):
    """A request that brought no reply."""


class ApiKey:
    """The key to an endpoint, or none; it hides in texts, and does not show itself."""

    def __init__(self, secret: str = "", variable: str = ""):
        self.secret, self.variable = secret, variable
        escaped = secret.replace("\\", "\\\\")
        spelled = {
            secret,
            json.dumps(secret)[1:-1],
            escaped,
            escaped.replace("'", "\\'"),
            quote(secret, safe=""),
        }
        self._spelled = sorted(spelled - {""}, key=len, reverse=True)

    def hidden_in(self, text: str) -> str:
        """Return text with every occurrence of the key, however it is spelled, taken out."""
        for spelling in self._spelled:
            text = text.replace(spelling, "[key]")
        return text

    @classmethod
    def from_environment(cls, variable: str) -> "ApiKey":
        """Read the key from this environment variable; an empty name stands for an endpoint without a key.

        Raises:
            InputError: when it is not the name of a variable, and might be the key itself, which is not
                shown; when no key stands there, or none that can be sent.
        """
        if variable == "":
            return cls()
        if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", variable):
            allowed = "the name of an environment variable, in capital letters, not the key itself"
            raise InputError("key_variable", "something else (not shown)", allowed)
        secret = os.environ.get(variable, "").strip()
        if not secret:
            allowed = 'an environment variable that holds the key: set it, or say --key-variable "" for none'
            raise InputError("key_variable", variable, allowed)
        if not re.fullmatch(r"[!-~]+", secret):
            allowed = "an environment variable with a key of printable ASCII characters, without blanks"
            raise InputError("key_variable", variable, allowed)
        return cls(secret, variable)


def require_url(url: str) -> str:
    """Return the address of an endpoint, without a slash at its end.

    Raises:
        InputError: when it is no http address, or carries what may be secret, which is not shown.
    """
    try:
        parts = urlsplit(url)
        hidden = parts.username or parts.password or parts.query or parts.fragment
        whole = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port)
    except ValueError:
        hidden, whole = None, False
    if hidden:
        allowed = "without user, password, query and fragment: a key comes from --key-variable alone"
        raise InputError("endpoint", f"{parts.scheme}://{parts.hostname} and more (not shown)", allowed)
    if not whole:
        raise InputError("endpoint", url, "an address such as https://api.openai.com/v1")
    return url.rstrip("/")


def openai() -> Any:
    """Import the package that talks to endpoints.

    Raises:
        InputError: says which extra brings it.
    """
    try:
        import openai
    except ImportError as error:
        allowed = f"there: an endpoint needs {EXTRA}"
        raise InputError("openai", "not installed", allowed) from error
    return openai


class Endpoint(NamedTuple):
    """A judge that is asked over HTTP.

    Attributes:
        url, model, key: whom to ask.
        template: the question, with {prompt}, {first} and {second}.
        temperature: of the judge; None leaves it to the server.
        both_orders: ask twice, and call it a tie where the two replies disagree.
        seed: of the coin that says, for each pair, which answer stands first.
        parallel: requests under way at once.
        retries: of one request.
        timeout: of one attempt, in seconds.
    """

    url: str
    model: str
    key: ApiKey
    template: str
    temperature: float | None = 0.0
    both_orders: bool = False
    seed: int = 0
    parallel: int = 4
    retries: int = 5
    timeout: float = 60.0

    def first(self, index: int) -> str:
        """Return which answer of a pair stands first, "a" or "b": a fair coin, the same each time."""
        return "ab"[np.random.default_rng([self.seed, index]).integers(2)]

    def judge(self, pairs: Mapping[int, AnswerPair], record: Callable[[Verdict], None]) -> None:
        """Judge pairs, some at once; each verdict is recorded as soon as it is there.

        Raises:
            InputError: when no pair can be judged: the key is refused, or the model is not known.
        """
        try:
            asyncio.run(self._judge(pairs, record))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _judge(self, pairs: Mapping[int, AnswerPair], record: Callable[[Verdict], None]) -> None:
        package, left = openai(), iter(pairs.items())

        async def work(client: Any, left: Iterator[tuple[int, AnswerPair]]) -> None:
            for index, pair in left:
                record(await self._verdict(client, index, pair))

        async with (
            package.AsyncOpenAI(
                base_url=self.url,
                api_key=self.key.secret or "none",
                max_retries=self.retries,
                timeout=self.timeout,
            ) as client,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(min(self.parallel, len(pairs))):
                tasks.create_task(work(client, left))

    async def _verdict(self, client: Any, index: int, pair: AnswerPair) -> Verdict:
        """Ask about one pair, once or in both orders."""
        first = self.first(index)
        orders = [first, "ba"["ab".index(first)]] if self.both_orders else [first]
        detail: dict[str, list[str]] = {"first": orders, "meant": [], "replies": []}
        outcomes = set()
        for order in orders:
            answers = (pair.a, pair.b) if order == "a" else (pair.b, pair.a)
            try:
                reply = await self._reply(client, fill(self.template, pair.prompt, *answers))
            except _Failed as failure:
                return Verdict(index, "error", str(failure), detail)
            detail["replies"].append(shortened(self.key.hidden_in(reply), LONGEST_REPLY))
            meant = understand(reply)
            if meant is None:
                return Verdict(index, "error", "a reply that names none of A, B and C, or several", detail)
            detail["meant"].append(meant)
            outcomes.add(
                meant if meant == "tie" else "win" if (meant == "first") == (order == "a") else "loss"
            )
        if len(outcomes) > 1:
            return Verdict(index, "tie", DISAGREED, detail)
        return Verdict(index, outcomes.pop(), "", detail)

    async def _reply(self, client: Any, question: str) -> str:
        package = openai()
        asked: dict[str, Any] = {} if self.temperature is None else {"temperature": self.temperature}
        asked |= {} if self.key.secret else {"extra_headers": {"Authorization": package.Omit()}}
        try:
            completion = await client.chat.completions.create(
                model=self.model, messages=[{"role": "user", "content": question}], **asked
            )
        except package.APIStatusError as error:
            status = error.status_code
            if status in (401, 403):  # what such an answer says of the key, even masked, is kept nowhere
                allowed = f"a variable with a key that {self.url} accepts (HTTP {status})"
                raise InputError("key_variable", self.key.variable or "none", allowed) from None
            message = re.sub(r"^Error code: \d+( - )?", "", str(error.message))
            reason = f"HTTP {status}: {shortened(self.key.hidden_in(message))}".removesuffix(": ")
            if status in HOPELESS:
                allowed = f"a model that {self.url} has ({reason})"
                raise InputError(HOPELESS[status], self.model, allowed) from None
            raise _Failed(reason) from None
        except package.OpenAIError as error:
            cause = "" if error.__cause__ is None else f" ({error.__cause__})"
            raise _Failed(shortened(self.key.hidden_in(f"{error}{cause}"))) from None
        except ValueError:  # answered in something else than JSON
            raise _Failed(_NO_COMPLETION) from None
        try:
            return str(completion.choices[0].message.content or "")
        except (AttributeError, IndexError, TypeError):
            raise _Failed(_NO_COMPLETION) from None
