"""Local judges: a function of prompt and response, or a reward model in a folder; the higher score wins."""

import importlib
import math
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from fpo_jax.errors import InputError, shortened
from fpo_jax.experiments import llm
from fpo_jax.experiments.judging.answer_files import AnswerPair
from fpo_jax.experiments.judging.verdicts import Verdict

Score = Callable[[str, str], float]
"""(prompt, response) to a number; higher is better."""
KINDS = "module:function, or the folder of a reward model in Hugging Face layout"


class Scorer(NamedTuple):
    """A judge by scores: A wins where score(A) − score(B) > margin, loses below −margin, and ties between."""

    score: Score
    margin: float = 0.0

    def judge(self, pairs: Mapping[int, AnswerPair], record: Callable[[Verdict], None]) -> None:
        """Judge pairs in order; a score that fails or is not finite is an error of its pair."""
        for index, pair in pairs.items():
            record(self._verdict(index, pair))

    def _verdict(self, index: int, pair: AnswerPair) -> Verdict:
        try:
            scores = [float(self.score(pair.prompt, response)) for response in (pair.a, pair.b)]
        except Exception as error:  # any exception of a user's function
            return Verdict(index, "error", shortened(f"{type(error).__name__}: {error}"))
        if not all(map(math.isfinite, scores)):
            return Verdict(index, "error", f"scores {scores[0]} and {scores[1]}")
        ahead = scores[0] - scores[1]
        outcome = "tie" if abs(ahead) <= self.margin else "win" if ahead > 0.0 else "loss"
        return Verdict(index, outcome, detail={"scores": scores})


def load_score(named: str) -> Score:
    """Find the scoring function.

    Args:
        named: `module:function`, also searched in the working directory; or a folder.

    Raises:
        InputError: says what is missing or is not a reward model, or that a folder needs the extra.
    """
    if os.path.isdir(named):
        try:
            llm.require_extra()
        except llm.MissingExtra as error:
            raise InputError("scorer", named, f"a function, module:function, as a folder {error}") from error
        from fpo_jax.experiments.llm.reward_model import load_reward

        return load_reward(Path(named))
    module, colon, function = named.partition(":")
    if not colon or not module or not function:
        raise InputError("scorer", named, KINDS)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last, so that no file here shadows an installed module
    try:
        found = getattr(importlib.import_module(module), function, None)
    except Exception as error:  # any exception of a user's module
        reason = shortened(f"{type(error).__name__}: {error}")
        raise InputError("scorer", named, f"{KINDS}; importing {module}: {reason}") from error
    if not callable(found):
        raise InputError("scorer", named, f"{KINDS}; {module} has no function {function}")
    return found
