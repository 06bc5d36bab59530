"use strict";
// Draws the charts from the data of the page. Every chart is a function of three things: whether the background is
// light or dark, which methods are switched on, and, in a player, the iteration. When one changes, it is drawn again.

const root = document.documentElement;
const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
const inkOf = (style) => (style ? style[root.dataset.theme] : colour("accent"));
const faint = (hex) => hex + "2B";

// ---- charts

function axis(title, more) {
  const line = { gridcolor: colour("grid"), zerolinecolor: colour("line"), linecolor: colour("line") };
  const text = { text: title ?? "", standoff: 6, font: { size: 12, color: colour("quiet") } };
  const ticks = { tickfont: { size: 11, color: colour("quiet") }, nticks: 6, exponentformat: "power" };
  return { ...line, ...ticks, title: text, automargin: true, showspikes: false, ...more };
}

function layout(more) {
  const clear = "rgba(0,0,0,0)";
  return {
    paper_bgcolor: clear, plot_bgcolor: clear, showlegend: false, hovermode: "closest", autosize: true,
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("ink") },
    margin: { l: 40, r: 10, t: 8, b: 36 },
    hoverlabel: { bgcolor: colour("card"), bordercolor: colour("line"), font: { size: 12, color: colour("ink") } },
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", // a finger scrolls the page
    ...more,
  };
}

function places(ticks, count) { // an axis of places, with the names of some of them
  const names = ticks ?? [...Array(count).keys()].map(String);
  const every = Math.max(1, Math.ceil(names.length / 5));
  const shown = names.map((_, i) => i).filter((i) => i % every === 0);
  return { tickmode: "array", tickvals: shown, ticktext: shown.map((i) => names[i]), showgrid: false, zeroline: false };
}

function level({ value, label, vertical, dash, ...style }, isLog) { // a line across the whole chart, named at its end
  const ink = inkOf(style), at = isLog ? Math.log10(value) : value;
  const line = { color: ink, width: 1, dash };
  const text = { text: label, showarrow: false, font: { size: 11, color: colour("quiet") } };
  const ends = vertical
    ? { yref: "paper", y0: 0, y1: 1, x0: value, x1: value } : { xref: "paper", x0: 0, x1: 1, y0: value, y1: value };
  const place = vertical
    ? { yref: "paper", y: 1, yanchor: "top", x: at, xanchor: "left" } : { xref: "paper", x: 1, xanchor: "right", y: at, yanchor: "bottom" };
  return { shapes: [{ type: "line", ...ends, line }], annotations: label ? [{ ...text, ...place }] : [] };
}

function scaled({ title, log, limits, places: at, names }, values) { // one axis of a chart, from its description
  const form = {};
  if (limits) form.range = log ? limits.map(Math.log10) : limits;
  if (at) return axis(title, { ...form, tickmode: "array", tickvals: at, ticktext: names.map((name) => name.replaceAll("\n", "<br>")) });
  if (!log) return axis(title, form);
  const positive = values.filter((v) => v > 0); // a short logarithmic axis has ticks 1, 2, 5, a long one powers of ten
  const decades = Math.log10(Math.max(...positive) / Math.min(...positive));
  return axis(title, { ...form, type: "log", dtick: decades < 3 ? "D2" : Math.ceil(decades / 4) });
}

function lineOf(one, x) { // a line with the band around it, which comes first
  const ink = inkOf(one), traces = [];
  const common = { x, type: "scatter", mode: "lines", connectgaps: false };
  const edge = { ...common, line: { width: 0, simplify: false }, hoverinfo: "skip" };
  if (one.low) {
    traces.push({ ...edge, y: one.low }, { ...edge, y: one.high, fill: "tonexty", fillcolor: faint(ink) });
  }
  const band = one.low ? "  <i>%{customdata[0]:.4~g} – %{customdata[1]:.4~g}</i>" : "";
  const told = one.label && !one.faint
    ? { hovertemplate: `${one.label}: <b>%{y:.4~g}</b>${band}<extra></extra>` } : { hoverinfo: "skip" };
  const last = one.y.length - 1;
  const marker = one.dot ? { size: one.y.map((_, i) => (i === last ? 7 : 0)), opacity: 1 } : { size: 5 };
  traces.push({
    ...common, y: one.y, name: one.label, mode: one.markers || one.dot ? "lines+markers" : "lines", marker,
    line: { color: ink, width: one.width + 0.5, dash: one.dash, shape: one.stairs ? "hv" : "linear", simplify: false },
    opacity: one.faint ? 0.3 : 1, customdata: one.low?.map((low, i) => [low, one.high[i]]), ...told,
  });
  return traces;
}

