// What forms do besides: show what belongs to the choice, send once, lead on to a run that has begun. All of them work without it.
const shown = (select) => {
  for (const part of document.querySelectorAll(`[data-shown^="${select.dataset.shows}"]`)) {
    part.hidden = part.dataset.shown !== select.dataset.shows + select.value;
  }
};
for (const select of document.querySelectorAll("select[data-shows]")) {
  shown(select);
  select.addEventListener("change", () => shown(select));
}

// Later than the form's data are collected: a button that is disabled is not among them.
document.addEventListener("submit", (event) => setTimeout(() => {
  if (event.defaultPrevented) return;
  const button = event.submitter;
  if (!button) return;
  button.disabled = true;
  button.dataset.said = button.textContent;
  button.textContent = event.target.dataset.once || button.textContent;
}));
addEventListener("pageshow", () => {  // who comes back finds the form as it was
  for (const button of document.querySelectorAll("button[data-said]")) {
    button.disabled = false;
    button.textContent = button.dataset.said;
  }
});

const lead = () => {
  const to = document.querySelector("[data-goto]")?.dataset.goto;
  if (to) location.replace(new URL(to, document.baseURI));
};
document.addEventListener("part", lead);
lead();

document.getElementById("error")?.focus();
