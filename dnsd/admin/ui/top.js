// Top: the most frequent names, clients, and types, over one or ten minutes, from samples.

import { get, sentence } from "./api.js";
import { bar, card, choice, empty, explainLink, field, filters, h, number } from "./dom.js";
import { on, handleConnectionError } from "./store.js";

export const title = "Top";

const EVERY = 2000;
const PARTS = [
  ["names", "Names", "No queries yet."],
  ["nxdomains", "NXDOMAIN", "No NXDOMAIN replies."],
  ["clients", "Clients", "No clients yet."],
  ["types", "Types", "No queries yet."],
];

export function mount(root) {
  let timer = 0;
  let gone = false;
  const window_ = choice(
    [
      ["1m", "1 minute"],
      ["10m", "10 minutes"],
    ],
    "1m",
  );
  const note = h("p", { class: "muted", role: "status" });
  const lists = new Map(PARTS.map(([key]) => [key, h("div")]));
  root.append(
    filters({}, field("Window", window_)),
    note,
    h(
      "div",
      { class: "grid two" },
      PARTS.map(([key, name]) => card(name, lists.get(key))),
    ),
  );

  async function update() {
    clearTimeout(timer);
    try {
      const found = await get("queries/top", { window: window_.value, k: 12 });
      if (gone) return;
      const every =
        found.sampled_one_in < 1.5
          ? "All queries are counted."
          : `Estimates from samples: 1 query in ${number(found.sampled_one_in)}.`;
      if (note.textContent !== every) note.textContent = every;
      for (const [key, , none] of PARTS)
        lists.get(key).replaceChildren(bars(key, found[key], none));
    } catch (error) {
      if (!handleConnectionError(error)) note.textContent = sentence(error);
    }
    if (!gone) timer = setTimeout(update, EVERY);
  }

  window_.addEventListener("change", update);
  const off = on("reconnect", update);
  update();
  return {
    leave: () => {
      gone = true;
      off();
      clearTimeout(timer);
    },
  };
}

function bars(key, rows, none) {
  if (!rows.length) return empty(none);
  const most = Math.max(1, ...rows.map((row) => row.estimate));
  const named = key === "names" || key === "nxdomains";
  return h(
    "ol",
    { class: "bars" },
    rows.map((row) =>
      h(
        "li",
        { class: "tall" },
        h("span", { class: "bar-name" }, named ? explainLink(row.item) : row.item),
        bar(row.estimate, most),
        h("span", { class: "bar-value" }, number(row.estimate)),
      ),
    ),
  );
}
