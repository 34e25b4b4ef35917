// The frame of the page: the current view, the state of the connection, the token, and the keys.

import { hasToken, setToken, takeToken } from "./api.js";
import { field, h, debounce } from "./dom.js";
import { refresh, on, store } from "./store.js";
import * as overview from "./overview.js";
import * as names from "./names.js";
import * as explain from "./explain.js";
import * as plan from "./plan.js";
import * as queries from "./queries.js";
import * as top from "./top.js";

const VIEWS = { overview, names, explain, plan, queries, top };
const main = document.getElementById("main");
const banner = document.getElementById("banner");
const state = document.getElementById("state");
const nav = document.getElementById("nav");

let shown = { name: "", leave: () => {}, enter: null };

// ---- Views --------------------------------------------------------------------------------

function route() {
  const match = /^#\/([a-z]+)(?:\?(.*))?$/.exec(location.hash);
  const name = match && match[1] in VIEWS ? match[1] : "overview";
  return { name, params: new URLSearchParams(match ? match[2] : "") };
}

function show(focus = true) {
  if (store.connection === "denied") {
    requestToken();
    return;
  }
  const { name, params } = route();
  markCurrent(name);
  if (shown.name === name && shown.enter) {
    shown.enter(params);
    return;
  }
  shown.leave();
  const view = VIEWS[name];
  const heading = h("h1", { tabindex: "-1" }, view.title);
  const root = h("div", { class: `view view-${name}` });
  main.replaceChildren(heading, root);
  document.title = `${view.title} · dnsd`;
  const { leave = () => {}, enter = null } = view.mount(root, params) || {};
  shown = { name, leave, enter };
  if (focus) heading.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function markCurrent(name) {
  for (const link of nav.querySelectorAll("a")) {
    if (link.dataset.view === name) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else {
      link.removeAttribute("aria-current");
    }
  }
}

nav.append(
  ...Object.entries(VIEWS).map(([name, view], i) =>
    h(
      "a",
      { href: `#/${name}`, "data-view": name, "aria-keyshortcuts": String(i + 1) },
      view.title,
    ),
  ),
);

// ---- The connection -----------------------------------------------------------------------

function showState() {
  const [text, kind] = stateText();
  state.textContent = text;
  state.className = `pill ${kind}`;
  state.title = store.status ? store.status.ready.reason : "";
  banner.hidden = store.connection !== "unreachable";
  const words =
    "dnsd does not answer. The data below is old; this page keeps trying.";
  if (!banner.hidden && banner.textContent !== words) banner.textContent = words;
  if (store.status) {
    document.getElementById("version").textContent =
      `dnsd ${store.status.version}, serial ${store.status.serial}`;
  }
}

function stateText() {
  if (store.connection === "unreachable") return ["no answer", "bad"];
  if (store.connection === "denied") return ["no token", "warn"];
  if (!store.status) return ["connecting", "quiet"];
  if (store.status.draining) return ["draining", "warn"];
  if (store.status.stale) return ["stale", "warn"];
  return store.status.ready.ok ? ["ready", "good"] : ["not ready", "bad"];
}

function requestToken() {
  shown.leave();
  shown = { name: "", leave: () => {}, enter: null };
  markCurrent("");
  document.title = "Token · dnsd";
  const input = h("input", {
    type: "password",
    name: "token",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
  });
  const wrong = hasToken()
    ? h(
        "p",
        { class: "note bad", role: "alert" },
        "dnsd does not accept this token. It may be mistyped, or from an earlier run.",
      )
    : null;
  const form = h(
    "form",
    {
      class: "card narrow",
      onsubmit: (event) => {
        event.preventDefault();
        setToken(input.value.trim());
        refresh();
      },
    },
    h("h1", { tabindex: "-1" }, "This page requires a token"),
    wrong,
    h(
      "p",
      {},
      "When it starts, ",
      h("code", {}, "dnsd serve"),
      " prints the URL of this page with a token, in the line that starts with ",
      h("code", {}, "admin:"),
      ". Open that URL, or enter the token here.",
    ),
    h(
      "p",
      { class: "muted" },
      "With a token file (",
      h("code", {}, "admin_tokens"),
      "), use a token of that file; the role read is enough.",
    ),
    field("Token", input),
    h("p", {}, h("button", { class: "primary", type: "submit" }, "Use this token")),
  );
  main.replaceChildren(form);
  input.focus();
}

on("connection", ({ before, state: now }) => {
  showState();
  if (now === "denied") requestToken();
  else if (before === "denied" && now === "open") show();
});
on("status", showState);

// ---- Keys and the address -----------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input, textarea, select");
  if (event.key === "Escape") {
    if (typing) typing.blur();
    main.dispatchEvent(new CustomEvent("dismiss"));
    return;
  }
  if (typing || store.connection === "denied") return;
  const view = Object.keys(VIEWS)[Number(event.key) - 1];
  if (view) {
    location.hash = `#/${view}`;
  } else if (event.key === "/") {
    const search = main.querySelector("[data-search]");
    if (search) search.focus();
    else location.hash = "#/names?focus=1";
    event.preventDefault();
  } else if (event.key === "p") {
    main.querySelector("[data-pause]")?.click();
  }
});

window.addEventListener("hashchange", () => {
  if (takeToken()) refresh();
  else if (route().name && location.hash !== "#main") show();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

// A hidden page sends no requests. It updates at once when it is visible again.
document.addEventListener(
  "visibilitychange",
  debounce(() => {
    if (!document.hidden && store.connection !== "denied") refresh();
  }, 50),
);

takeToken();
showState();
await refresh();
if (store.connection !== "denied") show(false);
