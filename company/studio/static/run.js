// The page of a run: the picture follows the steps, times go on, the log is filtered, a step opens beside it without a reload.
import { listen, versions } from "./live.js";

const MARKS = { waiting: "", running: "▶", done: "✓", failed: "✗", skipped: "–", stopped: "■", waits: "?" };
const main = document.getElementById("main");
const log = document.getElementById("log");
const picture = document.querySelector(".company-sop");
const toEnd = document.getElementById("to-end");
const behind = Date.now() / 1000 - Number(main.dataset.now);  // this clock against the server's

function light(row) {
  const { step, state } = row.dataset;
  for (const path of [step, `${step}.do`]) {
    const box = picture?.querySelector(`a[data-step="${CSS.escape(path)}"]`);
    if (!box) continue;
    box.setAttribute("class", `step ${state}`);
    box.setAttribute("aria-label", `${box.dataset.name}, ${state}`);
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
  for (const each of document.querySelectorAll("#run-used [data-since], #steps [data-since], #panel [data-since]")) {
    const text = words(now - Number(each.dataset.since));
    if (each.textContent !== text) each.textContent = text;
  }
  const scale = Number(document.getElementById("when-axis").dataset.scale);
  for (const bar of document.querySelectorAll("#when rect[data-from]")) {
    const width = Math.min(100 * (now - Number(bar.dataset.from)) / scale, 100 - parseFloat(bar.getAttribute("x")));
    bar.setAttribute("width", `${Math.max(0, width)}%`);
  }
  for (const sum of document.querySelectorAll("#when [data-over]")) {
    const going = [...sum.closest("li").querySelectorAll("rect[data-from]")].map((bar) => Math.max(0, now - Number(bar.dataset.from)));
    const text = words(going.reduce((all, one) => all + one, Number(sum.dataset.over)));
    if (sum.textContent !== text) sum.textContent = text;
  }
}

function local(root) {
  for (const each of root.querySelectorAll("time[data-at]")) {
    const text = new Date(Number(each.dataset.at) * 1000).toLocaleTimeString([], { hour12: false });
    if (each.textContent !== text) each.textContent = text;
  }
}

function sift(line) {
  const { step, words } = log.dataset;  // as telling.Wanted has it
  const said = [...line.children].slice(1).map((each) => each.textContent).join(" ").toLowerCase();
  const fits = step === "!" ? line.matches(".bad, .warn") : !step || `${line.dataset.step}.`.startsWith(`${step}.`);
  line.hidden = !fits || !words.toLowerCase().split(/\s+/).every((word) => said.includes(word));
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

// --- a step beside the run, without a reload -------------------------------------------------------

const since = new URL(main.dataset.live, document.baseURI).searchParams.get("since");  // of this page, until something newer came
let opener = null;  // the link that opened what is open
let asked = 0;

async function visit(address, { keep, back }) {
  const mine = ++asked;
  const answer = await fetch(address).catch(() => null);
  if (mine !== asked) return;
  if (!answer?.ok) { location.href = address; return; }
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (mine !== asked) return;
  const panel = fresh.getElementById("panel");
  if (!panel) { location.href = address; return; }
  document.getElementById("panel").replaceWith(document.adoptNode(panel));
  document.getElementById("run").classList.toggle("opened", !panel.hidden);
  if (keep) history.pushState(null, "", address);
  const stream = new URL(fresh.getElementById("main").dataset.live, document.baseURI);
  stream.searchParams.set("since", `${(versions() || since).split("~")[0]}~`);
  listen(stream.href);
  mark();
  tick();
  const title = panel.querySelector(".opened-title");
  if (title) {
    title.focus({ preventScroll: true });
    panel.scrollIntoView({ block: "nearest" });
    if (panel.getBoundingClientRect().top < 0) panel.scrollIntoView({ block: "start" });
  } else if (!back) opener?.focus();
}

function mark() {
  const opened = new URL(location.href).searchParams.get("open") ?? "";
  const path = opened.split("#")[0].split("[")[0];
  const kept = document.querySelector("#log-title ~ form [name=open]");  // what is open stays so where the log is searched
  kept.value = opened;
  kept.disabled = !opened;
  for (const box of document.querySelectorAll(".company-sop a.step")) {
    if (opened && box.dataset.step === path) box.setAttribute("aria-current", "true");
    else box.removeAttribute("aria-current");
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const url = new URL(link.getAttribute("href"), document.baseURI);
  if (url.origin !== location.origin || url.pathname !== location.pathname || url.hash || link.matches(".log .none a")) return;
  event.preventDefault();
  for (const name of ["step", "words"]) if (log.dataset[name]) url.searchParams.set(name, log.dataset[name]);
  if (!link.closest("#panel")) opener = link;
  visit(url.href, { keep: true });
});
addEventListener("popstate", () => visit(location.href, { back: true }));
addEventListener("keydown", (event) => {
  const close = document.querySelector("#panel .close");
  if (event.key === "Escape" && close && !event.defaultPrevented && !event.target.closest("input, select, textarea")) close.click();
});

log.addEventListener("scroll", atEnd, { passive: true });
toEnd.addEventListener("click", () => { log.scrollTop = log.scrollHeight; log.focus(); });
document.getElementById("filter").addEventListener("change", (event) => event.target.form.requestSubmit());

mark();
for (const row of document.querySelectorAll("#steps > li")) light(row);
local(log);
log.scrollTop = log.scrollHeight;
atEnd();
setInterval(tick, 1000);
tick();
