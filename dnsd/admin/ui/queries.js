// Queries as they are answered: pause, filter. The workers sample above a rate, and only while
// somebody looks.

import { sentence } from "./api.js";
import {
  choice,
  clock,
  empty,
  explainLink,
  field,
  h,
  number,
  rcodePill,
  settled,
  table,
} from "./dom.js";
import { keepOpen, on, store } from "./store.js";

export const title = "Live queries";

const SHOWN = 100;
const EVERY = 250; // ms between two drawings
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
  { name: "Answer" },
  { name: "Client" },
  { name: "Over", class: "muted" },
  { name: "Took", class: "num muted" },
];

export function mount(root) {
  let stream = null;
  let rows = [];
  let waiting = [];
  let paused = false;
  let dirty = true;
  let lost = 0;
  let trouble = "";
  let rate = 0;

  const name = h("input", {
    type: "search",
    placeholder: "part of a name",
    spellcheck: "false",
    autocomplete: "off",
    autocapitalize: "none",
    "data-search": "",
    maxlength: 255,
  });
  const client = h("input", {
    type: "search",
    placeholder: "10.0.0.0/8",
    spellcheck: "false",
    autocomplete: "off",
    maxlength: 60,
  });
  const rcode = choice([["", "all"], ...RCODES.map((one) => [one, one])], "");
  const type = h("input", {
    type: "search",
    placeholder: "all",
    spellcheck: "false",
    maxlength: 20,
    class: "small",
  });
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
    h(
      "form",
      { class: "filters", onsubmit: (event) => event.preventDefault() },
      field("Name", name, "grow"),
      field("Client", client),
      field("Answer", rcode),
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
    trouble = "";
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
        trouble =
          state === "open" ? "" : error ? sentence(error) : "The stream ended; it is opened again.";
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
    pause.textContent = paused ? "Go on" : "Pause";
    pause.setAttribute("aria-pressed", String(paused));
    const said = [];
    if (trouble && store.connection !== "away") said.push(trouble);
    if (paused) said.push(`Paused, ${number(waiting.length)} came since.`);
    else if (rate) said.push(`Up to ${number(rate)} a second and process are shown.`);
    if (lost) said.push(`${number(lost)} were too many for this page.`);
    const words = said.join(" ");
    if (note.textContent !== words) note.textContent = words;
    note.classList.toggle("bad", Boolean(trouble));
    if (!rows.length) {
      const filtered = name.value || client.value || rcode.value || type.value;
      list.replaceChildren(
        empty(
          filtered
            ? "No query that matches yet."
            : "No queries yet. Ask something, and it shows here.",
        ),
      );
      return;
    }
    list.replaceChildren(
      table(
        "Queries, the newest first",
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

  const again = settled(open, 350);
  for (const one of [name, client, type]) one.addEventListener("input", again);
  rcode.addEventListener("change", open);
  const timer = setInterval(draw, EVERY);
  const off = on("back", open);
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
