"""What a comparison of answers is: settings, resolved and checked before anybody is asked."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from fpo_jax.engine.initial import SEED_LIMIT
from fpo_jax.errors import InputError, require_known
from fpo_jax.experiments.core.settings import load

SETTINGS: dict[str, Any] = {
    "answers": list,
    "counts": list,
    "endpoint": str,
    "judge_model": str,
    "scorer": str,
    "tie_margin": int | float,
    "both_orders": bool,
    "template": str,
    "temperature": int | float | str,
    "seed": int,
}
"""What verdicts rest on, and `config.json` holds, with its type there."""
OF_ENDPOINTS = ("judge_model", "both_orders", "template", "temperature", "seed")
ALONE = ("endpoint", "scorer", "counts")
"""Who judges: one of these."""


class Asked(Protocol):
    """How a comparison is to be made, besides its settings: options of `fpo-jax judge`."""

    config: Path | None
    out: Path | None
    resume: bool
    key_variable: str
    parallel: int
    retries: int
    timeout: float
    give_up: int


def settings_of(given: Asked) -> dict[str, Any]:
    """Return the settings of a comparison: those of an earlier one, if any, and what is said besides.

    Raises:
        InputError: names what is missing, out of range, or belongs to something else.
    """
    earlier = load(given.config, "judge") if given.config else {}
    earlier = {name: value for name, value in earlier.items() if not name.endswith("_sha256")}
    for name, value in earlier.items():
        require_known("setting", name, SETTINGS)
        if value is not None and not isinstance(value, SETTINGS[name]):
            raise InputError(name, value, f"of its type in {given.config}, as `fpo-jax judge` writes it")
    asked = {name: getattr(given, name) for name in SETTINGS}
    # 0 and --no-both-orders are wishes, too
    asked = {name: value for name, value in asked.items() if value is not None and value != ()}
    who = [name for name in ALONE if name in asked]
    if who and not earlier.get(who[0]):  # who judges now has other options than who did
        kept = () if "counts" in who else ("answers",)
        earlier = {name: value for name, value in earlier.items() if name in kept}
    settings = dict.fromkeys(SETTINGS) | earlier | asked
    for name in ("answers", "counts"):
        settings[name] = [str(value) for value in settings[name] or ()]
    settings["template"] = None if settings["template"] is None else str(settings["template"])
    _check(settings, asked, given)
    defaults = {"seed": 0, "both_orders": False} | ({"temperature": 0.0} if settings["endpoint"] else {})
    defaults |= {"tie_margin": 0.0} if settings["scorer"] else {}
    return settings | {name: value for name, value in defaults.items() if settings[name] is None}


def _check(settings: Mapping[str, Any], asked: Mapping[str, Any], given: Asked) -> None:
    judges = [name for name in ALONE if settings[name]]
    if len(judges) != 1:
        allowed = "one of --endpoint URL --judge-model NAME, --scorer SCORER, --counts WINS:LOSSES"
        raise InputError("judge", " and ".join(judges) or "nothing", allowed)
    (judge,) = judges
    files = [] if judge == "counts" else settings["answers"]
    if judge == "counts" and settings["answers"]:
        raise InputError("answers", " ".join(settings["answers"]), "left out beside --counts")
    if judge != "counts" and len(files) != 2:
        raise InputError("answers", " ".join(files) or "nothing", "two files, A and B")
    for name in OF_ENDPOINTS:
        if judge != "endpoint" and (settings[name] or name in asked):
            raise InputError(name, settings[name], "left out: it is an option of --endpoint")
    if judge != "scorer" and (settings["tie_margin"] or "tie_margin" in asked):
        raise InputError("tie_margin", settings["tie_margin"], "left out: it is an option of --scorer")
    if judge == "endpoint":
        if not settings["judge_model"]:
            raise InputError("judge_model", "nothing", "the name of a model that the endpoint has")
        if given.out is None:
            raise InputError(
                "out", "nothing", "a folder, in which each verdict is kept as soon as it is there"
            )
    if given.resume and (given.out is None or judge == "counts"):
        raise InputError("resume", "yes", "used with files and --out, the folder of what is to be resumed")
    _in_range("tie_margin", settings["tie_margin"] or 0.0, 0.0)
    if settings["temperature"] != "server":
        _in_range("temperature", 0.0 if settings["temperature"] is None else settings["temperature"], 0.0)
    _in_range("seed", settings["seed"] or 0, 0, SEED_LIMIT - 1, whole=True)
    _in_range("parallel", given.parallel, 1, whole=True)
    _in_range("retries", given.retries, 0, whole=True)
    _in_range("give_up", given.give_up, 1, whole=True)
    if not (math.isfinite(given.timeout) and given.timeout > 0):
        raise InputError("timeout", given.timeout, "a finite number > 0")


def _in_range(name: str, value: Any, low: float, high: float = math.inf, whole: bool = False) -> None:
    right = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not right or not low <= value <= high or not math.isfinite(value):
        kind = "an integer" if whole else "a finite number"
        upper = "" if math.isinf(high) else f" and <= {high:g}"
        raise InputError(name, value, f"{kind} >= {low:g}{upper}")
