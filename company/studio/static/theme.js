// Light, dark, or as the system has it. Loaded before the page is drawn, so that nothing flickers.
"use strict";
const THEMES = { "": ["◐", "Colours: as the system has them"], light: ["☀", "Colours: light"], dark: ["☾", "Colours: dark"] };
const kept = () => { try { return localStorage.getItem("theme") || ""; } catch { return ""; } };
const wear = (theme) => {
  if (theme) document.documentElement.dataset.theme = theme; else delete document.documentElement.dataset.theme;
};
wear(kept());
addEventListener("DOMContentLoaded", () => {
  const button = document.getElementById("theme");
  const show = (theme) => {
    const [sign, said] = THEMES[theme] || THEMES[""];
    button.textContent = sign;
    button.setAttribute("aria-label", said);
    button.title = said;
  };
  show(kept());
  button.addEventListener("click", () => {
    const names = Object.keys(THEMES);
    const next = names[(names.indexOf(kept()) + 1) % names.length];
    try { localStorage.setItem("theme", next); } catch { /* it lasts as long as the page */ }
    wear(next);
    show(next);
  });
});
