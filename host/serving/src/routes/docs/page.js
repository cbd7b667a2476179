// Builds a form from openapi.json, sends its row, and shows the answer. Texts of models become text
// nodes and values of inputs, never markup.
"use strict";

const by = (id) => document.getElementById(id);
const state = { document: null, models: [], model: null, fields: [], token: "" };

/** Makes an element with these properties and children. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function headers(more = {}) {
  return state.token ? { ...more, Authorization: `Bearer ${state.token}` } : more;
}

function notice(text) {
  by("notice").textContent = text;
  by("notice").hidden = !text;
}

/** Fetches the description of the interface, and shows the first model. */
async function load() {
  let response;
  try {
    response = await fetch("openapi.json", { headers: headers() });
  } catch {
    return notice("The server does not answer. Load the page again once it does.");
  }
  if (response.status === 401 || response.status === 403) {
    by("access").hidden = false;
    return notice(state.token ? "The server does not accept this token." : "The server asks for a token.");
  }
  if (!response.ok) return notice(`The server answers with status ${response.status}.`);
  state.document = await response.json();
  notice("");
  state.models = Object.entries(state.document.paths)
    .filter(([path, methods]) => path.startsWith("/models/") && methods.post && methods.post["x-model"])
    .map(([path, methods]) => ({ path, operation: methods.post }));
  if (!state.models.length) return notice("No model is served yet.");
  by("model").replaceChildren(...state.models.map((it, place) =>
    make("option", { value: String(place), textContent: it.operation["x-model"] })));
  const several = state.models.length > 1;
  by("model").hidden = !several;
  by("name").hidden = several;
  document.querySelector("label[for=model]").hidden = !several;
  by("main").hidden = false;
  show(state.models[0]);
}

function show(model) {
  state.model = model;
  const { operation } = model;
  by("name").textContent = operation["x-model"];
  by("version").textContent = `version ${operation["x-version"]}`;
  by("digest").textContent = operation["x-digest"];
  const reference = operation.requestBody.content["application/json"].schema.anyOf[0].$ref;
  const schema = state.document.components.schemas[reference.split("/").pop()];
  state.example = schema.examples[0];
  state.fields = schema.required.map((name, place) => field(name, schema.properties[name], place));
  by("features").replaceChildren(...state.fields.map((it) => it.element));
  by("answer").replaceChildren(make("p", { className: "muted", textContent: "Press Predict." }));
  by("raw").hidden = true;
  fill();
}

/** Makes the input of a feature: by its type, and by the values that the model knows. */
function field(name, schema, place) {
  const kind = schema["x-type"];
  const nullable = Array.isArray(schema.type);
  const id = `feature-${place}`;
  const known = schema.enum || (kind === "boolean" ? [true, false] : null);
  let input;
  const extra = [];
  if (known) {
    const options = known.filter((value) => value !== null).map(String);
    input = make("select", { id }, ...options.map((value) => make("option", { value, textContent: value })));
    if (nullable) input.prepend(make("option", { value: "", textContent: "(missing)" }));
  } else {
    input = make("input", { id, type: "text", spellcheck: false });
    if (kind === "int64") Object.assign(input, { type: "number", step: "1" });
    if (kind === "float64") Object.assign(input, { type: "number", step: "any" });
    if (kind === "timestamp") input.placeholder = "2026-01-31T12:00:00Z";
    if (schema.examples) {
      extra.push(make("datalist", { id: `${id}-known` }, ...schema.examples.map((value) => make("option", { value }))));
      input.setAttribute("list", `${id}-known`);
    }
  }
  input.dataset.feature = name;
  const error = make("p", { id: `${id}-error`, className: "error", hidden: true });
  input.setAttribute("aria-describedby", error.id);
  const hint = nullable ? `${kind} or empty` : kind;
  const label = make("label", { htmlFor: id },
    make("span", { textContent: name }), make("span", { className: "hint", textContent: hint }));
  const element = make("div", { className: "field" }, label, input, ...extra, error);
  const it = { name, kind, nullable, input, error, element };
  for (const event of ["input", "change"]) {
    input.addEventListener(event, () => { complain(it, ""); command(); });
  }
  return it;
}

/** Fills in the example, which the model accepts. */
function fill() {
  for (const it of state.fields) {
    const value = state.example[it.name];
    it.input.value = value === null || value === undefined ? "" : String(value);
    complain(it, "");
  }
  command();
}

/** Shows or removes the error of a feature. */
function complain(it, message) {
  it.error.textContent = message;
  it.error.hidden = !message;
  it.input.setAttribute("aria-invalid", message ? "true" : "false");
}

