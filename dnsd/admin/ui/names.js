// All names: search as you type, filters, and the details of one name (record.js).

import { ApiError, get, sentence } from "./api.js";
import {
  addressOf,
  choice,
  count,
  debounce,
  dotted,
  empty,
  field,
  filters,
  h,
  input,
  problem,
  table,
  throttle,
} from "./dom.js";
import { recordCard, values } from "./record.js";
import { on, handleConnectionError } from "./store.js";

export const title = "Names";

const PAGE = 50; // names, each with its records
const MAX_PAGE = 1000; // the limit of the API
const TYPES = ["A", "AAAA", "CNAME", "SRV", "PTR", "TXT", "NS", "SOA", "MX", "HTTPS", "SVCB"];

export function mount(root, params) {
  let wanted = state(params);
  let cursor = "";
  let running = null;
  let zones = [];
  let shown = [];
  let wantedNames = PAGE; // "More" that a reload interrupts is not lost
  let known = "";

  const search = input({ placeholder: "part of a name", "data-search": "", value: wanted.q });
  const zone = choice([["", "…"]], "");
  const type = choice([["", "all types"], ...TYPES.map((one) => [one, one])], wanted.type);
  const namespace = choice([["", "all namespaces"]], "");
  const summary = h("p", { class: "muted", role: "status" });
  const list = h("div");
  const more = h("button", { type: "button", hidden: true, onclick: () => load(true) }, "More");
  const detail = h("div", { class: "detail" });
  root.append(
    filters(
      { role: "search" },
      field("Search", search, "grow"),
      field("Zone", zone),
      field("Namespace", namespace),
      field("Type", type),
    ),
    summary,
    h("div", { class: "split" }, h("div", { class: "list" }, list, more), detail),
  );

  const changed = debounce(() => go({ q: search.value }));
  search.addEventListener("input", changed);
  zone.addEventListener("change", () => go({ zone: zone.value }));
  type.addEventListener("change", () => go({ type: type.value }));
  namespace.addEventListener("change", () => go({ namespace: namespace.value }));

  function go(change) {
    const next = { ...wanted, ...change };
    history.replaceState(null, "", addressOf("names", next));
    enter(new URLSearchParams(next));
  }

  // Text that was just typed, and is not searched for yet, must not get lost by a click.
  function open(event, name) {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    changed.stop();
    location.hash = addressOf("names", { ...wanted, q: search.value, name });
  }

  function enter(given) {
    const before = wanted;
    wanted = state(given);
    if (given.get("focus")) search.focus();
    if (document.activeElement !== search) search.value = wanted.q;
    type.value = wanted.type;
    namespace.value = wanted.namespace;
    if (wanted.zone) zone.value = wanted.zone;
    const same = ["q", "zone", "type", "namespace"].every((one) => before[one] === wanted[one]);
    if (!same) load(false);
    if (wanted.name !== before.name) showDetail();
  }

  // `further`: load the next page. `again`: reload as many names as are shown.
  async function load(further, again = false) {
    running?.abort();
    running = new AbortController();
    const { signal } = running;
    if (further) wantedNames = names(shown) + PAGE;
    else if (!again) wantedNames = PAGE;
    try {
      if (!zones.length) await loadFilters(signal);
      const where = wanted.zone || zones[0].name;
      zone.value = where;
      const page = await get(
        `zones/${encodeURIComponent(where)}/records`,
        {
          name: wanted.q.trim().toLowerCase(),
          type: wanted.type,
          namespace: wanted.namespace,
          limit: again ? Math.min(MAX_PAGE, Math.max(wantedNames, names(shown))) : PAGE,
          cursor: further ? cursor : "",
        },
        signal,
      );
      cursor = page.next || "";
      shown = further ? [...shown, ...page.records] : page.records;
      draw(where);
    } catch (error) {
      failed(error, signal);
    }
  }

  async function loadFilters(signal) {
    const [found, spaces] = await Promise.all([
      get("zones", {}, signal),
      get("namespaces", {}, signal),
    ]);
    zones = found.zones.sort((a, b) => (a.kind > b.kind) - (a.kind < b.kind));
    const now = JSON.stringify([zones.map((one) => [one.name, one.names]), spaces]);
    if (now === known) return; // an open list stays open
    known = now;
    zone.replaceChildren(
      ...zones.map((one) => h("option", { value: one.name }, `${one.name} (${one.names})`)),
    );
    namespace.replaceChildren(
      h("option", { value: "" }, "all namespaces"),
      ...spaces.namespaces.map((one) =>
        h("option", { value: one.name }, `${one.name} (${one.services})`),
      ),
    );
    namespace.value = wanted.namespace;
  }

  function draw(where) {
    const filtered = wanted.q || wanted.type || wanted.namespace;
    more.hidden = !cursor;
    const further = cursor ? " (more are available)" : "";
    summary.textContent = `${count(shown.length, "record")} in ${where}${further}`;
    if (!shown.length) {
      list.replaceChildren(
        empty(
          filtered
            ? cursor
              ? "No match so far. More names can be searched."
              : "No record of this zone matches. Shorten the search, or select another zone."
            : "This zone has no records.",
        ),
      );
      return;
    }
    const columns = [
      { name: "Name", class: "wide" },
      { name: "Type" },
      { name: "Values", class: "wide" },
      { name: "TTL", class: "num" },
    ];
    const focused = document.activeElement?.dataset?.name;
    list.replaceChildren(
      table(
        "Records",
        columns,
        shown.map((one) => [
          h(
            "a",
            {
              class: "name",
              "data-name": one.name,
              href: addressOf("names", { ...wanted, name: one.name }),
              onclick: (event) => open(event, one.name),
              "aria-current": one.name === wanted.name ? "true" : null,
            },
            dotted(one.name),
          ),
          one.type,
          values(one.values),
          String(one.ttl),
        ]),
        { class: "rows names", onkeydown: arrows },
      ),
    );
    if (focused) list.querySelector(`[data-name="${CSS.escape(focused)}"]`)?.focus();
  }

  function failed(error, signal) {
    if (signal.aborted || handleConnectionError(error)) return;
    if (error instanceof ApiError && error.status === 404) {
      zones = []; // a reverse zone that no longer exists
      wanted.zone = "";
    }
    list.replaceChildren(problem(sentence(error)));
  }

  async function showDetail() {
    const name = wanted.name;
    if (!name) {
      detail.replaceChildren();
      draw(wanted.zone || zones[0]?.name || "");
      return;
    }
    for (const one of list.querySelectorAll("[data-name]")) {
      if (one.dataset.name === name) one.setAttribute("aria-current", "true");
      else one.removeAttribute("aria-current");
    }
    try {
      const found = await recordCard(name, wanted.zone || zones[0]?.name, close);
      if (wanted.name === name) detail.replaceChildren(found);
    } catch (error) {
      if (!handleConnectionError(error)) {
        detail.replaceChildren(problem(sentence(error)));
      }
    }
  }

  function close() {
    const name = wanted.name;
    go({ name: "" });
    list.querySelector(`[data-name="${CSS.escape(name)}"]`)?.focus();
  }

  const again = throttle(() => {
    zones = [];
    load(false, true);
    if (wanted.name) showDetail();
  });
  const dismiss = () => {
    if (wanted.name) close();
  };
  const main = document.getElementById("main");
  main.addEventListener("dismiss", dismiss);
  const leave = [
    on("change", again),
    on("reconnect", again),
    () => main.removeEventListener("dismiss", dismiss),
  ];
  load(false).then(() => {
    if (wanted.name) showDetail();
  });
  if (params.get("focus")) search.focus();
  return {
    enter,
    leave: () => {
      leave.forEach((off) => off());
      changed.stop();
      again.stop();
      running?.abort();
    },
  };
}

/** The number of names of these records, which are in the order of their names. */
function names(records) {
  return records.filter((one, i) => one.name !== records[i - 1]?.name).length;
}

function state(params) {
  const of = (name) => params.get(name) || "";
  return {
    q: of("q"),
    zone: of("zone"),
    type: of("type"),
    namespace: of("namespace"),
    name: of("name"),
  };
}

/** Arrow up and arrow down move from name to name. */
function arrows(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || !event.target.matches("[data-name]")) return;
  const all = [...event.currentTarget.querySelectorAll("[data-name]")];
  const next = all[all.indexOf(event.target) + step];
  if (next) {
    next.focus();
    event.preventDefault();
  }
}
