// Overview: current rates, latencies, and outcomes; sources, Services, changes, and workers.

import {
  ago,
  bar,
  card,
  causeText,
  count,
  diffLine,
  dotted,
  empty,
  h,
  list,
  number,
  short,
  throttle,
  span,
  table,
} from "./dom.js";
import { chart } from "./chart.js";
import { OUTCOMES, on, store } from "./store.js";

export const title = "Overview";

const NAMES = {
  answer: "NOERROR",
  nodata: "NODATA",
  nxdomain: "NXDOMAIN",
  servfail: "SERVFAIL",
  refused: "REFUSED",
  other: "other",
};
const STATES = { synced: "good", starting: "quiet", stale: "warn", failing: "bad" };

export function mount(root) {
  const tiles = h("div", { class: "tiles" });
  const rate = chart({
    title: "Queries per second",
    series: [{ key: "rate", name: "queries per second", class: "c-answer" }],
    value: (point) => total(point.rate),
    format: number,
    none: "No queries in the last five minutes.",
  });
  const rcodes = chart({
    title: "Queries per second by outcome",
    stacked: true,
    series: OUTCOMES.map((key) => ({ key, name: NAMES[key], class: `c-${key}` })),
    value: (point, key) => point.rate[key],
    format: number,
    none: "No queries in the last five minutes.",
  });
  const latency = chart({
    title: "Latency in the engine",
    series: [
      { key: "p50", name: "p50", class: "c-answer" },
      { key: "p99", name: "p99", class: "c-nxdomain" },
    ],
    value: (point, key) => point[key],
    format: short,
    none: "No samples in the last five minutes.",
  });
  const sources = h("div");
  const services = h("div");
  const workers = h("div");
  const changes = h("div", { "aria-live": "polite" });
  root.append(
    tiles,
    h(
      "div",
      { class: "grid two" },
      card("Queries", rate.node),
      card("Outcomes", rcodes.node),
      card("Latency", latency.node),
      card("Services by type", services),
    ),
    card("Sources", sources),
    h(
      "div",
      { class: "grid two top" },
      card("Latest changes", changes),
      card("Workers", workers),
    ),
  );

  function update() {
    const status = store.status;
    if (!status) {
      tiles.replaceChildren(empty("Waiting for dnsd."));
      return;
    }
    tiles.replaceChildren(...tilesOf(status));
    rate.update(store.points);
    rcodes.update(store.points);
    latency.update(store.points);
    sources.replaceChildren(sourcesOf(status));
    services.replaceChildren(servicesOf(status));
    workers.replaceChildren(...workersOf(status));
  }
  function showChanges() {
    changes.replaceChildren(changesOf());
  }
  const later = throttle(showChanges, 200);
  const leave = [on("status", update), on("change", later), on("connection", update), later.stop];
  update();
  showChanges();
  return { leave: () => leave.forEach((off) => off()) };
}

function total(rates) {
  return Object.values(rates).reduce((sum, one) => sum + one, 0);
}

function tile(label, value, more) {
  return h(
    "div",
    { class: "tile" },
    h("p", { class: "tile-label" }, label),
    h("p", { class: "tile-value" }, value),
    h("p", { class: "tile-more" }, more),
  );
}

function tilesOf(status) {
  const point = store.points.at(-1);
  const now = total(point.rate);
  const nxdomains = now ? `${number((point.rate.nxdomain / now) * 100)} %` : "–";
  const answered = total(
    Object.fromEntries(
      Object.entries(status.counters).filter(([name]) => name.startsWith("queries.")),
    ),
  );
  const change = status.change_seconds;
  const services = total(status.services);
  return [
    tile("Queries per second", number(now), `${number(answered)} since the start`),
    tile("NXDOMAIN", nxdomains, "of current queries"),
    tile("Names", number(status.names), `${count(services, "Service")}, serial ${status.serial}`),
    tile(
      "Change latency",
      short(change.p99),
      change.count
        ? `p99 of ${number(change.count)} changes since the start`
        : "no changes since the start",
    ),
    tile("Uptime", span(status.uptime), status.listen.join(", ")),
  ];
}

function sourcesOf(status) {
  if (!status.sources.length) return empty("No source is configured.");
  const columns = [
    { name: "Source", class: "strong" },
    { name: "State" },
    { name: "Objects", class: "num" },
    { name: "Last event" },
    { name: "Version" },
    { name: "Relists", class: "num" },
    { name: "Errors", class: "num" },
    { name: "Detail", class: "wide muted" },
  ];
  return table(
    "Sources and their health",
    columns,
    status.sources.map((one) => [
      one.name,
      h("span", { class: `pill ${STATES[one.state] || "quiet"}` }, one.state),
      number(one.objects),
      ago(one.last_event),
      one.resource_version || "–",
      number(one.relists),
      number(one.errors),
      one.detail || "–",
    ]),
    { class: "rows" },
  );
}

function servicesOf(status) {
  const found = Object.entries(status.services);
  const most = Math.max(1, ...found.map(([, many]) => many));
  if (!total(status.services)) {
    return empty("No Services: dnsd serves only the zone itself.");
  }
  return h(
    "ul",
    { class: "bars" },
    found.map(([kind, many]) =>
      h(
        "li",
        {},
        h("span", { class: "bar-name" }, kind),
        bar(many, most),
        h("span", { class: "bar-value" }, number(many)),
      ),
    ),
  );
}

function workersOf(status) {
  const columns = [
    { name: "Worker", class: "strong" },
    { name: "State" },
    { name: "PID", class: "num" },
    { name: "Age" },
    { name: "Restarts", class: "num" },
  ];
  const found = [
    table(
      "Worker processes",
      columns,
      status.workers.map((one) => [
        number(one.index),
        h("span", { class: `pill ${one.state === "open" ? "good" : "warn"}` }, one.state),
        String(one.pid),
        span(one.age),
        number(one.restarts),
      ]),
      { class: "rows" },
    ),
  ];
  if (status.upstreams.length) {
    found.push(
      h("h3", {}, "Upstreams"),
      table(
        "Upstream servers",
        [
          { name: "Server", class: "strong" },
          { name: "State" },
          { name: "Latency" },
          { name: "Queries", class: "num" },
          { name: "Failed", class: "num" },
        ],
        status.upstreams.map((one) => [
          one.address,
          h("span", { class: `pill ${one.up ? "good" : "bad"}` }, one.up ? "up" : "down"),
          short(one.latency),
          number(one.queries),
          number(one.failures),
        ]),
        { class: "rows" },
      ),
    );
  }
  const problems = Object.entries(status.problems);
  if (problems.length) {
    found.push(
      h("h3", {}, "Problems"),
      list(problems.map(([key, texts]) => [h("strong", {}, key), ": ", texts.join("; ")])),
    );
  }
  return found;
}

function changesOf() {
  if (!store.changes.length) return empty("No changes since this page was opened.");
  return h(
    "ul",
    { class: "changes" },
    store.changes.slice(0, 8).map((change) =>
      h(
        "li",
        {},
        h(
          "p",
          {},
          h("strong", {}, change.owner),
          " ",
          h("span", { class: "muted" }, `serial ${change.serial}, ${ago(change.at)}`),
        ),
        change.removed.slice(0, 3).map((one) => diffLine("−", "gone", recordText(one))),
        change.added.slice(0, 3).map((one) => diffLine("+", "new", recordText(one))),
        h("p", { class: "muted" }, `caused by ${causeText(change.cause)}`),
      ),
    ),
  );
}

function recordText(rrset) {
  return dotted(`${rrset.name} ${rrset.type} ${rrset.values.join(", ")}`);
}