function dotsOf(one, chart) {
  const off = (ends, sign) => ends.map((end, i) => sign * (end - (one.sideways ? one.x : one.y)[i]));
  const bars = one.low && {
    type: "data", symmetric: false, array: off(one.high, 1), arrayminus: off(one.low, -1), width: 0, thickness: 4, color: inkOf(one) + "59",
  };
  const named = ({ title, names }, d) => (names ? "" : `<br>${title}: %{${d}:.3~g}`);
  return [{
    type: "scatter", mode: "markers", x: one.x, y: one.y, name: one.label,
    marker: { color: inkOf(one), size: 2 * one.size, symbol: one.hollow ? "circle-open" : "circle" },
    ...(bars ? { [one.sideways ? "error_x" : "error_y"]: bars } : {}),
    hovertemplate: `${one.label}${named(chart.x_axis, "x")}${named(chart.y_axis, "y")}<extra></extra>`,
  }];
}

function barsOf(one) {
  const along = one.sideways ? { orientation: "h", x: one.lengths, y: one.places } : { x: one.places, y: one.lengths };
  return [{
    type: "bar", ...along, base: one.starts, name: one.label, text: one.written, textposition: "inside", textangle: 0,
    insidetextanchor: "middle", insidetextfont: { color: "#FFFFFF" }, marker: { color: inkOf(one) },
    customdata: one.lengths, hovertemplate: `${one.label} <b>%{customdata:.3~g}</b><extra></extra>`,
  }];
}

