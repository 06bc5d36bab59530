"""Charts of results: over iterations, against hyperparameters, route by route."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from fpo_jax import plotting
from fpo_jax.experiments.core.wording import told_apart
from fpo_jax.experiments.ladder.decompose import Decomposed
from fpo_jax.experiments.ladder.report import COINCIDES, DRAWN, REFERENCE
from fpo_jax.experiments.report.parts import Drawn, View, numbers
from fpo_jax.experiments.report.players import play_grids, play_results, play_seeds
from fpo_jax.experiments.runs import figures
from fpo_jax.experiments.runs.execution import Result
from fpo_jax.experiments.sweeps.dataset import per_seed
from fpo_jax.experiments.sweeps.figures import FEW, MAPS, cell_name, counted, in_order
from fpo_jax.statistics import mean_interval, share_interval

MOST_POINTS = 300
"""Points of a curve."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SAY_CURVES = "Line: mean over {n}. Band: the middle 80 % of seeds."


def of_results(results: Mapping[str, Result]) -> View:
    """Return the view of runs of several methods on the same seeds."""
    counts = sorted({len(result.seeds) for result in results.values()})
    n = f"{'–'.join(map(str, {counts[0]: 0, counts[-1]: 0}))} seed{'s' * (counts[-1] > 1)}"
    styles = _styles(results)
    first = next(iter(results.values()))
    names = list(dict.fromkeys([*figures.TITLES, *first.metrics]))  # known ones in the order of their titles
    names = [name for name in names if all(name in result.metrics for result in results.values())]
    best = {"value": numbers(first.optimum.mean()), "label": "no policy exceeds this"}
    charts = []
    for name in names:
        series = []
        for label, result in results.items():
            steps = _thinned(result.settings.steps + 1)
            own = {} if result.settings.steps == first.settings.steps else {"x": steps.tolist()}
            series.append(_over_seeds(label, result.metrics[name][:, steps]) | own)
        x = _thinned(first.settings.steps + 1)
        chart = _lines(figures.TITLES.get(name, name), "iteration", x, series)
        charts.append(chart | {"ideal": best} if name == "true_utility" else chart)
    finals = {label: result.metrics["true_utility"][:, -1] for label, result in results.items()}
    if counts[-1] > 1:
        charts.append(_staircase(finals))
    player, playing = play_results(results)
    caption = SAY_CURVES.format(n=n) + (
        " The last chart counts, for each true utility, the seeds that end below it."
        if counts[-1] > 1
        else ""
    )
    return View(styles, charts, caption, player, playing)


def of_sweep(dataset: xr.Dataset) -> View:
    """Return the view of a sweep: curves of few cells, lines against one hyperparameter, or maps over two."""
    dataset, varied, numeric = in_order(dataset)
    runs = per_seed(dataset)
    methods = [str(method) for method in dataset["objective"].values]
    styles = plotting.styles({method: method for method in methods})
    if not np.isfinite(runs["true_utility_final"].values).any():
        return View(styles, playing="Every run diverged, so that there is nothing to draw.")
    charts: list[Drawn] = []
    said = []
    n = counted(runs["true_utility_final"])
    if dataset["optimum"].isel(seed=0).size <= FEW:
        charts += _cell_curves(dataset)
        said.append(SAY_CURVES.format(n=f"{n} seeds") + " A method's cells differ in their dashes.")
    if len(numeric) == 1:
        charts += _against(runs, numeric[0])
        said.append(f"Against {numeric[0]}: means over {n} seeds with 95 % intervals.")
    elif len(numeric) > 1:
        charts += _maps(runs, numeric[0], numeric[1])
        said.append(f"Maps: means over {n} seeds a cell, the same in each; one colour scale for all methods.")
    rest = [dim for dim in varied if dim not in numeric[:2]]
    if rest and numeric:
        said.append(f"What else is varied, {', '.join(rest)}, has its first value there.")
    if numeric:
        player, playing = play_grids(dataset, numeric[:2])
    else:
        first = dataset.isel({dim: 0 for dim in varied})
        cells = {method: metrics_of(first.sel(objective=method)) for method in methods}
        player, playing = play_seeds({m: c for m, c in cells.items() if c}, dataset["step"].values)
    return View(styles, charts, " ".join(said), player, playing)


def of_decomposed(decomposed: Decomposed) -> View:
    """Return the view of a comparison of routes to the true gradient."""
    routes = {label: route for label, route in decomposed.routes.items() if label != REFERENCE}
    styles = plotting.ladder_styles(list(routes))
    errors = {label: route.error for label, route in routes.items()}
    apart = {label: route for label, route in routes.items() if not errors[label] < COINCIDES}
    charts = []
    for name, title in DRAWN.items():
        series = [_over_seeds(label, route.measures[name], np.nanmedian) for label, route in apart.items()]
        chart = _lines(title, "iteration", decomposed.iterations, series)
        chart["ideal"] = {"value": 1.0, "label": f"exact, and {len(routes) - len(apart)} routes like it"}
        charts.append(chart | ({"y_scale": "log"} if name == "norm_ratio" else {}))
    dots = [
        {
            "method": label,
            "x": [numbers(1e6 * routes[label].seconds)],
            "y": [max(error, 1e-16)],
            "text": [label],
        }
        for label, error in errors.items()
        if np.isfinite(error)
    ]
    charts.append(
        {"kind": "points", "title": "error against cost", "series": dots, "x_title": "µs an estimate"}
        | {"y_title": "relative error, median", "x_scale": "log", "y_scale": "log"}
    )
    norms = [_over_seeds(f"{n} part", values, np.nanmedian) for n, values in decomposed.norms.items()]
    for one, style in zip(norms, (plotting.RLHF, plotting.EXACT), strict=True):
        one |= {"method": None, "style": style}
    charts.append(_lines("norms of the two parts of dF/dθ", "iteration", decomposed.iterations, norms))
    charts[-1]["y_scale"] = "log"
    caption = (
        f"Line: median of {decomposed.settings.seeds} seeds. Band: the middle 80 % of them. Routes within "
        f"{COINCIDES:g} of the exact one lie on the dashed line, and are drawn in the chart of costs only. "
        "Of the norms, red is that of the standard part, dark blue that of the steering part."
    )
    playing = (
        "Nothing is played here: gradients are compared along runs; the report of a run plays the policy."
    )
    return View(styles, charts, caption, None, playing)


