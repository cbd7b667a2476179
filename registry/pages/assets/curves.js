// Curves of metrics: drawn as SVG from the points that the server has, of which there are never
// more than a screen can show. Zooming asks for the points of that part.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const LEFT = 66, RIGHT = 14, TOP = 12, BOTTOM = 34, HEIGHT = 340;

function element(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// A number as the server writes it, which has texts for what JSON lacks.
function numeric(value) {
  if (value === "Infinity") return Infinity;
  if (value === "-Infinity") return -Infinity;
  return typeof value === "number" ? value : NaN;
}

function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(2).replace("-", "−");
  return String(Number(value.toPrecision(5))).replace("-", "−");
}

function seconds(value) {
  if (value < 120) return `${Number(value.toPrecision(3))} s`;
  if (value < 7200) return `${Number((value / 60).toPrecision(3))} min`;
  return `${Number((value / 3600).toPrecision(3))} h`;
}

// Round values that divide a range into about `count` parts.
function ticks(low, high, count) {
  const span = high - low;
  if (!(span > 0) || !Number.isFinite(span)) return [low];
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const unit = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const found = [];
  for (let at = Math.ceil(low / unit) * unit; at <= high + unit * 1e-9 && found.length < 50; at += unit) {
    found.push(Math.abs(at) < unit * 1e-9 ? 0 : at);
  }
  return found;
}

// An exponential moving average, corrected for its beginning. A value that is none leaves a gap.
function smoothed(points, weight) {
  if (weight === 0) return points.map((point) => point.mean);
  let sum = 0, norm = 0;
  return points.map((point) => {
    if (!Number.isFinite(point.mean)) return NaN;
    sum = sum * weight + (1 - weight) * point.mean;
    norm = norm * weight + (1 - weight);
    return sum / norm;
  });
}

