"""`fpo-jax judge`: which of two files of answers is better."""

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from fpo_jax.experiments.cli.options import PROGRAM, Device, options, parse


@options
class JudgeOptions:
    """Options of this command; None where nothing was said."""

    answers: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Two files, A and B, with answers to the same prompts: JSONL, {"prompt": …, "response": …} a line."""
    counts: tuple[str, ...] = ()
    """WINS:LOSSES or WINS:LOSSES:TIES of comparisons made elsewhere, to be tested; in place of files."""
    endpoint: str | None = None
    """OpenAI-compatible endpoint whose model judges, such as https://api.openai.com/v1 or
    http://localhost:8000/v1; needs the extra `llm`."""
    judge_model: str | None = None
    """Name of the model behind the endpoint."""
    scorer: str | None = None
    """A local scorer in place of an endpoint: module:function, a Python function (prompt, response) -> float,
    or the folder of a reward model in Hugging Face layout, which needs the extra `llm`."""
    tie_margin: float | None = None
    """Scores that differ by no more are a tie; a number >= 0; 0 when not given."""
    both_orders: bool | None = None
    """Ask about each pair in both orders, and call it a tie where the replies disagree; in one order when
    not given."""
    template: Path | None = None
    """File with the question in place of ours; it must hold {prompt}, {first} and {second}, and ask for the
    letter A, B or C (tie)."""
    temperature: float | Literal["server"] | None = None
    """Of the judge, a number >= 0; 0 when not given; server sends none, for models that accept none."""
    seed: int | None = None
    """Of the coin that says for each pair which answer stands first; an integer >= 0; 0 when not given."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; "" for an endpoint without one."""
    parallel: int = 4
    """Requests under way at once; an integer >= 1."""
    retries: int = 5
    """How often a request is repeated that was refused for a while or lost; an integer >= 0."""
    timeout: float = 60.0
    """Seconds to wait for one reply; > 0."""
    give_up: int = 8
    """Errors in a row after which to stop; an integer >= 1."""
    out: Path | None = None
    """Folder for verdicts, numbers, summary and figure; until all is done, verdicts stand in OUT.partial."""
    resume: bool = False
    """Go on with what was interrupted in OUT.partial, or ask again what failed in OUT."""
    config: Path | None = None
    """config.json of an earlier comparison; options given besides take precedence."""
    json: bool = False
    """End with one JSON object on standard output."""
    device: Device | None = None
    """Where a local scorer computes; where JAX likes best when not given."""


def judge_command(arguments: Sequence[str]) -> int:
    """Compare two files of answers by a model behind an endpoint or a local scorer, with exact tests."""
    given: JudgeOptions = parse(JudgeOptions, arguments, "judge", description=judge_command.__doc__)
    from fpo_jax.experiments.core.devices import use_device
    from fpo_jax.experiments.judging.counts import remarks, show
    from fpo_jax.experiments.judging.job import of_counts, of_files
    from fpo_jax.experiments.judging.settings import settings_of

    settings = settings_of(given)
    use_device(
        given.device or (None if settings["scorer"] else "cpu")
    )  # a GPU is left to the endpoint's server
    command = [PROGRAM, "judge", *(word for word in arguments if word != "--resume")]
    try:
        make = of_counts if settings["counts"] else of_files
        report: dict[str, Any] = make(settings, given, shlex.join(command))
    except KeyboardInterrupt:
        from fpo_jax.experiments.core.unfinished import Unfinished

        if given.out is None or not Unfinished(given.out, "judging", "judge").exists:
            raise
        again = shlex.join([*command, "--resume"])
        sys.stderr.write(f"\n{PROGRAM}: interrupted; verdicts are kept; go on with `{again}`\n")
        return 130
    if given.out is not None:
        sys.stderr.write(f"written to {given.out}\n")
    for remark in remarks(report):
        sys.stderr.write(f"{PROGRAM}: {remark}\n")
    print(json.dumps(report, allow_nan=False) if given.json else show(report["comparisons"]))
    return 0
