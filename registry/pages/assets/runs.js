// The list of runs: the chooser of columns, and the selection for a comparison.
"use strict";

const MOST_COMPARED = 30;

function makeChooser(chooser) {
  const search = chooser.querySelector("#column-search");
  const choices = chooser.querySelector(".choices");
  const found = chooser.querySelector("[data-found]");
  let asked = 0;
  let timer = 0;

  // What is checked stays, wherever the search leads.
  function chosen() {
    return new Set([...choices.querySelectorAll("input:checked")].map((box) => box.value));
  }

  function choice(kind, name, isChecked) {
    const label = document.createElement("label");
    label.className = "beside";
    const box = document.createElement("input");
    box.type = "checkbox";
    box.name = "column";
    box.value = `${kind}.${name}`;
    box.checked = isChecked;
    const text = document.createElement("span");
    text.textContent = `${name} `;
    const soft = document.createElement("span");
    soft.className = "soft";
    soft.textContent = kind;
    text.append(soft);
    label.append(box, text);
    return label;
  }

  async function look() {
    const mine = ++asked;
    const link = new URL(chooser.dataset.names, location.href);
    link.searchParams.set("q", search.value);
    let names;
    try {
      const response = await fetch(link, { headers: { Accept: "application/json" } });
      if (!response.ok) throw new Error(String(response.status));
      names = await response.json();
    } catch {
      if (mine === asked) found.textContent = "The server does not answer.";
      return;
    }
    if (mine !== asked) return;
    const kept = chosen();
    const rows = [];
    for (const value of kept) {
      const dot = value.indexOf(".");
      rows.push(choice(value.slice(0, dot), value.slice(dot + 1), true));
    }
    let count = 0;
    let isCut = false;
    for (const kind of ["metrics", "params", "tags"]) {
      isCut ||= names[kind].length >= names.most;
      for (const name of names[kind]) {
        count += 1;
        if (!kept.has(`${kind}.${name}`)) rows.push(choice(kind, name, false));
      }
    }
    choices.replaceChildren(...rows);
    const counted = count === 1 ? "1 name" : `${count} names`;
    found.textContent = isCut ? `${counted} and more: type to find others` : counted;
  }

  chooser.addEventListener("toggle", () => {
    if (!chooser.open) return;
    look();
    search.focus();
  });
  search.addEventListener("input", () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(look, 150);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") event.preventDefault();
  });
}

function makeSelection(form) {
  const button = form.querySelector("[data-compare]");
  const said = form.querySelector("[data-selected]");
  function show() {
    const count = form.querySelectorAll("input[name=run]:checked").length;
    button.disabled = count === 0 || count > MOST_COMPARED;
    said.textContent = count === 0 ? "Select runs to compare them." : `${count} selected`;
    if (count > MOST_COMPARED) said.textContent += `, of which ${MOST_COMPARED} can be compared`;
  }
  form.addEventListener("change", show);
  window.addEventListener("pageshow", show);
  show();
}

for (const chooser of document.querySelectorAll("details.chooser")) makeChooser(chooser);
for (const form of document.querySelectorAll("#compare")) makeSelection(form);
