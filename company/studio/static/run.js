// The page of a run: the picture follows the steps, times go on, the log is filtered, a step opens beside it without a reload.
import { listen, versions } from "./live.js";

const MARKS = { waiting: "", running: "▶", done: "✓", failed: "✗", skipped: "–", stopped: "■", waits: "?" };
const main = document.getElementById("main");
const log = document.getElementById("log");
const toEnd = document.getElementById("to-end");
const behind = Date.now() / 1000 - Number(main.dataset.now);  // this clock against the server's

function light(row) {
  const { step, state } = row.dataset;
  for (const path of [step, `${step}.do`]) {
    const box = document.querySelector(`.company-sop a[data-step="${CSS.escape(path)}"]`);
    if (!box) continue;
    box.setAttribute("class", `step ${state}`);
    box.setAttribute("aria-label", `${path}, ${state}`);
    box.querySelector(":scope > .mark").textContent = MARKS[state] ?? "";
  }
}

function words(seconds) {
  const whole = Math.floor(Math.max(0, seconds));
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole % 3600 / 60))} min`;
}

function tick() {
  const now = Date.now() / 1000 - behind;
  for (const each of document.querySelectorAll("[data-since]")) {
    const text = words(now - Number(each.dataset.since));
    if (each.textContent !== text) each.textContent = text;
  }
}

function local(root) {
  for (const each of root.querySelectorAll("time[data-at]")) {
    const text = new Date(Number(each.dataset.at) * 1000).toLocaleTimeString([], { hour12: false });
    if (each.textContent !== text) each.textContent = text;
  }
}

function sift(line) {
  const wanted = log.dataset.filter;
  line.hidden = Boolean(wanted) && !`${line.dataset.step}.`.startsWith(`${wanted}.`);
}

const isAtEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 24;
function atEnd() { toEnd.hidden = isAtEnd(); }

document.addEventListener("part", ({ detail }) => {
  const node = document.getElementById(detail);
  if (!node) return;
  if (node.dataset.state) light(node);
  if (node.matches("#log *")) {
    for (const line of node.matches("li") ? [node] : node.children) sift(line);
    local(node.matches("li") ? node.parentElement.lastElementChild === node ? node : node.parentElement : node);
    atEnd();
  }
  if (detail === "run-used" || node.dataset.state) tick();
});

log.addEventListener("scroll", atEnd, { passive: true });
toEnd.addEventListener("click", () => { log.scrollTop = log.scrollHeight; log.focus(); });
document.getElementById("filter").addEventListener("change", (event) => event.target.form.requestSubmit());

for (const row of document.querySelectorAll("#steps > li")) light(row);
local(log);
log.scrollTop = log.scrollHeight;
atEnd();
setInterval(tick, 1000);
tick();
