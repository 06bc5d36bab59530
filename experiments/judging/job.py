"""From settings to a report: make a judge, and count, test and write its verdicts."""

import hashlib
import importlib.metadata
from pathlib import Path
from typing import Any

from fpo_jax.experiments.core.files import provenance
from fpo_jax.experiments.core.result_folder import require_writable
from fpo_jax.experiments.core.wording import as_text
from fpo_jax.experiments.judging.access import ApiKey, require_private, require_url
from fpo_jax.experiments.judging.answer_files import matched, pairs_digest
from fpo_jax.experiments.judging.counts import assess, parse_counts
from fpo_jax.experiments.judging.endpoint import Endpoint
from fpo_jax.experiments.judging.pairwise import Judge, judge_pairs
from fpo_jax.experiments.judging.question import load_template
from fpo_jax.experiments.judging.scorer import Scorer, load_score
from fpo_jax.experiments.judging.settings import JudgeArguments, JudgeSettings, Requests
from fpo_jax.experiments.judging.verdict_table import of_table
from fpo_jax.experiments.judging.verdicts import DISAGREED, IDENTICAL, Verdict, count_verdicts, position


def of_elsewhere(settings: JudgeSettings, given: JudgeArguments, command: str) -> dict[str, Any]:
    """Test counts or verdicts of comparisons made elsewhere, and write the folder if requested."""
    if settings.verdicts:
        path = Path(settings.verdicts)
        found = of_table(path, settings.compare, settings.by, settings.answers_in)
    else:
        found = {"comparisons": [assess(written, parse_counts(written)) for written in settings.counts]}
    report = found | provenance(command, "float64")
    if given.out is not None:
        from fpo_jax.experiments.judging import files  # matplotlib is slow to import

        require_writable(given.out)
        files.write(given.out, settings.as_dict(), report)
    return report


def of_files(
    settings: JudgeSettings, given: JudgeArguments, command: str, requests: Requests
) -> dict[str, Any]:
    """Judge two files pair by pair, and write the folder if requested."""
    first, second = (Path(name) for name in settings.answers)
    pairs = matched(first, second)
    config = {**settings.as_dict(), "answers_sha256": pairs_digest(pairs)}
    judge: Judge
    if settings.endpoint:
        judge = _endpoint(settings, requests, config)
    else:
        judge = Scorer(load_score(settings.scorer or ""), settings.tie_margin or 0.0)
    reported: dict[str, Any] = {}

    def finish(verdicts: list[Verdict]) -> None:
        reported.update(_report(settings, verdicts, command))
        if given.out is not None:
            from fpo_jax.experiments.judging import files  # as above

            files.write(given.out, config, reported, verdicts)

    again = f"{command} --resume"
    verdicts = judge_pairs(pairs, judge, config, given.out, given.resume, requests.give_up, again, finish)
    if given.out is None:
        finish(verdicts)
    return reported


def _endpoint(settings: JudgeSettings, requests: Requests, config: dict[str, Any]) -> Endpoint:
    """Return the endpoint after checks, and save the settings of its verdicts."""
    config["endpoint"] = require_url(settings.endpoint or "")
    template = load_template(None if settings.template is None else Path(settings.template))
    config["template_sha256"] = hashlib.sha256(template.encode()).hexdigest()
    key = ApiKey.from_environment(requests.key_variable)
    require_private(config["endpoint"], key)
    endpoint = Endpoint(
        config["endpoint"],
        settings.judge_model or "",
        key,
        template,
        None if isinstance(settings.temperature, str) else settings.temperature,
        None if isinstance(settings.max_tokens, str) else settings.max_tokens,
        settings.both_orders,
        settings.seed,
        requests.parallel,
        requests.retries,
        requests.timeout,
    )
    endpoint.check()
    return endpoint


def _report(settings: JudgeSettings, verdicts: list[Verdict], command: str) -> dict[str, Any]:
    paths = [as_text(name) for name in settings.answers]
    names = [Path(path).stem for path in paths]
    names = names if len({*names}) == 2 else paths
    reasons = [verdict.reason for verdict in verdicts if verdict.outcome == "tie"]
    report = {
        "answers": list(settings.answers),
        "judge": settings.judge_model or settings.scorer,
        "pairs": len(verdicts),
        "comparisons": [assess(" : ".join(names), count_verdicts(verdicts))],
        "identical": reasons.count(IDENTICAL),
        "disagreed": reasons.count(DISAGREED),
        "position": position(verdicts, settings.both_orders),
    } | provenance(command, "float64")
    if settings.endpoint:
        report["versions"] = {**report["versions"], "openai": importlib.metadata.version("openai")}
    return report
