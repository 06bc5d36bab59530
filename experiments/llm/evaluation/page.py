"""The page of an evaluation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fpo_jax.experiments.core.wording import counted
from fpo_jax.experiments.llm.evaluation.figures import charts, scatter
from fpo_jax.experiments.llm.evaluation.settings import EvaluateSettings
from fpo_jax.experiments.llm.evaluation.summary import Measured, cell, of_candidates, tables
from fpo_jax.experiments.report.parts import Section, View, code, markdown_table

EXAMPLES = 5
SAID = "Dots: means. Bars: 95 % intervals over prompts. Dashed: the base model."


def section_of(
    settings: EvaluateSettings, measured: Measured, found: Mapping[str, Any], pictures: Sequence[Path]
) -> Section:
    """Return an evaluation as a section of a page."""
    claim = (
        f"{counted(len(measured.policies), 'run')} beside "
        f"{code(settings.model)}, on {counted(found['prompts'], 'prompt')} that no run was trained on"
    )
    if found["questions"]:
        claim += f", and on {counted(found['questions'], 'question')} of TruthfulQA"
    shown = []
    for title, head, rows in tables(found):
        shown += [f"{title[0].upper()}{title[1:]}:"] if title else []
        shown.append(markdown_table(head, rows))
    named = list(zip(measured.names, measured.answers, strict=True))
    examples = [[prompt, *(own[i] for _, own in named)] for i, prompt in enumerate(measured.prompts)]
    answers = markdown_table(["prompt", *measured.names], examples[:EXAMPLES])
    row = found["candidates"]["utility_repetition"]
    tiles = [("U with repetition, Spearman", cell(row), "among candidates for a prompt")]
    view = View({}, [*charts(measured, found), *scatter(measured)], SAID)
    return Section(
        "evaluate",
        f"{claim}.",
        [*shown, f"{of_candidates(found)}.", "Greedy answers:", answers],
        pictures,
        view,
        tiles,
    )
