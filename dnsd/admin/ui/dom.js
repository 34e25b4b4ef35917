// Elements made by code. Text from outside becomes a text node, never markup: this page does not
// use innerHTML.

const SVG = "http://www.w3.org/2000/svg";

function filled(node, props, children) {
  for (const [name, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(3)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

/** An element: h("p", { class: "x", onclick: f }, "text", child). */
export function h(tag, props, ...children) {
  return filled(document.createElement(tag), props, children);
}

/** An SVG element. */
export function s(tag, props, ...children) {
  return filled(document.createElementNS(SVG, tag), props, children);
}

/** A table. `rows` are arrays of cells. On a narrow screen, each row is a block with labels. */
export function table(caption, columns, rows, props = {}) {
  const heads = columns.map((column) =>
    h("th", { scope: "col", class: column.class }, column.name),
  );
  const body = rows.map((cells) =>
    h(
      "tr",
      {},
      cells.map((cell, i) =>
        h("td", { class: columns[i].class, "data-label": columns[i].name }, cell),
      ),
    ),
  );
  return h(
    "table",
    props,
    h("caption", { class: "unseen" }, caption),
    h("thead", {}, h("tr", {}, heads)),
    h("tbody", {}, body),
  );
}

export function card(title, ...children) {
  return h("section", { class: "card", "aria-label": title }, h("h2", {}, title), ...children);
}

export function empty(...content) {
  return h("p", { class: "empty" }, ...content);
}

/** An error that a screen reader reads at once. */
export function problem(text) {
  return h("p", { class: "note bad", role: "alert" }, text);
}

export function list(items, kind = "") {
  return h("ul", { class: `plain ${kind}` }, items.map((item) => h("li", {}, item)));
}

/** A line of a comparison: the sign "−" or "+", and a record. `kind`: gone or new. */
export function diffLine(sign, kind, ...content) {
  return h("p", { class: `diff ${kind}` }, h("span", { class: "sign" }, sign), ...content);
}

/** A field for text, without the corrections of the browser. */
export function input(props) {
  return h("input", {
    type: "search",
    spellcheck: "false",
    autocomplete: "off",
    autocapitalize: "none",
    ...props,
  });
}

/** A row of filters, which take effect as they change. */
export function filters(props, ...fields) {
  const onsubmit = (event) => event.preventDefault();
  return h("form", { class: "filters", onsubmit, ...props }, ...fields);
}

/** A field with its label. */
export function field(label, control, more = "") {
  return h("label", { class: `field ${more}` }, h("span", {}, label), control);
}

export function choice(values, chosen, props = {}) {
  const options = values.map(([value, text]) =>
    h("option", { value, selected: value === chosen }, text),
  );
  return h("select", props, options);
}

/** Calls `work` once, `ms` after the last call. */
export function debounce(work, ms = 250) {
  let timer = 0;
  const later = (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), ms);
  };
  later.stop = () => clearTimeout(timer);
  return later;
}

/** Calls `work` once within `ms` of the first call, however many calls there are. */
export function throttle(work, ms = 300) {
  let timer = 0;
  const later = () => {
    timer =
      timer ||
      setTimeout(() => {
        timer = 0;
        work();
      }, ms);
  };
  later.stop = () => clearTimeout(timer);
  return later;
}

// ---- Numbers and times as text -----------------------------------------------------------

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export function number(value) {
  return value < 100 && value % 1 ? tenth.format(value) : whole.format(value);
}

export function count(value, noun) {
  return `${number(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** Seconds in the unit that keeps a digit in front: "250 µs", "1.5 ms". */
export function short(seconds) {
  if (seconds === null || seconds === undefined || !seconds) return "–";
  for (const [unit, length] of [
    ["s", 1],
    ["ms", 1e-3],
    ["µs", 1e-6],
  ]) {
    if (seconds >= length * 0.9995) return `${tenth.format(seconds / length)} ${unit}`;
  }
  return "<1 µs";
}

export function span(seconds) {
  for (const [unit, length] of [
    ["d", 86400],
    ["h", 3600],
    ["min", 60],
  ]) {
    if (seconds >= length) return `${Math.floor(seconds / length)} ${unit}`;
  }
  return `${Math.max(0, Math.floor(seconds))} s`;
}

export function ago(at) {
  if (!at) return "never";
  const seconds = Date.now() / 1000 - at;
  return seconds < 1 ? "now" : `${span(seconds)} ago`;
}

/** A time as an element that shows the full date on hover. */
export function when(at) {
  const date = new Date(at * 1000);
  const stamp = date.toISOString();
  return h("time", { datetime: stamp, title: date.toLocaleString() }, ago(at));
}

export function clock(at) {
  const date = new Date(at * 1000);
  const two = (value) => String(value).padStart(2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** An object as a cause: "Service default/web (web.yaml)". */
export function causeText(cause) {
  const where = [cause.namespace, cause.name].filter(Boolean).join("/");
  const version = cause.version ? `version ${cause.version}` : "";
  const more = [version, cause.origin].filter(Boolean).join(", ");
  return `${cause.kind} ${where}${more ? ` (${more})` : ""}`;
}

const KIND = {
  NOERROR: "good",
  NODATA: "quiet",
  NXDOMAIN: "warn",
  SERVFAIL: "bad",
  REFUSED: "bad",
  FORMERR: "bad",
  DROPPED: "bad",
  UPSTREAM: "quiet",
};

export function rcodePill(text) {
  return h("span", { class: `pill ${KIND[text] || "quiet"}` }, text);
}

/** A bar whose length is the share of the maximum. */
export function bar(value, most) {
  const width = `${Math.max(value ? 1 : 0, (value / most) * 100).toFixed(1)}%`;
  return s(
    "svg",
    { class: "share", "aria-hidden": "true", focusable: "false" },
    s("rect", { width, height: "100%", rx: 4 }),
  );
}

/** The address of a view. Entries of `given` that are not empty are its parameters. */
export function addressOf(view, given) {
  const params = new URLSearchParams(Object.entries(given).filter(([, value]) => value));
  return `#/${view}${String(params) && `?${params}`}`;
}

/** A link to the explanation of a name. */
export function explainLink(name, type = "A", text = "") {
  return h(
    "a",
    { class: text ? null : "name", href: addressOf("explain", { name, type }) },
    text || dotted(name),
  );
}

/** A name that wraps after its dots. */
export function dotted(name) {
  return name.split(/(?<=\.)(?=.)/).flatMap((label, i) => (i ? [h("wbr"), label] : [label]));
}
