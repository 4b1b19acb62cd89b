// An edit is checked while it is typed: the server says why it does not fit. Without this it says so when the answer is sent.
const form = document.querySelector("form[data-check]");
const waits = new Map();

async function look(area) {
  const sent = area.value;
  const answer = await fetch(form.dataset.check, { method: "POST", body: fields(area) }).catch(() => null);
  if (!answer?.ok || area.value !== sent) return;
  const { faults } = await answer.json();
  for (const each of form.querySelectorAll("[data-edit]")) {
    if (!(each.name in faults)) continue;
    const said = document.getElementById(each.getAttribute("aria-describedby"));
    if (said.textContent !== faults[each.name]) said.textContent = faults[each.name];
    each.toggleAttribute("aria-invalid", Boolean(faults[each.name]));
    if (faults[each.name]) each.setAttribute("aria-invalid", "true");
  }
}

function fields(area) {  // of what is shown together: the files of one list are checked together
  const found = new URLSearchParams();
  for (const each of area.closest("details").querySelectorAll("[data-edit]")) found.append(each.name, each.value);
  return found;
}

form?.addEventListener("input", (event) => {
  const area = event.target.closest("[data-edit]");
  if (!area) return;
  clearTimeout(waits.get(area));
  waits.set(area, setTimeout(look, 300, area));
});

for (const area of form?.querySelectorAll("[data-edit]") ?? []) {  // typed before this was here, or brought back by the browser
  if (area.value !== area.defaultValue) look(area);
}
