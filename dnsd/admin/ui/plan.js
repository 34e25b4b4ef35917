// Plan: drop manifests, see which names would appear, vanish, or change.

import { ApiError, post, sentence } from "./api.js";
import { card, choice, count, dotted, empty, field, h, list, number, problem, table } from "./dom.js";
import { handleConnectionError } from "./store.js";

export const title = "Plan";

const MAX = 8 << 20; // the limit of the API
const MODES = [
  ["apply", "apply"],
  ["delete", "delete"],
  ["whole", "whole state"],
];

export function mount(root) {
  let running = null;
  const text = h("textarea", {
    rows: 14,
    spellcheck: "false",
    autocomplete: "off",
    "data-search": "",
    placeholder: "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n…",
  });
  const mode = choice(MODES, "apply");
  const files = h("input", {
    type: "file",
    multiple: true,
    accept: ".yaml,.yml,.json",
    class: "unseen",
    id: "files",
  });
  const note = h("p", { class: "muted", role: "status" });
  const result = h("div", { class: "result", "aria-live": "polite" });
  const drop = h(
    "form",
    {
      class: "card drop",
      onsubmit: (event) => {
        event.preventDefault();
        compute();
      },
    },
    h(
      "p",
      {},
      "Drop YAML or JSON files here, ",
      h("label", { for: "files", class: "file" }, "choose files"),
      files,
      ", or paste manifests. Nothing is applied.",
    ),
    field("Manifests", text),
    h(
      "div",
      { class: "filters" },
      field("Mode", mode),
      h("button", { class: "primary", type: "submit" }, "Compute plan"),
      h(
        "button",
        {
          class: "quiet",
          type: "button",
          onclick: () => {
            text.value = "";
            note.textContent = "";
            result.replaceChildren();
          },
        },
        "Clear",
      ),
    ),
    note,
  );
  root.append(drop, result);

  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take([...event.dataTransfer.files], event.dataTransfer.getData("text"));
  });
  files.addEventListener("change", () => {
    take([...files.files], "");
    files.value = "";
  });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) compute();
  });

  async function take(given, dropped) {
    const size = given.reduce((sum, file) => sum + file.size, 0);
    if (size > MAX) {
      note.textContent = `These files exceed ${MAX >> 20} MiB in total.`;
      return;
    }
    const texts = await Promise.all(given.map((file) => file.text()));
    if (dropped && !texts.length) texts.push(dropped);
    if (!texts.length) return;
    text.value = texts.map((one) => one.trimEnd()).join("\n---\n") + "\n";
    note.textContent = given.length ? `Read ${given.map((file) => file.name).join(", ")}.` : "";
    await compute();
  }

  async function compute() {
    if (!text.value.trim()) {
      result.replaceChildren(empty("Nothing to plan: drop a file, or paste a manifest."));
      return;
    }
    running?.abort();
    running = new AbortController();
    const { signal } = running;
    try {
      const found = await post(
        "plan",
        text.value,
        "application/yaml",
        { mode: mode.value },
        signal,
      );
      result.replaceChildren(...shown(found));
    } catch (error) {
      if (signal.aborted) return;
      if (handleConnectionError(error)) {
        result.replaceChildren(problem(sentence(error)));
        return;
      }
      const more = error instanceof ApiError ? error.problem.problems || [] : [];
      result.replaceChildren(
        h(
          "div",
          { class: "note bad", role: "alert" },
          h("p", {}, error instanceof ApiError ? error.message : sentence(error)),
          more.length > 1 ? list(more.slice(1)) : null,
        ),
      );
    }
  }

  return { leave: () => running?.abort() };
}

function shown(found) {
  const kind = found.problems.length || found.conflicts.length || found.breaks ? "warn" : "good";
  const out = [
    h(
      "section",
      { class: `card verdict ${kind}`, "aria-label": "Verdict" },
      h("p", { class: "sentence" }, found.verdict),
      h(
        "p",
        { class: "muted" },
        `${count(found.objects, "object")} read${skipped(found.skipped)}.`,
      ),
    ),
  ];
  const lists = [
    ["Problems", found.problems, "bad"],
    ["Conflicts", found.conflicts, "warn"],
    ["Notes", found.notes, "quiet"],
  ];
  for (const [name, sentences, tone] of lists) {
    if (sentences.length) {
      out.push(card(name, list(sentences, tone)));
    }
  }
  const parts = [
    ["Would vanish", found.vanish, "−", "gone"],
    ["Would change", found.change, "~", "changed"],
    ["Would appear", found.appear, "+", "new"],
  ];
  for (const [name, rows, sign, kindOf] of parts) {
    if (rows.length)
      out.push(card(`${name} (${number(rows.length)})`, rowsOf(name, rows, sign, kindOf)));
  }
  return out;
}

function skipped(kinds) {
  const found = Object.entries(kinds).map(([kind, many]) => `${many} ${kind}`);
  return found.length ? `; skipped because these kinds have no names: ${found.join(", ")}` : "";
}

function rowsOf(name, rows, sign, kind) {
  const columns = [
    { name: "Name", class: "wide" },
    { name: "Type" },
    { name: "Values", class: "wide" },
    { name: "Recent queries", class: "num" },
  ];
  return table(
    name,
    columns,
    rows
      .slice(0, 500)
      .map((row) => [
        h("span", { class: `diff ${kind}` }, h("span", { class: "sign" }, sign), dotted(row.name)),
        row.type,
        values(row),
        row.asked ? h("strong", {}, number(row.asked)) : row.asked === null ? "–" : "0",
      ]),
    { class: "rows" },
  );
}

function values(row) {
  const line = (texts, kind) =>
    texts.map((one) => h("span", { class: `value ${kind}` }, dotted(one)));
  return h("span", { class: "values" }, line(row.before, "gone"), line(row.after, "new"));
}
