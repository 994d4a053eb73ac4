// A recorded step of training, to walk through: what the library computed, in its order. Nothing is computed anew here.
"use strict";

const KINDS = {forward: "forward →", backward: "← backward", update: "update"};
const PACE = 1200;  // milliseconds a number stays while playing
let at = 0, timer = null;

function addStep() {
  byId("step-section").hidden = false;
  byId("step-hint").textContent = `One training step on row ${model.step.row} alone, as the library computed it (${model.step.loss}, ` +
    `${model.step.optimizer}). Forward runs from left to right, backward from right to left.`;
  addChips();
  byId("step-at").max = model.step.entries.length - 1;
  byId("step-at").addEventListener("input", () => goTo(Number(byId("step-at").value)));
  byId("step-back").addEventListener("click", () => goTo(at - 1));
  byId("step-next").addEventListener("click", () => goTo(at + 1));
  byId("step-play").addEventListener("click", () => timer ? pause() : play());
  showEntry();
}

// A table of what there is: a row for each direction, a column for each layer; backward cells are filled from the right.
function addChips() {
  const columns = ["data", ...layers.map((_, l) => layerName(l)), "loss"];
  const table = make("div", {class: "chips", style: `grid-template-columns: auto repeat(${columns.length}, minmax(76px, 1fr))`},
    make("span"), ...columns.map((name) => make("b", {}, name)));
  const cells = {};
  for (const [kind, title] of Object.entries(KINDS)) {
    table.append(make("b", {class: "way"}, title));
    columns.forEach((_, column) => table.append(cells[kind + column] = make("span", {class: kind})));
  }
  model.step.entries.forEach((entry, i) => {
    const chip = make("button", {type: "button", "aria-label": `${KINDS[entry.kind]} ${entry.name}`}, entry.label);
    chip.addEventListener("click", () => goTo(i));
    cells[entry.kind + entry.column].append(chip);
    entry.chip = chip;
  });
  byId("step-map").append(table);
}

function goTo(i, playing = false) {
  if (!playing) pause();
  at = Math.min(model.step.entries.length - 1, Math.max(0, i));
  showEntry();
}

function play() {
  byId("step-play").textContent = "Pause";
  if (at === model.step.entries.length - 1) goTo(0, true);
  timer = setInterval(() => at < model.step.entries.length - 1 ? goTo(at + 1, true) : pause(), PACE);
}

function pause() {
  clearInterval(timer);
  timer = null;
  byId("step-play").textContent = "Play";
}

function showEntry() {
  const {entries} = model.step, entry = entries[at], used = new Set(Object.values(entry.inputs));
  entries.forEach((other, i) => {
    other.chip.setAttribute("aria-current", i === at ? "step" : "false");
    other.chip.classList.toggle("used", used.has(other.name));
  });
  byId("step-at").value = at;
  byId("step-map").scrollLeft = entry.chip.offsetLeft - byId("step-map").clientWidth / 2;
  byId("step-back").disabled = at === 0;
  byId("step-next").disabled = at === entries.length - 1;
  byId("step-name").textContent = `${at + 1} of ${entries.length}: ${entry.name}`;
  byId("step-formula").textContent = entry.formula;
  const letters = Object.entries(entry.inputs).filter(([letter, of]) => letter !== of);
  byId("step-inputs").textContent = letters.length
    ? `with ${letters.map(([letter, of]) => `${letter} = ${typeof of === "number" ? show(of) : of}`).join(", ")}` : "";
  byId("step-source").textContent = [`# ${entry.source}`, entry.code, ...(entry.definition ? ["", entry.definition] : [])].join("\n");
  showFigures(entry);
}

function showFigures({shape, stats, values}) {
  const figures = shape.length ? {shape: shape.join(" × "), ...stats} : {value: stats.mean};
  byId("step-figures").replaceChildren(...Object.entries(figures).map(([name, value]) => make("tr", {},
    make("th", {scope: "row"}, name === "zeros" ? "share of zeros" : name),
    make("td", {class: "number"}, typeof value === "number" ? show(value) : String(value)))));
  const numbers = values === null || !shape.length ? null : floats(values);
  byId("step-picture").hidden = numbers === null;
  byId("step-without").hidden = numbers !== null || !shape.length;
  if (numbers) drawSigned(byId("step-values"), numbers, columnsOf(numbers.length));
}

function columnsOf(count) {
  return model.shape && count === width ? model.shape[1] : columnsFor(count);
}
