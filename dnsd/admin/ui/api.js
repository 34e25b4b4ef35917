// The client of the API: the token, requests, and streams.
//
// The token is in the fragment of the URL that `dnsd serve` prints (#token=…), which browsers do
// not send. It is removed from the URL at once, and kept in this tab only. EventSource cannot send
// an Authorization header, so streams are read with fetch.

const KEY = "dnsd-token";
const TIMEOUT = 10_000; // ms for a request, except for streams
const MAX_EVENT = 4 << 20; // characters in one event

/** An error response of dnsd: its status and its detail. */
export class ApiError extends Error {
  constructor(status, detail, problem = {}) {
    super(detail);
    this.status = status;
    this.problem = problem;
  }
}

/** The response is missing or incomplete. */
export class Unreachable extends Error {}

/** Moves a token from the URL to the tab; true if there was one. */
export function takeToken() {
  const match = /[#&]token=([^&]+)/.exec(location.hash);
  if (!match) return false;
  setToken(decoded(match[1]));
  history.replaceState(null, "", `${location.pathname}${location.search}#/overview`);
  return true;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function setToken(token) {
  if (token) sessionStorage.setItem(KEY, token);
  else sessionStorage.removeItem(KEY);
}

export function hasToken() {
  return Boolean(sessionStorage.getItem(KEY));
}

function address(path, params) {
  const url = new URL(path.startsWith("/") ? path.slice(1) : `api/v1/${path}`, document.baseURI);
  url.hash = "";
  for (const [name, value] of Object.entries(params || {})) {
    if (value !== "" && value !== null && value !== undefined) url.searchParams.set(name, value);
  }
  return url;
}

async function request(path, { params, signal, ...options }) {
  const headers = { ...options.headers };
  const token = sessionStorage.getItem(KEY);
  if (token) headers.Authorization = `Bearer ${token.replace(/[^\x21-\x7e]/g, "?")}`;
  let response;
  try {
    response = await fetch(address(path, params), {
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      ...options,
      headers,
      signal,
    });
  } catch (error) {
    if (signal && signal.aborted && signal.reason?.name !== "TimeoutError") throw error;
    throw new Unreachable("no answer");
  }
  if (!response.ok) throw await apiError(response);
  return response;
}

async function apiError(response) {
  let problem = {};
  try {
    if ((response.headers.get("Content-Type") || "").startsWith("application/problem+json")) {
      problem = await response.json();
    }
  } catch {
    // Without a detail, the status is shown.
  }
  const detail = problem.detail || `${response.status} ${response.statusText}`;
  return new ApiError(response.status, detail, problem);
}

function withTimeout(signal) {
  const limit = AbortSignal.timeout(TIMEOUT);
  if (!signal) return limit;
  return AbortSignal.any ? AbortSignal.any([signal, limit]) : signal; // Safari before 17.4
}

/** The JSON of a route below api/v1. Throws ApiError, Unreachable, or what `signal` aborts with. */
export async function get(path, params = {}, signal = undefined) {
  const response = await request(path, { params, signal: withTimeout(signal) });
  return body(response, "json");
}

/** The text of an absolute path, such as /metrics. */
export async function text(path) {
  return body(await request(path, { signal: withTimeout() }), "text");
}

export async function post(path, content, type, params = {}, signal = undefined) {
  const response = await request(path, {
    method: "POST",
    body: content,
    headers: { "Content-Type": type },
    params,
    signal: withTimeout(signal),
  });
  return body(response, "json");
}

async function body(response, how) {
  try {
    return await response[how]();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable("the response is incomplete");
  }
}

/** Reads server-sent events until the stream ends or `signal` aborts: onEvent(name, data). */
export async function follow(path, params, onEvent, signal) {
  const response = await request(path, { params, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let piece;
    try {
      piece = await reader.read();
    } catch (error) {
      if (signal.aborted) throw error;
      throw new Unreachable("the stream ended early");
    }
    if (piece.done) return;
    const blocks = (rest + piece.value).split("\n\n");
    rest = blocks.pop();
    if (rest.length > MAX_EVENT) throw new Unreachable("an event is too long");
    for (const block of blocks) {
      const event = parsed(block);
      if (event) onEvent(event.name, event.data);
    }
  }
}

function parsed(block) {
  let name = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    else if (line.startsWith("data: ")) data.push(line.slice(6));
  }
  if (!data.length) return null; // a comment that keeps the stream open
  return { name, data: JSON.parse(data.join("\n")) };
}

/** An error as a sentence for the user. */
export function sentence(error) {
  if (error instanceof Unreachable) return "dnsd does not answer. This page keeps trying.";
  if (error instanceof ApiError) return `dnsd: ${error.message}`;
  return `Error in this page: ${error.message}`;
}