/** Returns a value as JSON. Digits stay as they were typed: JavaScript's numbers would round them. */
function json(it) {
  const text = it.input.value;
  const isText = it.kind === "utf8" || it.kind === "categorical";
  if (text === "" && (it.nullable || !isText)) return "null";
  if (it.kind === "boolean") return text;
  if (it.kind === "int64" || it.kind === "float64") {
    return /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text) ? text : JSON.stringify(text);
  }
  return JSON.stringify(text);
}

function body() {
  return `{${state.fields.map((it) => `${JSON.stringify(it.name)}: ${json(it)}`).join(", ")}}`;
}

/** Returns the path of the model, relative to this page. */
function path() {
  return state.model.path.slice(1);
}

/** Shows the row as a command for a shell. */
function command() {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const token = state.token ? " \\\n  -H \"Authorization: Bearer $TOKEN\"" : "";
  const url = new URL(path(), document.baseURI).href;
  by("curl").textContent =
    `curl ${quoted(url)}${token} \\\n  -H 'Content-Type: application/json' \\\n  -d ${quoted(body())}`;
}

/** Sends the row. */
async function predict() {
  let sound = true;
  for (const it of state.fields) {
    // A number input is empty while its text is no number.
    const message = it.input.validity.badInput ? "This is not a number." : "";
    complain(it, message);
    sound &&= !message;
  }
  if (!sound) return;
  by("predict").disabled = true;
  const started = performance.now();
  try {
    const response = await fetch(path(), {
      method: "POST",
      headers: headers({ "Content-Type": "application/json" }),
      body: body(),
    });
    const text = await response.text();
    tell(response.status, text, performance.now() - started);
  } catch {
    fail("The server does not answer.");
  } finally {
    by("predict").disabled = false;
  }
}

function fail(text) {
  by("answer").replaceChildren(make("p", { className: "failed", textContent: text }));
  by("raw").hidden = true;
}

/** Shows an answer, or errors beside their features. */
function tell(status, text, milliseconds) {
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    return fail(`The server answers with status ${status}.`);
  }
  const facts = make("p", { className: "facts" });
  facts.textContent = [`status ${status}`, `${milliseconds.toFixed(1)} ms`, answer.request_id].filter(Boolean).join(" · ");
  const parts = [];
  if (answer.predictions) {
    parts.push(...prediction(answer.predictions[0]));
  } else if (answer.errors) {
    parts.push(...errors(answer.errors));
  } else {
    const { message, hint } = answer.error || {};
    parts.push(make("p", { className: "failed", textContent: message || "The server refused the request." }));
    if (hint) parts.push(make("p", { className: "muted", textContent: hint }));
  }
  by("answer").replaceChildren(...parts, facts);
  by("json").textContent = JSON.stringify(answer, null, 2);
  by("raw").hidden = false;
}

/** Returns a prediction as elements. */
function prediction({ label, value, probability, probabilities }) {
  const parts = [make("p", { className: "label", id: "prediction", textContent: label ?? String(value) })];
  const bars = probabilities ? Object.entries(probabilities) : probability === undefined ? [] : [[positive(), probability]];
  for (const [name, share] of bars) {
    parts.push(make("div", { className: "bar" },
      make("span", { textContent: name }),
      make("progress", { max: 1, value: share }),
      make("span", { textContent: `${(100 * share).toFixed(2)} %` })));
  }
  return parts;
}

/** Returns the class that the probability of a binary model is of. */
function positive() {
  const reference = state.model.operation.responses["200"].content["application/json"].schema.$ref;
  const schema = state.document.components.schemas[reference.split("/").pop()];
  return schema.properties.predictions.items.properties.label.enum[1];
}

/** Shows errors beside their features, and returns the others as elements. */
function errors(all) {
  const others = [];
  let first = null;
  for (const { field: name, message } of all) {
    const it = state.fields.find((candidate) => candidate.name === name);
    if (!it) {
      others.push(make("p", { className: "failed", textContent: name ? `${name}: ${message}` : message }));
      continue;
    }
    complain(it, message);
    first ??= it;
  }
  if (first) {
    first.input.focus();
    others.unshift(make("p", { className: "failed", textContent: "The row does not fit: see the marked features." }));
  }
  return others;
}

async function copy() {
  const selection = getSelection();
  try {
    await navigator.clipboard.writeText(by("curl").textContent);
    by("copy").textContent = "Copied";
  } catch {
    // Pages without TLS have no clipboard: the command is selected instead.
    selection.selectAllChildren(by("curl"));
    by("copy").textContent = "Selected";
  }
  setTimeout(() => { by("copy").textContent = "Copy"; }, 1500);
}

by("row").addEventListener("submit", (event) => { event.preventDefault(); predict(); });
by("example").addEventListener("click", fill);
by("copy").addEventListener("click", copy);
by("model").addEventListener("change", () => show(state.models[Number(by("model").value)]));
by("access").addEventListener("submit", (event) => {
  event.preventDefault();
  state.token = by("token").value.trim();
  load();
});
load();