class Chart {
  constructor(host) {
    this.host = host;
    this.plot = host.querySelector(".plot");
    this.status = host.querySelector("[data-status]");
    this.legend = host.querySelector(".legend");
    this.metric = host.querySelector("[data-metric]");
    this.horizontal = host.querySelector("[data-horizontal]");
    this.logarithmic = host.querySelector("[data-logarithmic]");
    this.smoothing = host.querySelector("[data-smoothing]");
    this.reset = host.querySelector("[data-reset]");
    this.runs = [];
    this.hidden = new Set();
    this.range = null;
    this.asked = 0;
    this.status.textContent = "";
    this.metric.addEventListener("change", () => { this.range = null; this.load(); });
    this.horizontal.addEventListener("change", () => { this.range = null; this.load(); });
    this.logarithmic.addEventListener("change", () => this.draw());
    this.smoothing.addEventListener("input", () => {
      host.querySelector("[data-smoothing-value]").textContent = this.smoothing.value;
      this.draw();
    });
    this.reset.addEventListener("click", () => this.show(null));
    this.svg = element("svg", { tabindex: "0", role: "img" });
    this.svg.addEventListener("keydown", (event) => this.key(event));
    this.svg.addEventListener("pointerdown", (event) => this.drag(event));
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.pointer?.replaceChildren());
    this.plot.append(this.svg);
    new ResizeObserver(() => this.draw()).observe(this.plot);
    this.load();
  }

  isTime() { return this.horizontal.value === "time"; }

  // Asks for the points of the chosen metric, within the range if it is one of steps.
  async load() {
    const mine = ++this.asked;
    const link = new URL(this.host.dataset.curves, location.href);
    link.searchParams.set("metric", this.metric.value);
    if (this.range && !this.isTime()) {
      link.searchParams.set("from", String(Math.floor(this.range[0])));
      link.searchParams.set("to", String(Math.ceil(this.range[1])));
    }
    let curves;
    try {
      const response = await fetch(link, { headers: { Accept: "application/json" } });
      if (!response.ok) throw new Error(String(response.status));
      curves = await response.json();
    } catch {
      if (mine === this.asked) this.status.textContent = "The server does not answer.";
      return;
    }
    if (mine !== this.asked) return;
    this.runs = curves.runs.map((run, place) => ({
      name: run.name, id: run.run_id, color: place % 10, isDashed: place >= 10, values: run.values,
      points: run.points.map(([step, at, mean, least, greatest]) => ({
        step, time: (at - run.started_ms) / 1000, mean: numeric(mean), least: numeric(least), greatest: numeric(greatest),
      })),
    }));
    if (this.isTime()) for (const run of this.runs) run.points.sort((one, other) => one.time - other.time);
    this.makeLegend();
    this.draw();
  }

  // The runs stay the same while the part that is shown changes, and so does the focus.
  makeLegend() {
    const runs = this.runs.map((run) => run.id).join();
    if (runs === this.listed) return;
    this.listed = runs;
    const items = this.runs.map((run) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", String(!this.hidden.has(run.id)));
      const swatch = document.createElement("span");
      swatch.className = `swatch c${run.color}`;
      const text = document.createElement("span");
      text.textContent = run.name;
      button.append(swatch, text);
      button.addEventListener("click", () => {
        if (!this.hidden.delete(run.id)) this.hidden.add(run.id);
        button.setAttribute("aria-pressed", String(!this.hidden.has(run.id)));
        this.draw();
      });
      item.append(button);
      return item;
    });
    this.legend.replaceChildren(...(items.length > 1 ? items : []));
  }

  // Shows a part of the curve, or all of it. The points come anew: there are more of a part.
  show(range) {
    this.range = range;
    this.reset.disabled = range === null;
    this.draw();
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.load(), 120);
  }

  at(point) { return this.isTime() ? point.time : point.step; }

  shown() {
    return this.runs.filter((run) => !this.hidden.has(run.id) && run.points.length > 0);
  }

  // The ends of both axes.
  extent(shown, curves) {
    let x0 = Infinity, x1 = -Infinity, y0 = Infinity, y1 = -Infinity;
    const isLog = this.logarithmic.checked;
    const see = (value) => {
      if (!Number.isFinite(value) || (isLog && value <= 0)) return;
      y0 = Math.min(y0, value);
      y1 = Math.max(y1, value);
    };
    shown.forEach((run, place) => run.points.forEach((point, index) => {
      const x = this.at(point);
      if (this.range && (x < this.range[0] || x > this.range[1])) return;
      x0 = Math.min(x0, x);
      x1 = Math.max(x1, x);
      see(curves[place][index]);
      if (Number(this.smoothing.value) === 0) { see(point.least); see(point.greatest); }
    }));
    if (this.range) [x0, x1] = this.range;
    if (!(x0 < x1)) { x0 -= 1; x1 += 1; }
    if (!Number.isFinite(y0)) return null;
    if (isLog) { [y0, y1] = [Math.log10(y0), Math.log10(y1)]; }
    const room = (y1 - y0) * 0.06 || Math.abs(y0) * 0.1 || 1;
    return { x0, x1, y0: y0 - room, y1: y1 + room };
  }

  draw() {
    const width = Math.max(280, this.plot.clientWidth);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.svg.setAttribute("width", width);
    this.svg.setAttribute("height", HEIGHT);
    const shown = this.shown();
    const weight = Number(this.smoothing.value);
    const curves = shown.map((run) => smoothed(run.points, weight));
    const extent = this.extent(shown, curves);
    if (!extent) {
      this.svg.replaceChildren();
      this.frame = null;
      const why = this.logarithmic.checked ? "No value is greater than 0." : "There are no values to draw.";
      this.status.textContent = this.runs.length === 0 ? "" : why;
      return;
    }
    const { x0, x1, y0, y1 } = extent;
    const isLog = this.logarithmic.checked;
    const x = (value) => LEFT + ((value - x0) / (x1 - x0)) * (width - LEFT - RIGHT);
    const y = (value) => {
      const at = isLog ? Math.log10(value) : value;
      return HEIGHT - BOTTOM - ((at - y0) / (y1 - y0)) * (HEIGHT - TOP - BOTTOM);
    };
    const isDrawn = (value) => Number.isFinite(value) && (!isLog || value > 0);
    const clip = `clip-${this.metric.id || "c"}`;
    const parts = [this.axes(extent, width, x, y, isLog)];
    const area = element("clipPath", { id: clip });
    area.append(element("rect", { x: LEFT, y: TOP, width: width - LEFT - RIGHT, height: HEIGHT - TOP - BOTTOM }));
    const curvesGroup = element("g", { "clip-path": `url(#${clip})` });
    shown.forEach((run, place) => {
      if (weight === 0) curvesGroup.append(this.band(run, x, y, isDrawn));
      else curvesGroup.append(this.line(run, run.points.map((point) => point.mean), x, y, isDrawn, "faint"));
      curvesGroup.append(this.line(run, curves[place], x, y, isDrawn, ""));
    });
    this.pointer = element("g", { class: "pointer" });
    parts.push(area, curvesGroup, this.pointer);
    this.svg.replaceChildren(...parts);
    this.svg.setAttribute("aria-label", this.described(shown));
    this.frame = { x0, x1, width, x, y, isDrawn, shown, curves };
    const values = shown.reduce((sum, run) => sum + run.values, 0);
    const points = shown.reduce((sum, run) => sum + run.points.length, 0);
    this.status.textContent = values > points ? `${values} values as ${points} points; bands show the least and the greatest.` : "";
  }

  described(shown) {
    const last = (run) => short(run.points[run.points.length - 1].mean);
    return `${this.metric.value}: ${shown.map((run) => `${run.name} ends at ${last(run)}`).join("; ")}`;
  }

  axes({ x0, x1, y0, y1 }, width, x, y, isLog) {
    const group = element("g", { class: "axes" });
    for (const at of ticks(x0, x1, Math.max(3, Math.floor(width / 130)))) {
      group.append(element("line", { x1: x(at), x2: x(at), y1: TOP, y2: HEIGHT - BOTTOM }));
      const text = this.isTime() ? seconds(at) : short(at);
      group.append(element("text", { x: x(at), y: HEIGHT - BOTTOM + 18, "text-anchor": "middle" }, text));
    }
    for (const at of ticks(y0, y1, 6)) {
      const value = isLog ? 10 ** at : at;
      group.append(element("line", { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }));
      group.append(element("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, short(value)));
    }
    return group;
  }

  // A line through the values; one between gaps is a dot, and so are all of a few.
  line(run, values, x, y, isDrawn, kind) {
    let path = "", isDown = false;
    const dots = [];
    const isThere = (index) => index < values.length && isDrawn(values[index]);
    run.points.forEach((point, index) => {
      const value = values[index];
      if (!isDrawn(value)) { isDown = false; return; }
      const [px, py] = [x(this.at(point)).toFixed(1), y(value).toFixed(1)];
      const isAlone = !isDown && !isThere(index + 1);
      path += `${isDown ? "L" : "M"}${px} ${py}`;
      isDown = true;
      if (isAlone || (run.points.length <= 40 && kind === "")) dots.push([px, py]);
    });
    const group = element("g", { class: `curve c${run.color} ${kind}${run.isDashed ? " dashed" : ""}` });
    group.append(element("path", { d: path }));
    for (const [cx, cy] of dots) group.append(element("circle", { cx, cy, r: 2.6 }));
    return group;
  }

  band(run, x, y, isDrawn) {
    const there = run.points.filter((point) => isDrawn(point.least) && isDrawn(point.greatest) && point.least < point.greatest);
    const at = (point, value) => `${x(this.at(point)).toFixed(1)} ${y(value).toFixed(1)}`;
    const top = there.map((point) => at(point, point.greatest));
    const bottom = there.map((point) => at(point, point.least)).reverse();
    const path = top.length > 1 ? `M${[...top, ...bottom].join("L")}Z` : "";
    return element("path", { class: `band c${run.color}`, d: path });
  }

  // What the pointer is at: the nearest point of each curve.
  point(event) {
    if (!this.frame || !this.pointer) return;
    const box = this.svg.getBoundingClientRect();
    const { width, x0, x1, x, y, isDrawn, shown, curves } = this.frame;
    const left = ((event.clientX - box.left) / box.width) * width;
    const wanted = x0 + ((left - LEFT) / (width - LEFT - RIGHT)) * (x1 - x0);
    const parts = [];
    const lines = [];
    shown.forEach((run, place) => {
      let nearest = -1;
      run.points.forEach((point, index) => {
        if (!isDrawn(curves[place][index])) return;
        const is = nearest < 0 || Math.abs(this.at(point) - wanted) < Math.abs(this.at(run.points[nearest]) - wanted);
        if (is) nearest = index;
      });
      if (nearest < 0) return;
      const point = run.points[nearest];
      const value = curves[place][nearest];
      parts.push(element("circle", { cx: x(this.at(point)), cy: y(value), r: 4, class: `c${run.color}` }));
      if (lines.length < 8) lines.push(`${this.isTime() ? seconds(point.time) : point.step}: ${short(value)}  ${run.name.slice(0, 24)}`);
    });
    const longest = Math.max(...lines.map((line) => line.length), 0);
    const isRight = left > width / 2;
    const boxWidth = longest * 6.6 + 16;
    const boxX = isRight ? LEFT + 8 : width - RIGHT - boxWidth - 8;
    if (lines.length) {
      parts.push(element("rect", { x: boxX, y: TOP + 4, width: boxWidth, height: lines.length * 17 + 10, rx: 5 }));
      lines.forEach((line, place) => parts.push(element("text", { x: boxX + 8, y: TOP + 20 + place * 17 }, line)));
    }
    this.pointer.replaceChildren(...parts);
  }

  drag(event) {
    if (!this.frame || event.button !== 0) return;
    const box = this.svg.getBoundingClientRect();
    const { width, x0, x1 } = this.frame;
    const value = (clientX) => {
      const left = ((clientX - box.left) / box.width) * width;
      return Math.min(x1, Math.max(x0, x0 + ((left - LEFT) / (width - LEFT - RIGHT)) * (x1 - x0)));
    };
    const from = value(event.clientX);
    const mark = element("rect", { class: "chosen", y: TOP, height: HEIGHT - TOP - BOTTOM, x: 0, width: 0 });
    this.svg.append(mark);
    this.svg.setPointerCapture(event.pointerId);
    const move = (moved) => {
      const [low, high] = [from, value(moved.clientX)].sort((one, other) => one - other);
      mark.setAttribute("x", this.frame.x(low));
      mark.setAttribute("width", this.frame.x(high) - this.frame.x(low));
    };
    const end = (ended) => {
      this.svg.removeEventListener("pointermove", move);
      mark.remove();
      const [low, high] = [from, value(ended.clientX)].sort((one, other) => one - other);
      if ((high - low) / (x1 - x0) > 0.01) this.show([low, high]);
    };
    this.svg.addEventListener("pointermove", move);
    this.svg.addEventListener("pointerup", end, { once: true });
  }

  key(event) {
    if (!this.frame || event.ctrlKey || event.metaKey || event.altKey) return;
    const { x0, x1 } = this.frame;
    const span = x1 - x0;
    const ways = {
      "+": () => this.show([x0 + span * 0.2, x1 - span * 0.2]),
      "=": () => this.show([x0 + span * 0.2, x1 - span * 0.2]),
      "-": () => this.show(this.range ? [x0 - span * 0.3, x1 + span * 0.3] : null),
      "ArrowLeft": () => this.show([x0 - span * 0.2, x1 - span * 0.2]),
      "ArrowRight": () => this.show([x0 + span * 0.2, x1 + span * 0.2]),
      "0": () => this.show(null),
      "Escape": () => this.show(null),
    };
    const way = ways[event.key];
    if (!way) return;
    event.preventDefault();
    way();
  }
}

for (const host of document.querySelectorAll(".chart[data-curves]")) new Chart(host);
