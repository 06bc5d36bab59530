"use strict";
// Draws what the data of the page say. Every chart is a function of three things: whether the ground is light or
// dark, which methods are switched on, and, in a player, the iteration. When one changes, it is drawn again.

const root = document.documentElement;
const read = (id) => document.getElementById(id).textContent;
const sections = JSON.parse(read("data"));
const redraws = []; // one for each section
const config = { displayModeBar: false };
const FRAME = 120; // milliseconds

function make(parent, tag, className, text) {
  const element = parent.appendChild(document.createElement(tag));
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

// ---- ground: the system's, until the reader chooses

const system = matchMedia("(prefers-color-scheme: dark)");
let chosen = null;

function setGround() {
  root.dataset.theme = chosen ?? (system.matches ? "dark" : "light");
  document.querySelector("#theme span").textContent = root.dataset.theme === "dark" ? "light" : "dark";
  redraws.forEach((redraw) => redraw());
}

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

function places(ticks, count) { // an axis of places: a few of their names
  const names = ticks ?? [...Array(count).keys()].map(String);
  const every = Math.max(1, Math.ceil(names.length / 5));
  const shown = names.map((_, i) => i).filter((i) => i % every === 0);
  return { tickmode: "array", tickvals: shown, ticktext: shown.map((i) => names[i]), showgrid: false, zeroline: false };
}

function level({ value, label }, isLog) { // a dashed line across, named at its right end
  const y = isLog ? Math.log10(value) : value;
  const line = { color: colour("ink"), width: 1, dash: "dash" };
  const text = { text: label, showarrow: false, font: { size: 11, color: colour("quiet") } };
  return {
    shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: value, y1: value, line }],
    annotations: [{ ...text, xref: "paper", x: 1, xanchor: "right", y, yanchor: "bottom" }],
  };
}

function scale(kind, values) { // a logarithmic axis says 1, 2, 5, or powers of ten where it is long
  if (kind !== "log") return {};
  const decades = Math.log10(Math.max(...values) / Math.min(...values));
  return { type: "log", dtick: decades < 3 ? "D2" : Math.ceil(decades / 4) };
}

const draw = {
  lines(chart, styleOf) {
    const traces = [];
    for (const one of chart.series) {
      const style = one.light ? one : styleOf(one.method);
      if (!style) continue;
      const ink = inkOf(style), x = one.x ?? chart.x;
      const common = { x, type: "scatter", mode: "lines", connectgaps: false };
      const edge = { ...common, line: { width: 0, simplify: false }, hoverinfo: "skip" };
      if (one.low) {
        traces.push({ ...edge, y: one.low }, { ...edge, y: one.high, fill: "tonexty", fillcolor: faint(ink) });
      }
      const band = one.low ? "  <i>%{customdata[0]:.4~g} – %{customdata[1]:.4~g}</i>" : "";
      traces.push({
        ...common, y: one.y, name: one.label, mode: chart.markers ? "lines+markers" : "lines", marker: { size: 5 },
        line: { color: ink, width: 2, dash: one.dash ?? style.dash, shape: one.stairs ? "hv" : "linear", simplify: false },
        customdata: one.low?.map((low, i) => [low, one.high[i]]),
        hovertemplate: `${one.label}: <b>%{y:.4~g}</b>${band}<extra></extra>`,
      });
    }
    const together = chart.x !== undefined; // all lines at one iteration
    return [traces, layout({
      hovermode: together ? "x unified" : "closest",
      xaxis: axis(chart.x_title, { ...scale(chart.x_scale, chart.x), unifiedhovertitle: { text: `${chart.x_title} %{x}` } }),
      yaxis: axis("", scale(chart.y_scale, chart.series.flatMap((one) => one.y.filter((v) => v > 0)))),
      ...(chart.ideal ? level(chart.ideal, chart.y_scale === "log") : {}),
    })];
  },

  points(chart, styleOf) {
    const traces = chart.series.filter((one) => styleOf(one.method)).map((one) => ({
      type: "scatter", mode: "markers", x: one.x, y: one.y, name: one.method,
      marker: { color: inkOf(styleOf(one.method)), size: 10 },
      hovertemplate: `${one.method}<br>${chart.x_title}: %{x:.3~g}<br>${chart.y_title}: %{y:.2~g}<extra></extra>`,
    }));
    const [x, y] = ["x", "y"].map((d) => axis(chart[`${d}_title`], scale(chart[`${d}_scale`], chart.series.flatMap((one) => one[d]))));
    return [traces, layout({ xaxis: x, yaxis: y })];
  },

  // values over a grid of places: a sweep's, or a policy's share of each, at a player's frame
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
      colorscale: ofPolicy ? [[0, colour("heat-low")], [1, colour("heat-high")]] : "Viridis",
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

function marks(panel, rows, columns) { // frames around the blind spot, grey where no policy gets, a star at the best
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

// ---- one section: its legend, its charts, its player

const approaching = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    approaching.unobserve(target);
    target.approach();
  }
}, { rootMargin: "600px" });
const resizing = new ResizeObserver((entries) => {
  for (const { target } of entries) if (target.offsetWidth) Plotly.Plots.resize(target);
});
addEventListener("beforeprint", () => document.querySelectorAll(".chart, .panel").forEach((card) => card.approach()));

