"use strict";

// Zoom: a click opens the picture in a dialog, which Escape closes; arrows step through those in view.
const viewer = document.getElementById("viewer");
const film = viewer.querySelector("video");
let at = null;

viewer.addEventListener("close", () => film.pause());

function look(button) {
  at = button;
  const small = button.querySelector("img");
  const source = button.dataset.full || small.src;
  film.hidden = !/^data:video|\.mp4$/.test(source);
  viewer.querySelector("img").hidden = !film.hidden;
  if (film.hidden) film.removeAttribute("src");
  else film.src = source;
  if (film.hidden) viewer.querySelector("img").src = source;
  viewer.querySelector("img").alt = small.alt;
  viewer.querySelector("p").textContent = button.dataset.about || small.alt;
  if (!viewer.open) viewer.showModal();
}

function step(by) {
  const shown = [...document.querySelectorAll("button.zoom")].filter((b) => !b.closest("[hidden]"));
  look(shown[(shown.indexOf(at) + by + shown.length) % shown.length]);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button.zoom");
  if (button) look(button);
  else if (event.target === viewer) viewer.close();
  else if (event.target.dataset.step) step(Number(event.target.dataset.step));
});
// Of the whole page: a film that is hidden takes the focus out of the dialog with it.
document.addEventListener("keydown", (event) => {
  if (!viewer.open) return;
  if (event.key === "ArrowRight") step(1);
  if (event.key === "ArrowLeft") step(-1);
});

// Filter: cards that hold all words and the chosen group; in them, results of the chosen cell.
for (const filter of document.querySelectorAll(".filter")) {
  const cards = [...document.querySelectorAll(`#${filter.dataset.of} .card`)];
  const value = (name) => filter.querySelector(`[name=${name}]`)?.value ?? "";
  const apply = () => {
    const words = value("words").toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const card of cards) {
      const groups = card.dataset.groups.split("\n");
      const wanted = words.every((w) => card.dataset.words.includes(w)) && (!value("group") || groups.includes(value("group")));
      card.hidden = !wanted;
      count += wanted;
      for (const figure of card.querySelectorAll("figure[data-cell]")) {
        figure.hidden = Boolean(value("cell")) && figure.dataset.cell !== value("cell");
      }
    }
    filter.querySelector("output").textContent = `${count} of ${cards.length} shown`;
  };
  filter.addEventListener("input", apply);
  filter.addEventListener("submit", (event) => event.preventDefault());
  apply();
}

// Tables: a click on a head sorts by its column.
for (const head of document.querySelectorAll("table.sortable th")) {
  head.addEventListener("click", () => {
    const body = head.closest("table").tBodies[0];
    const column = head.cellIndex;
    const down = head.getAttribute("aria-sort") !== "descending";
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
    const order = (a, b) => (Number.isNaN(Number(key(a))) ? key(a).localeCompare(key(b)) : Number(key(a)) - Number(key(b)));
    body.append(...[...body.rows].sort((a, b) => (down ? order(b, a) : order(a, b))));
  });
}

for (const toggle of document.querySelectorAll("[data-toggle]")) {
  toggle.addEventListener("click", () => document.getElementById(toggle.dataset.toggle).classList.toggle("plain"));
}
