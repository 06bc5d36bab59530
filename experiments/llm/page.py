"""The page of a run of the pipeline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fpo_jax.experiments.llm.figures import charts, smoothed_over, style_of
from fpo_jax.experiments.llm.settings import TrainSettings
from fpo_jax.experiments.report.parts import Section, View, markdown_table


def section_of(
    settings: TrainSettings,
    report: Mapping[str, Any],
    measured: Mapping[str, np.ndarray],
    pictures: Sequence[Path],
) -> Section:
    """Return the run as a section of a page."""
    part = report["averaged_over_steps"]
    ends = {name: [report[f"{name}_{end}"] for end in ("first", "final")] for name in measured}
    utility, proxy = ends["true_utility"], ends["proxy_reward"]
    story = (
        f"Over {settings.steps} prompts the oracle's reward of the winner went from {utility[0]:.3g} to "
        f"**{utility[1]:.3g}**, and the reward model's from {proxy[0]:.3g} to {proxy[1]:.3g}: means of the "
        f"first and of the last {part}."
    )
    if "held_out_accuracy" in ends:
        before, after = (100 * report[f"held_out_accuracy_{name}"] for name in ("drawn", "fitted"))
        later, here = (
            [100 * value for value in ends[name]] for name in ("held_out_accuracy", "on_policy_accuracy")
        )
        story += (
            f" The reward head was fitted on {report['fit_pairs']:.0f} pairs of the base model's answers. Of "
            f"{report['held_out_pairs']:.0f} held-out pairs it then ordered **{after:.1f} %** as the oracle "
            f"does ({before:.1f} % before the fit), and {later[1]:.1f} % at the end; of the policy's own "
            f"candidates {here[0]:.1f} % at first and **{here[1]:.1f} %** at the end."
        )
    rows = [[name.replace("_", " "), *(f"{value:.4g}" for value in values)] for name, values in ends.items()]
    tiles = [
        ("oracle's reward, final", f"{utility[1]:.3g}", ""),
        ("proxy reward, final", f"{proxy[1]:.3g}", ""),
        ("winners changed by the penalty", f"{100 * measured['overruled'].mean():.0f} %", "of all steps"),
        ("log π_θ − log π_ref, final", f"{ends['kl'][1]:.3g}", "nats"),
    ]
    table = markdown_table(["quantity", f"first {part}", f"last {part}"], rows)
    width = smoothed_over(settings)
    caption = (
        "One prompt a step." if width == 1 else f"Pale: one prompt a step. Bold: mean of the last {width}."
    )
    view = View({settings.mode: style_of(settings)}, charts(settings, measured), caption)
    return Section("llm", story, [table], pictures, view, tiles)
