// Keeps the page up to date: `data-live` of <main> is the address of its changes, one message with the parts that are new.
// A part is an element by its id: it is morphed into its new form, so that focus, scrolling and open details stay.
import { Idiomorph } from "./vendor/idiomorph.js";

const main = document.getElementById("main");
const sign = document.getElementById("connection");

const KEEP = {
  callbacks: {
    // What the person opened or typed stays; so does what a script of the page has put there.
    beforeAttributeUpdated: (name, node) => !(name === "open" && node.tagName === "DETAILS"),
    beforeNodeMorphed: (old) => !(old.nodeType === 1 && (old.hasAttribute("data-own") || old === document.activeElement && old.matches("input, textarea, select"))),
  },
};

// A pane that follows keeps its end in view until the person scrolls up, whatever grows or is laid out anew meanwhile.
const left = new WeakSet();  // panes whose end the person has left
const place = new WeakMap();
const away = (pane) => pane.scrollHeight - pane.scrollTop - pane.clientHeight >= 24;

document.addEventListener("scroll", ({ target: pane }) => {
  if (pane.nodeType !== 1 || !pane.hasAttribute("data-follow")) return;
  if (!away(pane)) left.delete(pane);
  else if (pane.scrollTop < (place.get(pane) ?? 0)) left.add(pane);
  place.set(pane, pane.scrollTop);
}, { capture: true, passive: true });

function follow(pane) {
  if (!left.has(pane)) pane.scrollTop = pane.scrollHeight;
}

export function put(id, html) {
  const old = document.getElementById(id);
  if (!html) { old?.remove(); return; }
  const made = document.createElement("template");
  made.innerHTML = html;
  const fresh = made.content.firstElementChild;
  const into = old ?? document.getElementById(fresh.dataset.into);
  const pane = into?.closest("[data-follow]");
  if (pane && !place.has(pane)) {
    place.set(pane, pane.scrollTop);
    if (away(pane)) left.add(pane);
  }
  if (old) Idiomorph.morph(old, fresh, KEEP);
  else into?.append(fresh);
  if (pane) { follow(pane); requestAnimationFrame(() => follow(pane)); }
  document.dispatchEvent(new CustomEvent("part", { detail: id }));
}

let source = null;
let at = "";  // the address that is listened to
let last = "";  // the versions that the page has

export function versions() { return last; }

export function listen(address) {
  source?.close();
  at = address;
  if (document.hidden) return;
  const mine = source = new EventSource(address);
  source.addEventListener("open", () => tell(""));
  source.addEventListener("error", () => tell(mine.readyState === EventSource.CLOSED
    ? "This address is no longer the studio's: open the one that it printed last."
    : "The studio does not answer; trying again …"));
  source.addEventListener("fault", (event) => tell(JSON.parse(event.data)));
  source.addEventListener("parts", (event) => {
    if (mine !== source) return;
    last = event.lastEventId;
    for (const [id, html] of Object.entries(JSON.parse(event.data))) put(id, html);
  });
}

addEventListener("pagehide", () => source?.close());

// A browser has six connections to one address: a page that nobody sees keeps none of them from the others.
function again() {
  source?.close();
  if (document.hidden || !at) return;
  const address = new URL(at, document.baseURI);
  if (last) address.searchParams.set("since", last);
  listen(address.href);
}
document.addEventListener("visibilitychange", again);
addEventListener("pageshow", ({ persisted }) => { if (persisted) again(); });  // Back to a page that the browser had kept

function tell(text) {
  if (sign.textContent !== text) sign.textContent = text;
}

if (main?.dataset.live) listen(main.dataset.live);
