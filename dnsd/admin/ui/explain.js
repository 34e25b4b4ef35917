// Explain: enter a name, see why it resolves or does not.

import { ApiError, get, sentence } from "./api.js";
import {
  addressOf,
  card,
  causeText,
  choice,
  diffLine,
  dotted,
  empty,
  explainLink,
  field,
  h,
  input,
  list,
  problem,
  rcodePill,
  table,
  throttle,
  when,
} from "./dom.js";
import { on, handleConnectionError } from "./store.js";

export const title = "Explain";

const TYPES = [
  "A",
  "AAAA",
  "SRV",
  "CNAME",
  "PTR",
  "TXT",
  "NS",
  "SOA",
  "MX",
  "HTTPS",
  "SVCB",
  "ANY",
];
const MARKS = {
  true: ["✓", "good", "passed"],
  false: ["✗", "bad", "failed"],
  null: ["–", "quiet", "information"],
};

export function mount(root, params) {
  let wanted = read(params);
  let running = null;
  const name = input({
    type: "text",
    required: true,
    placeholder: "web.prod, or a full name",
    "data-search": "",
    maxlength: 255,
    value: wanted.name,
  });
  const type = choice(
    TYPES.map((one) => [one, one]),
    wanted.type,
  );
  const namespace = input({
    type: "text",
    placeholder: "default",
    maxlength: 63,
    value: wanted.namespace,
  });
  const client = input({ type: "text", placeholder: "any", maxlength: 45, value: wanted.client });
  const result = h("div", { class: "result", "aria-live": "polite" });
  root.append(
    h(
      "form",
      {
        class: "filters",
        onsubmit: (event) => {
          event.preventDefault();
          const given = {
            name: name.value.trim(),
            type: type.value,
            namespace: namespace.value.trim(),
            client: client.value.trim(),
          };
          const hash = addressOf("explain", given);
          if (location.hash === hash) update();
          else location.hash = hash;
        },
      },
      field("Name", name, "grow"),
      field("Type", type),
      field("Pod namespace", namespace),
      field("Client address", client),
      h("button", { class: "primary", type: "submit" }, "Explain"),
    ),
    result,
  );

  async function update() {
    if (!wanted.name) {
      result.replaceChildren(
        empty(
          "Enter a name as a Pod would (“web.prod”), or a full name, ",
          "to see why it resolves or does not.",
        ),
      );
      return;
    }
    running?.abort();
    running = new AbortController();
    const { signal } = running;
    try {
      const found = await get("explain", wanted, signal);
      result.replaceChildren(...shown(found));
    } catch (error) {
      if (signal.aborted || handleConnectionError(error)) return;
      result.replaceChildren(
        problem(error instanceof ApiError ? error.message : sentence(error)),
      );
    }
  }

  function enter(given) {
    wanted = read(given);
    name.value = wanted.name;
    type.value = wanted.type;
    namespace.value = wanted.namespace;
    client.value = wanted.client;
    update();
  }

  const again = throttle(update);
  const leave = [on("change", again), on("reconnect", again)];
  update();
  if (!wanted.name) name.focus();
  return {
    enter,
    leave: () => {
      leave.forEach((off) => off());
      again.stop();
      running?.abort();
    },
  };
}

function read(params) {
  const type = (params.get("type") || "A").toUpperCase();
  return {
    name: params.get("name") || "",
    type: TYPES.includes(type) ? type : "A",
    namespace: params.get("namespace") || "",
    client: params.get("client") || "",
  };
}

function shown(found) {
  const outcome = found.outcome === "nodata" ? "NODATA" : found.rcode || "UPSTREAM";
  const out = [
    h(
      "section",
      { class: "card verdict", "aria-label": "Verdict" },
      rcodePill(outcome),
      h("p", { class: "sentence" }, found.verdict),
      found.answer.length
        ? list(found.answer, "answer")
        : null,
    ),
    card("Steps", h("ol", { class: "steps" }, found.steps.map(step))),
  ];
  if (found.nearest.length) {
    out.push(
      card(
        "Similar names that exist",
        list(
          found.nearest.map((near) => [
            explainLink(near.name, found.type),
            " ",
            h("span", { class: "muted" }, near.why),
          ]),
          "near",
        ),
      ),
    );
  }
  const below = [];
  if (found.objects.length) {
    below.push(card("Objects", list(found.objects.map(causeText))));
  }
  if (found.changed) below.push(card("Last change", ...changed(found.changed)));
  if (below.length) out.push(h("div", { class: "grid two" }, below));
  if (found.search.length > 1) {
    out.push(
      card(
        "Search list of the Pod, in order",
        table(
          "Search list",
          [{ name: "Name", class: "wide" }, { name: "Outcome" }],
          found.search.map((one) => [
            h("span", { class: "name" }, dotted(one.name)),
            one.used ? h("strong", {}, `${shownOutcome(one)} (the resolver stops here)`) : shownOutcome(one),
          ]),
          { class: "rows" },
        ),
      ),
    );
  }
  return out;
}

function shownOutcome(one) {
  return one.outcome === "not ours" ? "external" : one.outcome;
}

function step(one) {
  const [sign, kind, words] = MARKS[String(one.ok)];
  return h(
    "li",
    { class: kind },
    h("span", { class: "step-mark", role: "img", "aria-label": words }, sign),
    h("span", { class: "step-what" }, one.what),
    h("span", { class: "step-text" }, one.said),
  );
}

function changed(last) {
  return [
    h(
      "p",
      {},
      when(last.at),
      h("span", { class: "muted" }, ` serial ${last.serial}, caused by ${causeText(last.cause)}`),
    ),
    last.before.map((line) => diffLine("−", "gone", line)),
    last.after.map((line) => diffLine("+", "new", line)),
  ].flat();
}
