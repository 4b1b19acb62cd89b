// The editor of a procedure: CodeMirror in the place of the text area, the findings at their places as one types, what fits offered.
// What is found and offered the studio says (`editor.py`); of two answers the one to the newer question is shown.
import { put } from "./live.js";
import {
  EditorState, EditorView, HighlightStyle, autocompletion, bracketMatching, closeBrackets, closeBracketsKeymap, completionKeymap,
  defaultKeymap, highlightActiveLine, highlightActiveLineGutter, history, historyKeymap, indentOnInput, indentUnit, indentWithTab, keymap,
  lineNumbers, lintGutter, lintKeymap, setDiagnostics, syntaxHighlighting, tags, yaml,
} from "./vendor/codemirror.js";

const PAUSE = 250; // ms without a key until the text is checked
const form = document.getElementById("sop");
const area = document.getElementById("text");
const host = document.getElementById("editor");
const seen = document.getElementById("seen");
const sign = document.getElementById("unsaved");
const drawing = document.getElementById("drawing");
const address = form.getAttribute("action");
let saved = area.defaultValue;
let asked = 0;
let shown = 0;
let waiting = 0;
let steps = JSON.parse(form.dataset.steps); // path → place of its name, in the text that last checked

const looks = HighlightStyle.define([
  { tag: [tags.definition(tags.propertyName), tags.propertyName], color: "var(--accent)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--good)" },
  { tag: [tags.comment, tags.lineComment], color: "var(--soft)", fontStyle: "italic" },
  { tag: [tags.keyword, tags.bool, tags.number, tags.null], color: "var(--warn)" },
  { tag: [tags.punctuation, tags.separator, tags.brace, tags.squareBracket], color: "var(--soft)" },
]);

const theme = EditorView.theme({
  "&": { color: "var(--ink)", backgroundColor: "var(--page)", fontSize: "13px", minHeight: "320px" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.55", maxHeight: "70vh", overflow: "auto" },
  ".cm-content": { caretColor: "var(--ink)", minHeight: "320px" },
  ".cm-gutters": { backgroundColor: "var(--raised)", color: "var(--soft)", border: "none", borderRight: "1px solid var(--line)" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--accent) 7%, transparent)" },
  ".cm-matchingBracket": { backgroundColor: "var(--accent-bg) !important", outline: "none" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", color: "var(--ink)", border: "1px solid var(--line)", borderRadius: "6px", maxWidth: "min(46ch, 90vw)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent-bg)", color: "var(--ink)" },
  ".cm-completionDetail": { color: "var(--soft)", fontStyle: "normal", marginLeft: "1.5em" },
  ".cm-tooltip.cm-completionInfo": { padding: "6px 10px", fontFamily: "var(--sans)", whiteSpace: "normal" },
  ".cm-diagnostic": { padding: "6px 10px", whiteSpace: "normal", fontFamily: "var(--sans)" },
  ".cm-diagnostic-error": { borderLeftColor: "var(--bad)" },
  ".cm-diagnostic-warning": { borderLeftColor: "var(--warn)" },
  ".cm-panels": { backgroundColor: "var(--raised)", color: "var(--ink)" },
  ".cm-panel.cm-panel-lint ul [aria-selected]": { backgroundColor: "var(--accent-bg)", color: "var(--ink)" },
});

function told(mark) {
  const box = document.createElement("div");
  const line = (text, kind) => { const made = document.createElement("div"); made.textContent = text; made.className = kind; box.append(made); };
  line(`${mark.code ? `${mark.code}: ` : ""}${mark.message}`, "");
  for (const text of [mark.label, ...mark.notes]) if (text) line(text, "");
  return box;
}

async function ask(words, submitter) {
  area.value = view.state.doc.toString();
  const mine = ++asked;
  const fields = new URLSearchParams(new FormData(form, submitter ?? null));
  if (words) fields.set("do", words);
  let answer;
  try {
    const reply = await fetch(address, { method: "POST", body: fields, headers: { Accept: "application/json" } });
    if (!reply.headers.get("content-type")?.startsWith("application/json")) throw new Error(`the studio said ${reply.status}`);
    answer = await reply.json();
  } catch (error) {
    sign.textContent = `not checked: ${error.message}`;
    return;
  }
  const wasAction = words !== "check";
  if (wasAction) {
    seen.value = answer.seen;
    if (answer.saved) saved = fields.get("text");
    put("told", answer.parts.told);
    put("head", answer.parts.head);
  }
  if (mine < shown || fields.get("text") !== view.state.doc.toString()) { mark(); return; }
  shown = mine;
  for (const [id, html] of Object.entries(answer.parts)) if (id !== "told" && id !== "head") put(id, html);
  if (answer.checks) steps = answer.steps;
  here();
  drawing.classList.toggle("dim", !answer.checks);
  const most = view.state.doc.length;
  view.dispatch(setDiagnostics(view.state, answer.marks.map((each) => ({
    from: Math.min(each.from, most), to: Math.min(Math.max(each.to, each.from), most), severity: each.severity,
    message: `${each.code} ${each.message}. ${each.label}`, renderMessage: () => told(each),
  }))));
  mark();
}

