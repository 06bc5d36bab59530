// The page: its background, and in each section a legend, charts and a player.

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

// ---- background: the system's, until the reader chooses

const system = matchMedia("(prefers-color-scheme: dark)");
let chosen = null;

function setGround() {
  root.dataset.theme = chosen ?? (system.matches ? "dark" : "light");
  document.querySelector("#theme span").textContent = root.dataset.theme === "dark" ? "light" : "dark";
  redraws.forEach((redraw) => redraw());
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
    let near = false; // a chart far from the window is not drawn yet
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
  slider.value = last; // it shows the end; "play" starts from the beginning
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

// ---- the charting library, which the page holds compressed

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
