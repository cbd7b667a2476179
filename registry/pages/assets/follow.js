// The log of a run that runs: lines appear as they are written.
"use strict";

const MOST_LINES = 2000;

function follow(logs) {
  const said = logs.querySelector("[data-following]");
  const status = document.querySelector("[data-status-of-run]");
  // Each step has its place, and the lines that the page has of it already.
  const steps = new Map();
  for (const details of logs.querySelectorAll("[data-step]")) {
    steps.set(details.dataset.step, { details, list: details.querySelector("ol"), seen: 0 });
  }

  function place(name) {
    let step = steps.get(name);
    if (!step) {
      const details = document.createElement("details");
      details.className = "log";
      details.open = true;
      details.dataset.step = name;
      const summary = document.createElement("summary");
      summary.textContent = name;
      const list = document.createElement("ol");
      list.tabIndex = 0;
      details.append(summary, list);
      logs.append(details);
      step = { details, list, seen: 0 };
      steps.set(name, step);
    }
    return step;
  }

  function add(name, level, message) {
    const { list } = place(name);
    const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 30;
    const item = document.createElement("li");
    item.className = `line ${level}`;
    const mark = document.createElement("span");
    mark.className = "level";
    mark.textContent = level;
    const text = document.createElement("span");
    text.className = "message";
    text.textContent = message;
    item.append(mark, " ", text);
    list.append(item);
    while (list.childElementCount > MOST_LINES) list.firstElementChild.remove();
    if (isAtEnd) list.scrollTop = list.scrollHeight;
  }

  const source = new EventSource(logs.dataset.follow);
  source.addEventListener("open", () => {
    // The server tells everything from the beginning whenever it is asked.
    for (const { list } of steps.values()) list.replaceChildren();
    said.textContent = "The log follows the run.";
  });
  source.addEventListener("line", (event) => {
    const { step, level, message } = JSON.parse(event.data);
    add(step, level, message);
  });
  source.addEventListener("step", (event) => {
    const { step, status: state } = JSON.parse(event.data);
    const { details } = place(step);
    const summary = details.querySelector("summary");
    summary.textContent = `${step} (${state})`;
  });
  source.addEventListener("end", (event) => {
    source.close();
    const { status: state } = JSON.parse(event.data);
    if (status) status.textContent = state;
    said.textContent = `The run is ${state}. `;
    const again = document.createElement("a");
    again.href = location.pathname;
    again.textContent = "Show its results";
    said.append(again);
  });
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED) said.textContent = "The connection broke; trying again.";
  });
}

for (const logs of document.querySelectorAll(".logs[data-follow]")) follow(logs);
