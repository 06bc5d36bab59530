"""The page of a run, and the view of a comparison of runs."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fpo_jax.experiments.core.wording import counted
from fpo_jax.experiments.report.parts import SAY_CURVES, Section, View, markdown_table, share
from fpo_jax.experiments.runs.figures import every_chart, method_styles
from fpo_jax.experiments.runs.player import play_results
from fpo_jax.experiments.runs.result import Result
from fpo_jax.statistics import FALL, LOW

NAMES = {
    "myopic": "iterative RLHF",
    "exact": "exact foresight",
    "relaxed": "relaxed FPO",
    "practical": "practical FPO",
    "proximal": "proximal FPO",
}
COLLAPSE = (
    f"with less than {share(LOW)} of the possible gain, or less than {share(FALL)} of their largest gain"
)


def view_of(results: Mapping[str, Result]) -> View:
    """Return the view of runs of several methods on the same seeds: charts, their caption, and a player."""
    counts = sorted({len(result.seeds) for result in results.values()})
    n = f"{'–'.join(map(str, {counts[0]: 0, counts[-1]: 0}))} seed{'s' * (counts[-1] > 1)}"
    caption = SAY_CURVES.format(n=n)
    if counts[-1] > 1:
        caption += " The last chart counts, for each true utility, the seeds that end below it."
    player, playing = play_results(results)
    return View(method_styles(results), every_chart(results), caption, player, playing)


def section_of(result: Result, report: Mapping[str, Any], pictures: Sequence[Path]) -> tuple[str, Section]:
    """Return the title of a run's page, which says whether it collapsed, and its section.

    Args:
        result: the result of the run.
        report: its summary.
        pictures: files of its figures.
    """
    settings = result.settings
    objective = settings.names.objective
    method = NAMES.get(objective, objective)
    utility = result.metrics["true_utility"]
    fell, n = int(result.collapsed.sum()), len(result.seeds)
    verdict = "the policy collapsed" if fell == n else "no collapse" if fell == 0 else "some seeds collapsed"
    if result.diverged:
        verdict += f", and {len(result.diverged)} of {settings.seeds} seeds diverged"
    end, spot = report["true_utility_final"], report["blind_spot_mass_final"]
    proxy, best = report["proxy_reward_final"], report["optimum"]
    over = "more" if proxy > end else "less"
    story = (
        f"Over {counted(settings.steps, 'iteration')} true utility went from {utility[:, 0].mean():.3g} to "
        f"**{end:.3g}**"
        + ("" if best is None else f" (optimum {best:.3g})")
        + f". The reward model estimates {proxy:.3g}, which is {over}. {share(spot)} of the policy lies in "
        f"the blind spot. {fell} of {n} seeds collapsed: they ended {COLLAPSE}."
    )

    def interval(name: str, form: Callable[[float], str] = "{:.3g}".format) -> str:
        low, high = report[f"{name}_ci95"]
        return "" if low is None or n == 1 else f"95 % interval {form(low)} to {form(high)}"

    tiles = [
        ("true utility, final", f"{end:.3g}", interval("true_utility_final")),
        ("proxy reward, final", f"{proxy:.3g}", interval("proxy_reward_final")),
        ("in the blind spot", share(spot), interval("blind_spot_mass_final", share)),
        ("seeds collapsed", f"{fell} of {n}", interval("collapse_rate", share)),
    ]
    section = Section(
        settings.names.environment,
        story,
        [_summary_table(report)],
        pictures,
        view_of({objective: result}),
        tiles,
        result.warnings(),
        [settings],
    )
    return f"{settings.names.environment.capitalize()}, {method}: {verdict}", section


def _summary_table(report: Mapping[str, Any]) -> str:
    rows = []
    for name, value in report.items():
        if f"{name}_ci95" in report:
            low, high = report[f"{name}_ci95"]
            count = report.get(f"{name}_n", report["seeds_reported"])
            interval = "–" if low is None else f"{low:.4g} to {high:.4g}"
            shown = "undefined" if value is None else f"{value:.4g}"
            rows.append([name.replace("_", " "), shown, interval, str(count)])
    return markdown_table(["quantity", "mean over seeds", "95 % interval", "n"], rows)