const draw = {
  // lines, points and bars on two axes, with levels across and spans behind them
  marks(chart, styleOf) {
    const shown = chart.marks.filter((one) => one.method === undefined || styleOf(one.method));
    const traces = shown.flatMap((one) => {
      if (one.kind === "line") return lineOf(one, one.x ?? chart.x);
      if (one.kind === "points") return dotsOf(one, chart);
      return one.kind === "bars" ? barsOf(one) : [];
    });
    const across = shown.filter((one) => one.kind === "level").map((one) => level(one, chart[one.vertical ? "x_axis" : "y_axis"].log));
    const ground = shown.filter((one) => one.kind === "span").map((one) => (
      { type: "rect", yref: "paper", y0: 0, y1: 1, x0: one.low, x1: one.high, fillcolor: colour("mark"), opacity: 0.15, line: { width: 0 }, layer: "below" }));
    const values = (d) => chart.marks.flatMap((one) => one[d] ?? (d === "x" && one.kind === "line" ? chart.x : []));
    const together = chart.x !== undefined; // all lines share their places
    return [traces, layout({
      hovermode: together ? "x unified" : "closest", barmode: "overlay", bargap: 0.3,
      xaxis: { ...scaled(chart.x_axis, values("x")), unifiedhovertitle: { text: `${chart.x_axis.title} %{x}` } },
      yaxis: scaled(chart.y_axis, values("y")),
      shapes: [...ground, ...across.flatMap((one) => one.shapes)],
      annotations: across.flatMap((one) => one.annotations),
    })];
  },

  // values over a grid: results of a sweep, or a policy's share of each place at one frame of a player
  map(chart, styleOf, frame, limits) {
    const values = frame ?? chart.z, rows = values.length, columns = values[0].length;
    const ofPolicy = chart.marked !== undefined;
    const shade = ofPolicy ? Math.sqrt : (v) => v;
    const [low, high] = limits ?? chart.limits;
    const [down, across] = chart.axes;
    const names = (d, i) => (chart.ticks ? chart.ticks[d][i] : i);
    const told = values.map((row, r) => row.map((v, c) => {
      const remark = ofPolicy ? `<br>true utility ${chart.utility[r][c]}${chart.marked[r][c] ? "<br>blind spot" : ""}` : "";
      return `${down} ${names(0, r)}, ${across} ${names(1, c)}<br>${chart.unit ?? "value"} <b>${v ?? "undefined"}</b>${remark}`;
    }));
    const trace = {
      type: "heatmap", z: values.map((row) => row.map((v) => (v === null ? null : shade(v)))), text: told,
      hovertemplate: "%{text}<extra></extra>", zmin: shade(Math.max(low, ofPolicy ? 0 : low)), zmax: shade(high),
      colorscale: ofPolicy ? [[0, colour("heat-low")], [1, colour("heat-high")]] : chart.colours ?? "Viridis",
      showscale: !ofPolicy && frame === undefined, colorbar: { thickness: 10, outlinewidth: 0, tickfont: { size: 10 } },
      xgap: ofPolicy ? 1 : 0, ygap: ofPolicy ? 1 : 0,
    };
    const more = ofPolicy ? marks(chart, rows, columns) : {};
    const square = ofPolicy && down === "row" ? { scaleanchor: "y", constrain: "domain" } : {};
    return [[trace], layout({
      xaxis: axis(across, { ...places(chart.ticks?.[1], columns), ...square, fixedrange: true }),
      yaxis: axis(down, { ...places(chart.ticks?.[0], rows), fixedrange: true,
        constrain: "domain", ...(ofPolicy ? { autorange: "reversed" } : {}) }),
      ...more,
    })];
  },

  bars(panel, styleOf, frame, limits) {
    const ink = inkOf(styleOf(panel.method)), count = frame.length;
    const told = frame.map((v, i) => `${panel.axes[0]} ${panel.ticks?.[0][i] ?? i}<br>${panel.unit} <b>${v}</b>`
      + (panel.utility ? `<br>true utility ${panel.utility[i]}` : "") + (panel.marked?.[i] ? "<br>blind spot" : ""));
    const x = frame.map((_, i) => i), marked = panel.marked ?? [];
    const traces = [{
      type: "bar", x, y: frame, text: told, textposition: "none", hovertemplate: "%{text}<extra></extra>",
      marker: { color: x.map((i) => (marked[i] ? colour("mark") : ink)) },
    }];
    if (panel.utility) {
      traces.push({
        type: "scatter", mode: "markers", x, y: panel.utility, yaxis: "y2", hoverinfo: "skip",
        marker: { size: 4, color: colour("quiet") },
      });
    }
    const ground = { fillcolor: colour("mark"), opacity: 0.1, line: { width: 0 }, layer: "below" };
    const shapes = x.filter((i) => marked[i]).map((i) => (
      { type: "rect", yref: "paper", x0: i - 0.5, x1: i + 0.5, y0: 0, y1: 1, ...ground }));
    const least = Math.min(0, ...(panel.utility ?? [0])), most = Math.max(...(panel.utility ?? [1]));
    return [traces, layout({
      bargap: 0.2, shapes,
      xaxis: axis(panel.axes[0], { ...places(panel.ticks?.[0], count), fixedrange: true, range: [-0.7, count - 0.3] }),
      yaxis: axis("", { range: [limits[0], 1.04 * limits[1]], fixedrange: true, nticks: 4 }),
      yaxis2: { overlaying: "y", visible: false, range: [least, 1.04 * most], fixedrange: true },
    })];
  },

  dots(panel, styleOf, frame, limits, player) {
    const [across, up] = player.titles, [x, y] = player.ranges;
    const trace = {
      type: "scatter", mode: "markers", x: frame[0], y: frame[1],
      marker: { color: inkOf(styleOf(panel.method)), size: 6, opacity: 0.65 },
      hovertemplate: `one seed<br>${across}: %{x:.3~g}<br>${up}: %{y:.3~g}<extra></extra>`,
    };
    const line = { color: colour("quiet"), width: 1, dash: "dot" };
    const ends = [Math.min(x[0], y[0]), Math.max(x[1], y[1])];
    const shapes = player.diagonal
      ? [{ type: "line", x0: ends[0], y0: ends[0], x1: ends[1], y1: ends[1], line, layer: "below" }] : [];
    return [[trace], layout({
      shapes, xaxis: axis(across, { range: x, fixedrange: true, nticks: 4 }),
      yaxis: axis(up, { range: y, fixedrange: true, nticks: 4 }),
    })];
  },
};

function marks(panel, rows, columns) { // frames the blind spot, greys unreachable places, puts a star at the best
  const shapes = [], annotations = [];
  const best = Math.max(...panel.utility.flat());
  const box = (r, c, inset) => ({ type: "rect", x0: c - inset, x1: c + inset, y0: r - inset, y1: r + inset });
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) {
    if (panel.unreached[r][c]) shapes.push({ ...box(r, c, 0.5), fillcolor: colour("shut"), line: { width: 0 } });
    if (panel.marked[r][c]) shapes.push({ ...box(r, c, 0.44), line: { color: colour("mark"), width: 2 } });
    if (panel.utility[r][c] === best && best > 0) {
      annotations.push({ x: c, y: r, text: "★", showarrow: false, font: { size: 12, color: colour("mark") } });
    }
  }
  return { shapes, annotations };
}