def _styles(results: Mapping[str, Result]) -> dict[str, plotting.Style]:
    styles = figures.method_styles(results)
    return styles if len(set(styles.values())) == len(styles) else plotting.ladder_styles(list(styles))


def _thinned(entries: int) -> np.ndarray:
    """Return which entries to draw: half evenly spaced, half geometrically, since most happens early."""
    half = MOST_POINTS // 2
    evenly, early = np.linspace(0, entries - 1, half), np.geomspace(1, entries, half) - 1
    return np.unique(np.round(np.concatenate([evenly, early])).astype(int))


def _lines(title: str, x_title: str, x: Any, series: Sequence[Drawn]) -> Drawn:
    places = [numbers(place) if isinstance(place, float | np.floating) else int(place) for place in x]
    return {"kind": "lines", "title": title, "x_title": x_title, "x": places, "series": list(series)}


def _over_seeds(label: str, values: np.ndarray, centre: Any = np.nanmean) -> Drawn:
    """Return the line of [seed, entry] and its band; None where no seed is defined."""
    defined = np.isfinite(values).any(axis=0)
    line, low, high = np.full((3, values.shape[1]), np.nan)
    inside = np.where(np.isfinite(values), values, np.nan)[:, defined]
    if defined.any():
        line[defined] = centre(inside, axis=0)
        low[defined], high[defined] = np.nanquantile(inside, [0.1, 0.9], axis=0)
    band = {"low": numbers(low), "high": numbers(high)} if len(values) > 1 else {}
    return {"method": label, "label": label, "y": numbers(line)} | band


def _staircase(finals: Mapping[str, np.ndarray]) -> Drawn:
    series = []
    for label, values in finals.items():
        ends = np.sort(values)[[0, *_thinned(len(values))]]
        share = np.array([0, *(_thinned(len(values)) + 1)]) / len(values)
        series.append(
            {"method": label, "label": label, "x": numbers(ends), "y": numbers(share), "stairs": True}
        )
    title = "share of seeds that end below"
    return {"kind": "lines", "title": title, "x_title": "true utility, final", "series": series}


def metrics_of(cell: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the metrics of one cell, [seed, entry], without the seeds that diverged."""
    names = [str(name) for name, variable in cell.items() if "step" in variable.dims]
    arrays = {name: cell[name].transpose("seed", "step").values for name in names}
    stays = np.isfinite(arrays["true_utility"][:, -1])
    return {name: values[stays] for name, values in arrays.items() if np.isfinite(values[stays, 0]).any()}


def _cell_curves(dataset: xr.Dataset) -> list[Drawn]:
    dims = [str(dim) for dim in dataset["optimum"].dims if dim != "seed"]
    grid = {dim: dataset[dim].values for dim in dims}
    charts = []
    for name in ("true_utility", "proxy_reward", "blind_spot_mass"):
        dashes: dict[str, Any] = {}
        series = []
        for point in itertools.product(*grid.values()):
            method = str(point[dims.index("objective")])
            values = metrics_of(dataset.sel(dict(zip(dims, point, strict=True)))).get(name)
            if values is not None and len(values):
                dash = next(dashes.setdefault(method, itertools.cycle(DASHES)))
                line = _over_seeds(method, values) | {"label": cell_name(point, grid), "dash": dash}
                series.append(line)
        charts.append(_lines(figures.TITLES[name], "iteration", dataset["step"].values, series))
    return charts


def _at_first(runs: xr.Dataset, kept: Sequence[str]) -> xr.Dataset:
    return runs.isel({dim: 0 for dim in runs["optimum"].dims if dim not in ("objective", "seed", *kept)})


def _against(runs: xr.Dataset, x: str) -> list[Drawn]:
    runs = _at_first(runs, [x])
    charts = []
    for name, title in MAPS.items():
        series = []
        for method in runs["objective"].values:
            values = runs[name].sel(objective=method).transpose(x, "seed").values
            estimate = share_interval(values) if name == "collapsed" else mean_interval(values)
            line, low, high = (numbers(v) for v in (estimate.mean, estimate.low, estimate.high))
            series.append({"method": str(method), "label": str(method), "y": line, "low": low, "high": high})
        chart = _lines(title, x, runs[x].values, series) | {"markers": True}
        charts.append(chart | ({"x_scale": "log"} if plotting.is_geometric(runs[x].values) else {}))
    return charts


def _maps(runs: xr.Dataset, x: str, y: str) -> list[Drawn]:
    runs = _at_first(runs, [x, y])
    charts = []
    for name, title in MAPS.items():
        values = runs[name].mean("seed").transpose("objective", y, x)
        limits = [min(0.0, float(values.min())), float(values.max())]
        for method in values["objective"].values:
            charts.append(
                {
                    "kind": "map",
                    "method": str(method),
                    "title": f"{method}: {title}",
                    "axes": [y, x],
                    "ticks": [told_apart(runs[dim].values.tolist()) for dim in (y, x)],
                    "z": numbers(values.sel(objective=method).values),
                    "limits": numbers(limits),
                }
            )
    return charts
