// What every page does: times in the reader's time zone, and controls that act at once.
"use strict";

// MLflow's clients print links to its own pages, such as `/#/experiments/1/runs/ID`. The part after
// `#` never reaches the server.
const printed = location.pathname === "/" ? location.hash.match(
  /^#\/(?:experiments\/\d+\/(runs\/[^/?]+)|(experiments\/\d+)|(models\/[^/?]+)(?:\/versions\/(\d+))?)(?:[/?]|$)/,
) : null;
if (printed) {
  const [, run, experiment, model, version] = printed;
  location.replace(`/${run ?? experiment ?? (version ? `${model}/${version}` : model)}`);
}
// Whoever has to sign in first is led there afterwards: a redirect keeps the part after `#`.
const signIn = document.querySelector("form.login");
if (signIn && location.hash) signIn.action = `/login${location.hash}`;

// One for all of them: making it takes longer than using it.
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime);
  if (Number.isNaN(at.getTime())) continue;
  const two = (number) => String(number).padStart(2, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  time.textContent = `${day} ${two(at.getHours())}:${two(at.getMinutes())}`;
  time.title = whole.format(at);
}

// A control with `data-submit` sends its form when it changes. Without scripts there is a button.
for (const control of document.querySelectorAll("[data-submit]")) {
  control.addEventListener("change", () => control.form.requestSubmit());
}
for (const button of document.querySelectorAll(".without-script")) button.hidden = true;

// A form with `data-confirm` asks first.
for (const form of document.querySelectorAll("form[data-confirm]")) {
  form.addEventListener("submit", (event) => {
    if (!window.confirm(form.dataset.confirm)) event.preventDefault();
  });
}