function mark() {
  const text = view.state.doc.toString() === saved ? "" : "not saved";
  if (sign.textContent !== text) sign.textContent = text;
}

// The step in which the cursor is, in the drawing: the last one above whose lines are all further in than its name.
function here() {
  const { doc, selection } = view.state;
  const last = doc.lineAt(selection.main.head).number;
  const holds = (place) => {
    const first = doc.lineAt(Math.min(place, doc.length));
    for (let number = first.number + 1; number <= last; number++) {
      const inner = doc.line(number).text.search(/\S/);
      if (inner >= 0 && inner <= place - first.from) return false;
    }
    return first.number <= last;
  };
  const around = Object.entries(steps).filter(([, place]) => holds(place)).sort((one, other) => other[1] - one[1]);
  for (const link of drawing.querySelectorAll("a[data-step]")) {
    if (link.dataset.step === around[0]?.[0]) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

async function offers(context) {
  const before = context.state.doc.lineAt(context.pos);
  const line = before.text.slice(0, context.pos - before.from);
  if (!context.explicit && !/[\w$]$|[.:[{,-] ?$/.test(line)) return null;
  const body = new URLSearchParams({ text: context.state.doc.toString(), at: String(context.pos) });
  const reply = await fetch(`${address}/complete`, { method: "POST", body });
  if (!reply.ok || context.aborted) return null;
  const found = await reply.json();
  if (!found.options.length) return null;
  const from = context.pos - found.letters;
  return {
    from,
    validFor: /^[\w-]*$/,
    options: found.options.map((each, number) => ({
      label: each.text, type: each.kind, boost: -Math.min(number, 90), apply: each.kind === "key" ? `${each.text}: ` : each.text,
      detail: each.about.length <= 30 ? each.about : undefined, info: each.about.length > 30 ? each.about : undefined,
    })),
  };
}

// Typed over a selection, a text would come from the browser with the selection's looks as inline style, which our policy refuses.
function over(event, view) {
  const { main } = view.state.selection;
  if (event.inputType !== "insertText" || !event.data || main.empty || view.composing) return false;
  const insert = () => view.state.update(view.state.replaceSelection(event.data), { userEvent: "input.type", scrollIntoView: true });
  const taken = view.state.facet(EditorView.inputHandler).some((handler) => handler(view, main.from, main.to, event.data, insert));
  if (!taken) view.dispatch(insert());
  return true;
}

const view = new EditorView({
  parent: host.attachShadow({ mode: "open" }),
  root: host.shadowRoot,
  state: EditorState.create({
    doc: area.value,
    extensions: [
      lineNumbers(), lintGutter(), history(), highlightActiveLine(), highlightActiveLineGutter(), indentOnInput(), bracketMatching(),
      closeBrackets(), yaml(), syntaxHighlighting(looks), theme, indentUnit.of("  "), EditorState.tabSize.of(2),
      autocompletion({ override: [offers], icons: false }),
      keymap.of([
        { key: "Mod-s", run: () => { ask("save"); return true; } },
        ...closeBracketsKeymap, ...completionKeymap, ...lintKeymap, ...defaultKeymap, ...historyKeymap, indentWithTab,
      ]),
      EditorView.domEventHandlers({ beforeinput: over }),
      EditorView.contentAttributes.of({ "aria-label": "The procedure's text", tabindex: "0", spellcheck: "false", autocapitalize: "off" }),
      EditorView.updateListener.of((update) => {
        if (update.selectionSet) here();
        if (!update.docChanged) return;
        mark();
        clearTimeout(waiting);
        waiting = setTimeout(() => ask("check"), PAUSE);
      }),
    ],
  }),
});

area.hidden = true;
host.hidden = false;
document.getElementById("keys").hidden = false;
document.getElementById("check").hidden = true;
document.querySelector("label[for=text]").hidden = true;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const button = event.submitter;
  const answered = ask(button?.name === "do" ? button.value : "", button); // a button that is off would not be sent
  if (button) button.disabled = true;
  sign.textContent = "asking …";
  answered.finally(() => { if (button) button.disabled = false; });
});

document.getElementById("inputs").parentElement.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !event.target.matches("input")) return;
  event.preventDefault();
  form.requestSubmit(document.getElementById("try"));
});

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-from], a[data-step]");
  const place = link?.dataset.from ?? steps[link?.dataset.step];
  if (place === undefined) return; // of another procedure
  event.preventDefault();
  const most = view.state.doc.length;
  const anchor = Math.min(Number(place), most);
  view.dispatch({ selection: { anchor, head: Math.min(Number(link.dataset.to ?? anchor), most) }, effects: EditorView.scrollIntoView(anchor, { y: "center" }) });
  view.focus();
});

addEventListener("beforeunload", (event) => { if (view.state.doc.toString() !== saved) event.preventDefault(); });
ask("check");
