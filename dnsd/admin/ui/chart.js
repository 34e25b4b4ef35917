// Charts over time in SVG: stacked areas or lines, a grid, and a legend with the current values,
// or those under the pointer. Each update redraws the whole chart: five minutes are 150 points.

import { h, s } from "./dom.js";

const HEIGHT = 168;
const LEFT = 58;
const RIGHT = 10;
const TOP = 10;
const BOTTOM = 24;
const MIN_SPAN = 60; // seconds; the span grows with the data
const MAX_SPAN = 300; // seconds

/**
 * A chart: { node, update(points) }.
 * `series`: [{ key, name, class }]; `value(point, key)`: a number, or null for none.
 */
export function chart({ title, series, value, format, stacked = false, none }) {
  const svg = s("svg", { class: "chart", role: "img", "aria-label": title });
  const figures = new Map();
  const legend = h(
    "ul",
    { class: "legend" },
    series.map((one) => {
      const figure = h("span", { class: "figure" }, "–");
      figures.set(one.key, figure);
      return h(
        "li",
        {},
        h("span", { class: `swatch ${one.class}`, "aria-hidden": "true" }),
        one.name,
        figure,
      );
    }),
  );
  const note = h("p", { class: "chart-note" }, none);
  const node = h("div", { class: "chart-box" }, svg, note, legend);
  let points = [];
  let hover = null;

  function draw() {
    const width = Math.max(240, svg.clientWidth || 600);
    const now = points.length ? points.at(-1).at : Date.now() / 1000;
    const known = points.length ? now - points[0].at : 0;
    const span = Math.min(MAX_SPAN, Math.max(MIN_SPAN, Math.ceil(known / 60) * 60));
    const x = (at) => LEFT + (1 - (now - at) / span) * (width - LEFT - RIGHT);
    const shown = points.filter((point) => point.at >= now - span);
    const layers = stacked ? stackedLayers(shown) : lineLayers(shown);
    const highest = Math.max(0, ...layers.flatMap((layer) => layer.line.map((one) => one[1] ?? 0)));
    const top = nice(highest || 1);
    const y = (amount) => TOP + (1 - amount / top) * (HEIGHT - TOP - BOTTOM);
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const marks = [0, 0.5, 1].map((share) =>
      s(
        "g",
        {},
        s("line", {
          class: "grid",
          x1: LEFT,
          x2: width - RIGHT,
          y1: y(top * share),
          y2: y(top * share),
        }),
        s(
          "text",
          { class: "axis", x: LEFT - 8, y: y(top * share) + 4, "text-anchor": "end" },
          !share ? "0" : highest ? format(top * share) : "",
        ),
      ),
    );
    const times = [
      [span, `${span / 60} min ago`, "start"],
      [0, "now", "end"],
    ].map(([back, label, anchor]) =>
      s("text", { class: "axis", x: x(now - back), y: HEIGHT - 6, "text-anchor": anchor }, label),
    );
    const paths = layers.map((layer) =>
      s("path", {
        class: `${stacked ? "area" : "line"} ${layer.class}`,
        d: stacked ? area(layer, x, y) : line(layer.line, x, y),
      }),
    );
    const cross =
      hover === null
        ? []
        : [s("line", { class: "cross", x1: hover, x2: hover, y1: TOP, y2: HEIGHT - BOTTOM })];
    svg.replaceChildren(...marks, ...times, ...paths, ...cross);
    showValues(shown, x, highest > 0);
  }

  function showValues(shown, x, any) {
    let point = shown.at(-1);
    if (hover !== null && shown.length) {
      point = shown.reduce((a, b) =>
        Math.abs(x(b.at) - hover) < Math.abs(x(a.at) - hover) ? b : a,
      );
    }
    const texts = [];
    for (const one of series) {
      const amount = point ? value(point, one.key) : null;
      const textual = amount === null ? "–" : format(amount);
      figures.get(one.key).textContent = textual;
      texts.push(`${one.name} ${textual}`);
    }
    svg.setAttribute("aria-label", `${title}: ${texts.join(", ")}`);
    note.hidden = any;
  }

  function lineLayers(shown) {
    return series.map((one) => ({
      class: one.class,
      line: shown.map((point) => [point.at, value(point, one.key)]),
    }));
  }

  function stackedLayers(shown) {
    const floor = shown.map(() => 0);
    return series.map((one) => {
      const below = [...floor];
      const upper = shown.map((point, i) => {
        floor[i] += value(point, one.key) ?? 0;
        return [point.at, floor[i]];
      });
      return { class: one.class, line: upper, below };
    });
  }

  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    hover = Math.min(Math.max(event.clientX - box.left, LEFT), box.width - RIGHT);
    draw();
  });
  svg.addEventListener("pointerleave", () => {
    hover = null;
    draw();
  });
  new ResizeObserver(draw).observe(node);
  return {
    node,
    update(given) {
      points = given;
      draw();
    },
  };
}

function line(values, x, y) {
  let out = "";
  let pen = false;
  for (const [at, amount] of values) {
    if (amount === null) {
      pen = false;
      continue;
    }
    out += `${pen ? "L" : "M"}${x(at).toFixed(1)} ${y(amount).toFixed(1)}`;
    pen = true;
  }
  return out;
}

function area(layer, x, y) {
  if (!layer.line.length) return "";
  const upper = layer.line.map(([at, amount]) => `${x(at).toFixed(1)} ${y(amount).toFixed(1)}`);
  const lower = layer.line
    .map(([at], i) => `${x(at).toFixed(1)} ${y(layer.below[i]).toFixed(1)}`)
    .reverse();
  return `M${upper.join("L")}L${lower.join("L")}Z`;
}

/** The next round number whose half is also round. */
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((one) => one * power >= value * 0.9999);
  return step * power;
}
