// What the page knows of dnsd at every moment: its status every two seconds, the last five
// minutes of it for the charts, and the stream of changes. Views subscribe.

import { Away, Refused, follow, get, text } from "./api.js";

export const EVERY = 2000; // ms between two looks
const KEPT = 150; // looks, five minutes
const WINDOW = 8; // looks that a latency is taken over
const MAX_RETRY = 8000;
export const OUTCOMES = ["answer", "nodata", "nxdomain", "servfail", "refused", "other"];

export const store = {
  connection: "connecting", // connecting | open | away | denied
  status: null,
  points: [], // { at, rate: {outcome: n/s}, p50, p99 }
  changes: [], // the latest changes of the zone, newest first
  problem: "",
};

const listeners = new Map();

/** Calls `work` on each event of that name; returns what takes it back. */
export function on(name, work) {
  if (!listeners.has(name)) listeners.set(name, new Set());
  listeners.get(name).add(work);
  return () => listeners.get(name).delete(work);
}

function emit(name, data) {
  for (const work of [...(listeners.get(name) || [])]) work(data);
}

function connection(state, problem = "") {
  const before = store.connection;
  store.problem = problem;
  if (before === state) return;
  store.connection = state;
  emit("connection", { before, state });
  if (state === "open") emit("back", null);
}

// ---- Looking ------------------------------------------------------------------------------

let timer = 0;
let last = null; // the counters and buckets of the look before
const buckets = []; // of the last looks, for the latency

/** Looks now, and again and again. */
export async function look() {
  clearTimeout(timer);
  try {
    const [status, metrics] = await Promise.all([get("status"), text("/metrics")]);
    take(status, metrics);
    connection("open");
    emit("status", status);
    openEvents();
  } catch (error) {
    trouble(error);
  }
  if (store.connection !== "denied" && !document.hidden) timer = setTimeout(look, EVERY);
}

/** Puts an error of any request into the connection's state; true when it belongs there. */
export function trouble(error) {
  if (error instanceof Refused && error.status === 401) {
    closeEvents();
    connection("denied", error.message);
    return true;
  }
  if (error instanceof Away || (error instanceof Refused && error.status >= 500)) {
    closeEvents(); // opened again with the next look that succeeds, not after a wait of its own
    connection("away", error.message);
    return error instanceof Away;
  }
  return false;
}

function take(status, metrics) {
  const found = answerBuckets(metrics);
  if (last && status.uptime < last.uptime) {
    store.points = []; // another process
    buckets.length = 0;
    last = null;
  }
  buckets.push(found);
  if (buckets.length > WINDOW) buckets.shift();
  store.points.push({
    at: Date.now() / 1000,
    rate: last ? perSecond(status, last) : outcomes(status.rates, 1),
    p50: quantile(0.5),
    p99: quantile(0.99),
  });
  if (store.points.length > KEPT) store.points.shift();
  last = { uptime: status.uptime, counters: status.counters };
  store.status = status;
}

function perSecond(status, before) {
  const span = status.uptime - before.uptime;
  if (span <= 0) return store.points.at(-1)?.rate ?? outcomes({}, 1);
  const now = outcomes(status.counters, 1);
  const then = outcomes(before.counters, 1);
  return Object.fromEntries(
    OUTCOMES.map((name) => [name, Math.max(0, now[name] - then[name]) / span]),
  );
}

/** Counters of queries by outcome: "queries.udp.A.nxdomain" and its like, summed. */
function outcomes(counters, scale) {
  const found = Object.fromEntries(OUTCOMES.map((name) => [name, 0]));
  for (const [name, value] of Object.entries(counters)) {
    if (!name.startsWith("queries.")) continue;
    const outcome = name.slice(name.lastIndexOf(".") + 1);
    found[outcome in found ? outcome : "other"] += value * scale;
  }
  return found;
}

function answerBuckets(metrics) {
  const found = [];
  for (const match of metrics.matchAll(/^dnsd_answer_seconds_bucket\{le="([^"]+)"\} (\S+)$/gm)) {
    found.push([match[1] === "+Inf" ? Infinity : Number(match[1]), Number(match[2])]);
  }
  return found;
}

/** An upper bound of the quantile over the last looks; null when nothing was sampled. */
function quantile(share) {
  const now = buckets.at(-1);
  const then = buckets.length > 1 ? buckets[0] : now.map(([bound]) => [bound, 0]);
  if (!now.length || then.length !== now.length) return null;
  const grown = now.map(([bound, count], i) => [bound, count - then[i][1]]);
  const total = grown.at(-1)[1];
  if (total <= 0) return null;
  const hit = grown.find(([, count]) => count >= share * total);
  return Number.isFinite(hit[0]) ? hit[0] : grown.at(-2)[0];
}

// ---- The stream of changes ----------------------------------------------------------------

let stream = null;

function openEvents() {
  if (stream) return;
  stream = new AbortController();
  keepOpen("events", () => ({}), onEvent, stream.signal).finally(() => {
    stream = null;
  });
}

function closeEvents() {
  if (stream) stream.abort();
}

function onEvent(name, data) {
  if (name === "change") {
    store.changes = [data, ...store.changes].slice(0, 50);
    emit("change", data);
  } else if (name === "reset" || name === "source") {
    emit("change", null);
  }
}

/** A stream that is opened again when it ends, until `signal` aborts. */
export async function keepOpen(path, params, onEvent_, signal, onState = () => {}) {
  let wait = 500;
  while (!signal.aborted) {
    try {
      await follow(
        path,
        params(),
        (name, data) => {
          wait = 500;
          if (name === "hello") onState("open", "");
          onEvent_(name, data);
        },
        signal,
      );
      onState("closed", "");
    } catch (error) {
      if (signal.aborted) return;
      onState("closed", error);
      if (error instanceof Refused && error.status < 500) {
        trouble(error);
        return;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
    wait = Math.min(MAX_RETRY, wait * 2);
  }
}
