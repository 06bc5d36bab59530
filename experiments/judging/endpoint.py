"""A model behind any OpenAI-compatible endpoint as the judge; it needs the optional extra `llm`.

The `openai` package makes and repeats requests: it retries a request that was lost or temporarily refused
(408, 409, 429, 5xx), after the delay in `Retry-After` or with doubling delays. `llm.client` sends requests
and reads answers. The key is only in the request: it is removed from every returned text.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from fpo_jax.errors import InputError, shortened
from fpo_jax.experiments.core.wording import EXTRA
from fpo_jax.experiments.judging.access import ADDRESS, ApiKey
from fpo_jax.experiments.judging.answer_files import AnswerPair
from fpo_jax.experiments.judging.question import fill
from fpo_jax.experiments.judging.reply import NotReply, Reply, read_reply, understand
from fpo_jax.experiments.judging.verdicts import DISAGREED, LONGEST_REPLY, Verdict

HOPELESS = {401: "key_variable", 403: "key_variable", 404: "judge_model"}
"""The setting to correct for these statuses, with which every pair would fail."""


class _Failed(Exception):
    """A request without a reply."""


def openai() -> Any:
    """Import the package for endpoints.

    Raises:
        InputError: says which extra brings it.
    """
    try:
        import openai
    except ImportError as error:
        allowed = f"installed: an endpoint needs {EXTRA}"
        raise InputError("openai", "not installed", allowed) from error
    return openai


class Endpoint(NamedTuple):
    """A judge over HTTP.

    Attributes:
        url, model, key: of the judge.
        template: the question, with {prompt}, {first} and {second}.
        temperature: of the judge; None leaves it to the server.
        max_tokens: maximum length of a reply; None leaves it to the server.
        both_orders: ask twice; it is a tie if the two replies disagree.
        seed: of the coin that decides, for each pair, which answer comes first.
        parallel: maximum requests at the same time.
        retries: of one request.
        timeout: of one attempt, in seconds, from the first byte sent to the last one read.
    """

    url: str
    model: str
    key: ApiKey
    template: str
    temperature: float | None = 0.0
    max_tokens: int | None = None
    both_orders: bool = False
    seed: int = 0
    parallel: int = 4
    retries: int = 5
    timeout: float = 60.0

    def check(self) -> None:
        """Check, before anything is written, that the endpoint can be used.

        Raises:
            InputError: when the extra is missing, or the address or the model's name cannot be sent.
        """
        openai()
        import httpx2  # which it brings

        try:
            httpx2.URL(self.url)
        except httpx2.InvalidURL as error:
            raise InputError("endpoint", self.url, f"{ADDRESS} ({error})") from error
        try:
            self.model.encode()
        except UnicodeEncodeError as error:
            raise InputError("judge_model", self.model, "text in UTF-8") from error

    def first(self, index: int) -> str:
        """Return which answer of a pair comes first, "a" or "b": a fair coin, the same each time."""
        return "ab"[np.random.default_rng([self.seed, index]).integers(2)]

    def judge(self, pairs: Mapping[int, AnswerPair], record: Callable[[Verdict], None]) -> None:
        """Judge pairs, several at once, and record each verdict immediately.

        Raises:
            InputError: when no pair can be judged, because the key is refused or the model is unknown.
        """
        try:
            asyncio.run(self._judge(pairs, record))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _judge(self, pairs: Mapping[int, AnswerPair], record: Callable[[Verdict], None]) -> None:
        package, left = openai(), iter(pairs.items())
        from fpo_jax.experiments.judging.llm.client import BoundedClient  # which needs the package

        async def work(client: Any, left: Iterator[tuple[int, AnswerPair]]) -> None:
            for index, pair in left:
                record(await self._verdict(client, index, pair))

        sender = BoundedClient(urlsplit(self.url).hostname or "", self.key.secret, self.timeout)
        asked = {"base_url": self.url, "max_retries": self.retries, "timeout": self.timeout}
        async with (
            package.AsyncOpenAI(api_key="sent by the client", http_client=sender, **asked) as client,
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
            detail["replies"].append(self._cleaned(reply.text, LONGEST_REPLY))
            meant = understand(reply)
            if meant is None:
                return Verdict(index, "error", self._nothing_in(reply), detail)
            detail["meant"].append(meant)
            outcomes.add(
                meant if meant == "tie" else "win" if (meant == "first") == (order == "a") else "loss"
            )
        if len(outcomes) > 1:
            return Verdict(index, "tie", DISAGREED, detail)
        return Verdict(index, outcomes.pop(), "", detail)

    def _nothing_in(self, reply: Reply) -> str:
        """Return why a reply has no verdict."""
        if reply.cut:
            after = "" if self.max_tokens is None else f" after {self.max_tokens} tokens (--max-tokens)"
            return f"a reply that was cut{after} before it named A, B or C"
        return "a reply that names none of A, B and C alone on its last line, or several"

    def _cleaned(self, text: object, most: int = 300) -> str:
        """Return foreign text in a form to save: without the key, on one line, of limited length."""
        whole = str(text).encode(errors="replace").decode()
        return shortened(self.key.hidden_in(whole), most)

    def _wishes(self) -> dict[str, Any]:
        """Return the parameters of a request; OpenAI's own models use another name for the limit."""
        limit = "max_completion_tokens" if urlsplit(self.url).hostname == "api.openai.com" else "max_tokens"
        wishes = {"temperature": self.temperature, limit: self.max_tokens}
        return {name: value for name, value in wishes.items() if value is not None}

    async def _reply(self, client: Any, question: str) -> Reply:
        package = openai()
        try:
            answer = await client.chat.completions.with_raw_response.create(
                model=self.model, messages=[{"role": "user", "content": question}], **self._wishes()
            )
            return read_reply(answer.content)
        except package.APIStatusError as error:
            raise self._refused(error) from None
        except (package.OpenAIError, NotReply) as error:
            cause = "" if error.__cause__ is None else f" ({error.__cause__})"
            raise _Failed(self._cleaned(f"{error}{cause}")) from None
        except Exception as error:  # whatever the package makes of an answer
            raise _Failed(self._cleaned(f"{type(error).__name__}: {error}")) from None

    def _refused(self, error: Any) -> Exception:
        """Return the error for an endpoint's refusal: for this pair, or for all."""
        status = error.status_code
        if status in (401, 403):  # nothing that such an answer says about the key, even masked, is saved
            allowed = f"a variable with a key that {self.url} accepts (HTTP {status})"
            return InputError("key_variable", self.key.variable or "none", allowed)
        message = re.sub(r"^Error code: \d+( - )?", "", str(error.message))
        reason = f"HTTP {status}: {self._cleaned(message)}".removesuffix(": ")
        if status in HOPELESS:
            return InputError(HOPELESS[status], self.model, f"a model that {self.url} has ({reason})")
        return _Failed(reason)
