// The details of one name: its records, their contributors, and its recorded changes.

import { get } from "./api.js";
import { causeText, diffLine, dotted, empty, explainLink, h, rcodePill, when } from "./dom.js";

const CHANGES = 50;
const VALUES = 6; // shown of one record

/** The card of a name in a zone. Throws the errors of `get`. Its button calls `close`. */
export async function recordCard(name, zone, close) {
  const [records, past] = await Promise.all([
    recordsOf(name, zone),
    get("history", { name, limit: CHANGES }),
  ]);
  const owners = [...new Set(records.flatMap((one) => one.owners))];
  return h(
    "section",
    { class: "card", "aria-label": name },
    h(
      "div",
      { class: "head" },
      h("h2", { class: "name" }, dotted(name)),
      h("button", { type: "button", class: "quiet", onclick: close }, "Close"),
    ),
    owners.length ? h("p", { class: "muted" }, `Contributors: ${owners.join(", ")}`) : null,
    records.length
      ? h("ul", { class: "plain records" }, records.map(record))
      : empty("The name has no records now."),
    h("p", {}, explainLink(name, records[0]?.type || "A", "Explain this answer")),
    h("h3", {}, "History"),
    past.changes.length
      ? h("ol", { class: "history" }, past.changes.map(entry))
      : empty("No changes are recorded."),
  );
}

async function recordsOf(name, zone) {
  if (!zone) return [];
  const page = await get(`zones/${encodeURIComponent(zone)}/records`, { name, limit: 100 });
  return page.records.filter((one) => one.name === name);
}

function record(one) {
  return h(
    "li",
    {},
    rcodePill(one.type),
    " ",
    h("span", { class: "muted" }, `TTL ${one.ttl}`),
    values(one.values),
  );
}

/** The first values of a record, and the number of further ones. */
export function values(texts) {
  const shown = texts.slice(0, VALUES).map((one) => h("span", { class: "value" }, dotted(one)));
  if (texts.length > VALUES)
    shown.push(h("span", { class: "muted" }, `and ${texts.length - VALUES} more`));
  return h("span", { class: "values" }, shown);
}

function entry(change) {
  const side = (rrset, sign, kind) =>
    rrset ? diffLine(sign, kind, `${change.type} ${rrset.values.join(", ")}`) : null;
  return h(
    "li",
    {},
    h("p", {}, when(change.at), h("span", { class: "muted" }, ` serial ${change.serial}`)),
    side(change.before, "−", "gone"),
    side(change.after, "+", "new"),
    h("p", { class: "muted" }, `caused by ${causeText(change.cause)}`),
  );
}
