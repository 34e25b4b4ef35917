// The data of the page: the status of dnsd every two seconds, the last five minutes for the charts,
// and the stream of changes. Views subscribe to it.

import { Unreachable, ApiError, follow, get, text } from "./api.js";

export const EVERY = 2000; // ms between two updates
const KEPT = 150; // updates, five minutes
const WINDOW = 8; // updates over which a latency is computed
const MAX_RETRY = 8000;
export const OUTCOMES = ["answer", "nodata", "nxdomain", "servfail", "refused", "other"];

export const store = {
  connection: "connecting", // connecting | open | unreachable | denied
  status: null,
  points: [], // { at, rate: {outcome: n/s}, p50, p99 }
  changes: [], // the last changes of the zone, newest first
  problem: "",
};

const listeners = new Map();

/** Calls `work` for each event of this name. The returned function ends it. */
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
  if (state === "open") emit("reconnect", null);
}

// ---- Updates ------------------------------------------------------------------------------

let timer = 0;
let last = null; // the counters of the previous update
const buckets = []; // of the last updates, for the latency

/** Updates now, and from now on at intervals. */
export async function refresh() {
  clearTimeout(timer);
  try {
    const [status, metrics] = await Promise.all([get("status"), text("/metrics")]);
    take(status, metrics);
    connection("open");
    emit("status", status);
    openEvents();
  } catch (error) {
    handleConnectionError(error);
  }
  if (store.connection !== "denied" && !document.hidden) timer = setTimeout(refresh, EVERY);
}

/** Shows an error of any request as the state of the connection; true if it is such an error. */
export function handleConnectionError(error) {
  if (error instanceof ApiError && error.status === 401) {
    closeEvents();
    connection("denied", error.message);
    return true;
  }
  if (error instanceof Unreachable || (error instanceof ApiError && error.status >= 500)) {
    closeEvents(); // the next successful update opens it again
    connection("unreachable", error.message);
    return error instanceof Unreachable;
  }
  return false;
}

function take(status, metrics) {
  const found = answerBuckets(metrics);
  if (last && status.uptime < last.uptime) {
    store.points = []; // dnsd was restarted
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

/** The sums of the counters of queries ("queries.udp.A.nxdomain") by outcome. */
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

/** An upper bound of the quantile over the last updates; null without samples. */
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

/** A stream that reconnects when it ends, until `signal` aborts. */
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
      if (error instanceof ApiError && error.status < 500) {
        handleConnectionError(error);
        return;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
    wait = Math.min(MAX_RETRY, wait * 2);
  }
}
