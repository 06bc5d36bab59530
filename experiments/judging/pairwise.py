"""Judge two files of answers pair by pair into a folder, which is resumable and complete when it appears."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO

from tqdm import tqdm

from fpo_jax.errors import InputError
from fpo_jax.experiments.core.result_folder import require_writable
from fpo_jax.experiments.core.settings import load
from fpo_jax.experiments.core.unfinished import Unfinished, on_a_full_disk
from fpo_jax.experiments.judging.answer_files import AnswerPair
from fpo_jax.experiments.judging.verdicts import FILE, IDENTICAL, Verdict, read_verdicts

NAMES_OF_FILES = ("answers", "template")
"""Settings that may differ when resuming: a file may be moved, since its contents are compared."""


class Judge(Protocol):
    """A judge: it judges pairs, by their number, and records a verdict on each."""

    def judge(self, pairs: Mapping[int, AnswerPair], record: Callable[[Verdict], None]) -> None:
        """Judge every pair."""


def judge_pairs(
    pairs: list[AnswerPair],
    judge: Judge,
    config: Mapping[str, Any],
    out: Path | None,
    resume: bool,
    give_up: int,
    again: str,
    write: Callable[[list[Verdict]], None],
) -> list[Verdict]:
    """Judge pairs, and save every verdict immediately.

    Args:
        pairs: what to judge.
        judge: the judge.
        config: the settings that verdicts depend on.
        out: folder of the results; until all is done, verdicts are in NAME.partial. None saves nothing.
        resume: continue interrupted work or a finished result; judged pairs are not asked again, errors are.
        give_up: errors in a row after which to stop.
        again: the command to resume, for error messages.
        write: writes the results into `out` at the end.

    Raises:
        InputError: when there is nothing to resume, something is in the way, or settings differ from those to
            resume; after too many errors in a row or only errors, or when the disk refuses, with how to
            continue.
    """
    named = "endpoint" if config.get("endpoint") else "scorer"
    who = (named, str(config.get(named)))
    if out is None:
        return _judged(pairs, judge, who, {}, None, give_up)
    require_writable(out)
    unfinished = Unfinished(out, "judging", "judge")
    with unfinished.locked():
        new = not unfinished.exists
        _begin(unfinished, out, config, resume, len(pairs))
        path = unfinished.folder / FILE
        kept = {i: v for i, v in read_verdicts(path, len(pairs)).items() if v.outcome != "error"}
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write("\n")  # so that a truncated line stays separate
                verdicts = _judged(pairs, judge, who, kept, file, give_up)
            write(verdicts)
        except BaseException as error:
            if new and _nobody_judged(read_verdicts(path, len(pairs))):
                unfinished.finish()  # nothing was judged, so nothing is left behind
                raise
            hint = f"verdicts are saved: resume with `{again}`"
            if isinstance(error, InputError):
                raise InputError(error.field, error.value, f"{error.allowed}; {hint}") from error
            if isinstance(error, OSError):
                allowed = f"on a disk with room ({error.strerror}); {hint}"
                raise InputError("out", out, allowed) from error
            raise
        unfinished.finish()
    return verdicts


def _begin(unfinished: Unfinished, out: Path, config: Mapping[str, Any], resume: bool, pairs: int) -> None:
    """Save the settings, or check that resumed work has the same ones."""
    if not resume:
        unfinished.require_free()
        unfinished.begin(config)
        return
    finished = not unfinished.exists
    if finished and not (out / FILE).is_file():
        raise InputError(
            "resume", unfinished.folder, "the folder of interrupted work, but nothing was interrupted"
        )
    earlier = load(out / "config.json", "judge") if finished else unfinished.config()
    for name, value in config.items():
        if name not in NAMES_OF_FILES and value != earlier.get(name):
            if name.endswith("_sha256"):
                what = name.removesuffix("_sha256")
                raise InputError(
                    what, config[what], "unchanged since the comparison began, but its contents differ"
                )
            raise InputError(name, value, f"{earlier.get(name)}, as in the comparison to resume")
    if finished:
        with on_a_full_disk(out, "the finished result stays as it is"):
            lines = (verdict.line() for verdict in read_verdicts(out / FILE, pairs).values())
            (unfinished.folder / FILE).write_text("".join(lines), encoding="utf-8")
            unfinished.begin(config)


def _judged(
    pairs: list[AnswerPair],
    judge: Judge,
    who: tuple[str, str],
    kept: Mapping[int, Verdict],
    file: TextIO | None,
    give_up: int,
) -> list[Verdict]:
    """Return the verdicts on all pairs, saved and new."""
    verdicts, failures = dict(kept), 0

    def record(verdict: Verdict) -> None:
        nonlocal failures
        verdicts[verdict.pair] = verdict
        if file is not None:
            file.write(verdict.line())
            file.flush()
        progress.update()
        failures = failures + 1 if verdict.outcome == "error" else 0
        if failures >= give_up:
            raise InputError(
                *who, f"judging, but {failures} requests in a row failed, the last with: {verdict.reason}"
            )

    with tqdm(total=len(pairs), initial=len(kept), unit="pair", file=sys.stderr, leave=False) as progress:
        left = {i: pair for i, pair in enumerate(pairs) if i not in verdicts}
        for i, pair in left.items():
            if pair.a == pair.b:
                record(Verdict(i, "tie", IDENTICAL))
        judge.judge({i: pair for i, pair in left.items() if i not in verdicts}, record)
        errors = [verdict.reason for verdict in verdicts.values() if verdict.outcome == "error"]
        if errors and _nobody_judged(verdicts):
            allowed = f"judging, but all {len(errors)} requests failed, the last with: {errors[-1]}"
            raise InputError(*who, allowed)
    return [verdicts[i] for i in range(len(pairs))]


def _nobody_judged(verdicts: Mapping[int, Verdict]) -> bool:
    return all(v.outcome == "error" or v.reason == IDENTICAL for v in verdicts.values())
