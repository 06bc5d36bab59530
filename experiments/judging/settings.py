"""Settings of a comparison of answers, resolved and checked before anybody is asked."""

import dataclasses
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from fpo_jax.engine.initial import SEED_LIMIT
from fpo_jax.errors import InputError
from fpo_jax.experiments.core.declared import Declared, standing_in
from fpo_jax.experiments.core.settings import load
from fpo_jax.experiments.judging.access import ADDRESS, is_name, require_url
from fpo_jax.hyperparameters import count, flag, real, several, text

OF_ENDPOINTS = ("judge_model", "both_orders", "template", "temperature", "max_tokens", "seed")
OF_TABLES = ("compare", "by", "answers_in")
ALONE = ("endpoint", "scorer", "counts", "verdicts")
"""The judge: one of these."""
MADE_ELSEWHERE = ("counts", "verdicts")
"""Inputs that are only tested, without a judge."""
KEY_VARIABLE = "OPENAI_API_KEY"
MOST_TOKENS = 2048


@dataclasses.dataclass(frozen=True, kw_only=True)
class JudgeSettings(Declared):
    """The settings that verdicts depend on; those of other kinds of judge are None."""

    answers: tuple[str, ...] = several(
        (),
        'two JSONL files, A and B, with answers to the same prompts, one {"prompt": …, "response": …} a line',
    )
    counts: tuple[str, ...] = several(
        (),
        "WINS:LOSSES or WINS:LOSSES:TIES of comparisons made elsewhere, to test instead of files",
    )
    verdicts: str | None = text(
        None,
        "CSV file of verdicts made elsewhere, one prompt a row, to count and test instead of files",
        naming="a file",
    )
    compare: tuple[str, ...] = several(
        (),
        "COLUMN:A:B, a column of --verdicts and its words for A is better and B is better; tie and error "
        "are understood",
    )
    by: str | None = text(
        None,
        "column of --verdicts with categories, which are also tested separately; none when not given",
        naming="a column",
    )
    answers_in: str | None = text(
        None,
        "prefix of the columns with the answers: PREFIX + A and PREFIX + B; identical answers are counted",
        naming="the beginning of a column's name",
    )
    endpoint: str | None = text(
        None,
        "OpenAI-compatible endpoint of the judging model, such as https://api.openai.com/v1 or "
        "http://localhost:8000/v1; needs the extra `llm`",
        naming=ADDRESS,
    )
    judge_model: str | None = text(
        None,
        "name of the model behind the endpoint",
        naming="the name of a model that the endpoint has",
    )
    scorer: str | None = text(
        None,
        "local scorer instead of an endpoint: module:function, a Python function (prompt, response) -> "
        "float, or the folder of a reward model in Hugging Face layout, which needs the extra `llm`",
        naming="module:function or a folder",
    )
    tie_margin: float | None = real(
        None, "scores that differ by at most this are a tie; 0 when not given", low=0.0
    )
    both_orders: bool = flag(False, "ask about each pair in both orders; it is a tie if the replies disagree")
    template: str | None = text(
        None,
        "file with your own question; it must contain {prompt}, {first} and {second}, and ask for the "
        "letter A, B or C (tie); {mark} becomes a mark that no answer contains, for tags around answers; "
        "the included question when not given",
        naming="a file",
    )
    temperature: float | str | None = real(
        None,
        "temperature of the judge; 0 when not given; server sends none, for models that accept none",
        low=0.0,
        options=("server",),
    )
    max_tokens: int | str | None = count(
        None,
        f"maximum tokens of the judge's reply; {MOST_TOKENS} when not given; server sends none",
        high=2**31 - 1,
        options=("server",),
    )
    seed: int = count(
        0, "seed of the coin that decides which answer of each pair comes first", low=0, high=SEED_LIMIT - 1
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Requests(Declared):
    """Settings of requests to an endpoint, which change no verdict."""

    key_variable: str = text(
        KEY_VARIABLE, 'environment variable with the API key; "" for an endpoint without a key'
    )
    parallel: int = count(4, "maximum requests at the same time")
    retries: int = count(5, "how often to repeat a request that was lost or temporarily refused", low=0)
    timeout: float = real(
        60.0, "seconds that one request may take, including its whole reply", low=0.0, open=True
    )
    give_up: int = count(8, "stop after this many errors in a row")


class JudgeArguments(Protocol):
    """Input and output of a comparison: options of `fpo-jax judge` that are not settings."""

    config: Path | None
    key_variable: str | None
    out: Path | None
    resume: bool


def settings_of(asked: Mapping[str, Any], given: JudgeArguments) -> JudgeSettings:
    """Return the settings of a comparison: those of an earlier one, if any, and the user's options.

    Raises:
        InputError: names what is missing, out of range, or an option of another judge.
    """
    earlier = load(given.config, "judge") if given.config else {}
    earlier = {name: value for name, value in earlier.items() if not name.endswith("_sha256")}
    with standing_in(given.config):
        JudgeSettings.of(earlier)
    who = [name for name in ALONE if name in asked]
    if who and not earlier.get(who[0]):  # the new judge has other options than the earlier one
        kept = () if who[0] in MADE_ELSEWHERE else ("answers",)
        earlier = {name: value for name, value in earlier.items() if name in kept}
    settings = JudgeSettings.of({**earlier, **asked})
    _check(settings.as_dict(), asked, given)
    _require_again(earlier, asked, given)
    temperature = 0.0 if settings.endpoint and settings.temperature is None else settings.temperature
    margin = 0.0 if settings.scorer and settings.tie_margin is None else settings.tie_margin
    tokens = MOST_TOKENS if settings.endpoint and settings.max_tokens is None else settings.max_tokens
    return dataclasses.replace(settings, temperature=temperature, max_tokens=tokens, tie_margin=margin)


def _require_again(earlier: Mapping[str, Any], asked: Mapping[str, Any], given: JudgeArguments) -> None:
    """Check that settings that run code or send data are repeated on the command line.

    Raises:
        InputError: says what to type.
    """
    scorer, endpoint = earlier.get("scorer"), earlier.get("endpoint")
    if scorer and "scorer" not in asked and not os.path.isdir(scorer):
        again = f"--scorer {shlex.quote(scorer)}"
        raise InputError("scorer", scorer, f"given again, as {again}: settings alone must not run code")
    if endpoint and not ("endpoint" in asked and given.key_variable is not None):
        url, variable = require_url(asked.get("endpoint", endpoint)), given.key_variable
        variable = KEY_VARIABLE if variable is None or not is_name(variable) else variable
        again = f"--endpoint {shlex.quote(url)} --key-variable {variable}"
        allowed = f'given again, as {again} ("" for no key): settings alone must not send data'
        raise InputError("endpoint", url, allowed)


def _check(settings: Mapping[str, Any], asked: Mapping[str, Any], given: JudgeArguments) -> None:
    judges = [name for name in ALONE if settings[name]]
    if len(judges) != 1:
        allowed = (
            "one of --endpoint URL --judge-model NAME, --scorer SCORER, --counts WINS:LOSSES, "
            "--verdicts FILE --compare COLUMN:A:B"
        )
        raise InputError("judge", " and ".join(judges) or "nothing", allowed)
    (judge,) = judges
    files = settings["answers"]
    if judge in MADE_ELSEWHERE and files:
        raise InputError("answers", " ".join(files), f"omitted when --{judge} is given")
    if judge not in MADE_ELSEWHERE and len(files) != 2:
        raise InputError("answers", " ".join(files) or "nothing", "two files, A and B")
    for name in OF_TABLES:
        if judge != "verdicts" and settings[name]:
            raise InputError(name, settings[name], "omitted, because it is an option of --verdicts")
    if judge == "verdicts" and not settings["compare"]:
        raise InputError("compare", "nothing", "COLUMN:A:B, a column of verdicts and its two sides")
    for name in OF_ENDPOINTS:
        if judge != "endpoint" and (settings[name] or name in asked):
            raise InputError(name, settings[name], "omitted, because it is an option of --endpoint")
    if judge != "scorer" and (settings["tie_margin"] or "tie_margin" in asked):
        raise InputError("tie_margin", settings["tie_margin"], "omitted, because it is an option of --scorer")
    if judge == "endpoint":
        if not settings["judge_model"]:
            raise InputError("judge_model", "nothing", "the name of a model that the endpoint has")
        if given.out is None:
            raise InputError("out", "nothing", "a folder, where each verdict is saved at once")
    if given.resume and (given.out is None or judge in MADE_ELSEWHERE):
        raise InputError("resume", "yes", "used with files and --out, the folder of the comparison to resume")