function build(section, element) {
  const on = Object.fromEntries(Object.entries(section.methods).map(([label, style]) => [label, style.on]));
  const styleOf = (label) => (on[label] ? section.methods[label] : undefined);
  const shown = []; // functions that draw, each for one chart or panel

  function place(parent, className, chart, frameOf) {
    const card = make(parent, "div", className);
    card.dataset.method = chart.method ?? "";
    const heading = make(card, "h4", "", chart.title ?? chart.method);
    const title = chart.titles ? make(heading, "span") : null;
    const plot = make(card, "div", "plot");
    plot.setAttribute("role", "img");
    plot.setAttribute("aria-label", chart.title ?? `${chart.method}, at the iteration chosen`);
    let near = false; // what is far from the window waits
    const show = () => {
      card.hidden = chart.method !== undefined && !on[chart.method];
      const frame = frameOf?.();
      if (title) title.textContent = chart.titles[frame];
      if (card.hidden || !near) return;
      const player = section.player;
      const [traces, form] = draw[chart.kind](chart, styleOf, chart.frames?.[frame], frameOf && player.limits, player);
      Plotly.react(plot, traces, form, config);
    };
    card.approach = () => { near = true; show(); resizing.observe(plot); };
    approaching.observe(card);
    shown.push(show);
  }

  const redraw = () => shown.forEach((one) => one());
  legend(section, element.querySelector(".legend"), on, redraw);
  if (section.player) play(section.player, element.querySelector(".player"), place, shown);
  const charts = element.querySelector(".charts");
  section.charts.forEach((chart) => place(charts, "chart", chart));
  return redraw;
}

function legend(section, element, on, redraw) {
  if (!element) return;
  for (const [label, style] of Object.entries(section.methods)) {
    const button = make(element, "button");
    button.type = "button";
    const stroke = `stroke-width="3" stroke-dasharray="${style.dash === "solid" ? "" : style.dash.replaceAll("px", "")}"`;
    button.innerHTML = `<svg aria-hidden="true"><line x1="0" y1="4" x2="26" y2="4" ${stroke}></line></svg>`;
    make(button, "span", "", label);
    const paint = () => button.querySelector("line").setAttribute("stroke", inkOf(style));
    const press = () => button.setAttribute("aria-pressed", on[label]);
    button.addEventListener("click", () => { on[label] = !on[label]; press(); redraw(); });
    redraws.push(paint);
    paint();
    press();
  }
}

function play(player, element, place, shown) {
  const slider = element.querySelector("input"), output = element.querySelector("output");
  const button = element.querySelector(".play"), last = player.iterations.length - 1;
  const panels = element.querySelector(".panels");
  slider.max = last;
  slider.value = last; // where it ended; playing begins anew
  const before = shown.length;
  player.panels.forEach((panel) => place(panels, "panel", panel, () => +slider.value));
  const own = shown.slice(before);
  let timer = null;

  function show() {
    const iteration = `iteration ${player.iterations[+slider.value]}`;
    output.textContent = iteration;
    slider.setAttribute("aria-valuetext", iteration);
    own.forEach((one) => one());
  }
  function stop() {
    clearInterval(timer);
    timer = null;
    button.textContent = "▶";
    button.setAttribute("aria-label", "play");
  }
  function start() {
    if (+slider.value === last) slider.value = 0;
    button.textContent = "❚❚";
    button.setAttribute("aria-label", "pause");
    timer = setInterval(() => {
      slider.value = +slider.value + 1;
      show();
      if (+slider.value === last) stop();
    }, FRAME);
    show();
  }
  button.addEventListener("click", () => (timer === null ? start() : stop()));
  slider.addEventListener("input", () => { stop(); show(); });
  stop();
  output.textContent = `iteration ${player.iterations[last]}`;
}

// ---- the charting library is compressed in the page itself

async function unpack() {
  const bytes = Uint8Array.from(atob(read("plotly").trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  make(document.head, "script").textContent = await new Response(stream).text();
}

setGround();
system.addEventListener("change", setGround);
document.getElementById("theme").addEventListener("click", () => {
  chosen = root.dataset.theme === "dark" ? "light" : "dark";
  setGround();
});
if (sections.some((section) => section.charts.length || section.player)) {
  unpack().then(() => {
    document.querySelectorAll("[data-section]").forEach((element) => {
      redraws.push(build(sections[element.dataset.section], element));
    });
    redraws.forEach((redraw) => redraw());
    root.dataset.ready = "yes";
  }).catch((error) => {
    const trouble = document.getElementById("trouble");
    trouble.hidden = false;
    trouble.textContent = `The charts could not be drawn: ${error.message}. Tables and figures are below.`;
    console.error(error);
  });
}
