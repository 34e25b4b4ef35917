// Live queries: filters and pause. Above a rate, the workers sample. The stream is open only while
// this view is shown.

import { sentence } from "./api.js";
import {
  choice,
  clock,
  debounce,
  empty,
  explainLink,
  field,
  filters,
  h,
  input,
  number,
  rcodePill,
  table,
} from "./dom.js";
import { keepOpen, on, store } from "./store.js";

export const title = "Live queries";

const SHOWN = 100;
const EVERY = 250; // ms between two updates
const RCODES = [
  "NOERROR",
  "NXDOMAIN",
  "SERVFAIL",
  "REFUSED",
  "FORMERR",
  "NOTIMP",
  "UPSTREAM",
  "DROPPED",
];
const COLUMNS = [
  { name: "Time", class: "muted" },
  { name: "Name", class: "wide" },
  { name: "Type" },
  { name: "Rcode" },
  { name: "Client" },
  { name: "Transport", class: "muted" },
  { name: "Time in engine", class: "num muted" },
];

export function mount(root) {
  let stream = null;
  let rows = [];
  let waiting = [];
  let paused = false;
  let dirty = true;
  let lost = 0;
  let problem = "";
  let rate = 0;

  const name = input({ placeholder: "part of a name", "data-search": "", maxlength: 255 });
  const client = input({ placeholder: "10.0.0.0/8", maxlength: 60 });
  const rcode = choice([["", "all"], ...RCODES.map((one) => [one, one])], "");
  const type = input({ placeholder: "all", maxlength: 20, class: "small" });
  const pause = h(
    "button",
    {
      type: "button",
      class: "primary",
      "data-pause": "",
      "aria-pressed": "false",
      onclick: () => {
        paused = !paused;
        if (!paused) resume();
        dirty = true;
        draw();
      },
    },
    "Pause",
  );
  const clear = h(
    "button",
    {
      type: "button",
      class: "quiet",
      onclick: () => {
        rows = [];
        waiting = [];
        dirty = true;
        draw();
      },
    },
    "Clear",
  );
  const note = h("p", { class: "muted", role: "status" });
  const list = h("div", { class: "card flush" });
  root.append(
    filters(
      {},
      field("Name", name, "grow"),
      field("Client", client),
      field("Rcode", rcode),
      field("Type", type),
      pause,
      clear,
    ),
    note,
    list,
  );

  function open() {
    stream?.abort();
    stream = new AbortController();
    rows = [];
    waiting = [];
    lost = 0;
    problem = "";
    dirty = true;
    const filter = {
      name: name.value.trim(),
      client: client.value.trim(),
      rcode: rcode.value,
      type: type.value.trim().toUpperCase(),
    };
    keepOpen(
      "queries/stream",
      () => filter,
      take,
      stream.signal,
      (state, error) => {
        problem =
          state === "open" ? "" : error ? sentence(error) : "The stream ended; reconnecting.";
        dirty = true;
      },
    );
  }

  function take(kind, data) {
    if (kind === "hello") rate = data.samples_per_second_and_worker;
    else if (kind === "lost") lost = data.queries;
    else if (kind === "query") (paused ? waiting : rows).unshift(data);
    if (rows.length > SHOWN * 2) rows.length = SHOWN;
    if (waiting.length > 5000) waiting.length = 5000;
    dirty = true;
  }

  function resume() {
    rows = [...waiting, ...rows].slice(0, SHOWN);
    waiting = [];
  }

  function draw() {
    if (!dirty) return;
    dirty = false;
    pause.textContent = paused ? "Resume" : "Pause";
    pause.setAttribute("aria-pressed", String(paused));
    const sentences = [];
    if (problem && store.connection !== "unreachable") sentences.push(problem);
    if (paused) sentences.push(`Paused; ${number(waiting.length)} new queries.`);
    else if (rate) sentences.push(`Shows up to ${number(rate)} queries per second and worker.`);
    if (lost) sentences.push(`${number(lost)} queries were dropped.`);
    const words = sentences.join(" ");
    if (note.textContent !== words) note.textContent = words;
    note.classList.toggle("bad", Boolean(problem));
    if (!rows.length) {
      const filtered = name.value || client.value || rcode.value || type.value;
      list.replaceChildren(empty(filtered ? "No matching query yet." : "No queries yet."));
      return;
    }
    list.replaceChildren(
      table(
        "Queries, newest first",
        COLUMNS,
        rows
          .slice(0, SHOWN)
          .map((one) => [
            clock(one.at),
            explainLink(one.name || ".", one.type),
            one.type,
            rcodePill(one.rcode),
            one.client || "–",
            one.over,
            one.took_us ? `${number(one.took_us)} µs` : "–",
          ]),
        { class: "rows queries" },
      ),
    );
  }

  const again = debounce(open, 350);
  for (const one of [name, client, type]) one.addEventListener("input", again);
  rcode.addEventListener("change", open);
  const timer = setInterval(draw, EVERY);
  const off = on("reconnect", open);
  open();
  draw();
  return {
    leave: () => {
      off();
      again.stop();
      clearInterval(timer);
      stream.abort();
    },
  };
}
