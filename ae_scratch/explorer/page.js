// The page: what is shown, and what happens when something is drawn, dragged, clicked or typed.
"use strict";

const model = JSON.parse(document.getElementById("model").textContent);
const layers = buildLayers(model.layers, floats(model.parameters));
const encoder = layers.slice(0, model.encoderLayers), decoder = layers.slice(model.encoderLayers);
const width = layers[0].inputs;
const samples = split(floats(model.samples.values), width);
const byId = (id) => document.getElementById(id);

const state = {
  x: Float64Array.from(samples[0] ?? model.blank),  // the clean input, in the data's own units
  sample: samples.length ? 0 : null,  // which one it is, if any
  noise: {...model.noise, amount: 0}, noiseSeed: 1,
  code: null,  // set by hand, or null: as the encoder says
  place: null,  // on the map, where the code was set there
  unit: {layer: 0, index: 0},
};
let pen = null;  // column and row, while the arrow keys move it
let passes;  // of all layers, for the state as it is
const fullScale = layers.map(() => samples.length ? 1e-30 : 1);  // which activation is drawn in full colour

function replaced(values, i, value) {
  const copy = Float64Array.from(values);
  copy[i] = value;
  return copy;
}

function split(values, length) {
  return Array.from({length: values.length / length}, (_, i) => values.subarray(i * length, (i + 1) * length));
}

// ---- computing and showing -------------------------------------------------------------------------------------------

function update() {
  const clean = scaleData(entered(), model.scaling), seen = addNoise(clean, state.noise, state.noiseSeed);
  const there = forward(encoder, seen);
  passes = [...there, ...forward(decoder, state.code ?? there.at(-1).a)];
  showFlow(clean, seen);
  showUnit();
  showCode();
  showMap();
  keepInAddress();
}

// The input, a drawing centred if that is wanted.
function entered() {
  return model.centre && byId("centre").checked && state.sample === null ? centred(state.x, model.levels[0]) : state.x;
}

// Draws data in their own units: as a picture, or as cells coloured by their scaled values.
function drawData(canvas, x, selected = null) {
  if (!model.shape) return drawCells(canvas, scaleData(x, model.scaling), columnsFor(width), signedColour, selected);
  const [black, white] = model.levels;
  drawCells(canvas, Float64Array.from(x, (value) => (value - black) / (white - black)), model.shape[1], grey, selected);
}

function showFlow(clean, seen) {
  const output = passes.at(-1).a, reconstruction = unscaleData(output, model.scaling);
  if (model.shape) drawData(byId("drawing"), state.x, pen && Math.floor(pen[1]) * model.shape[1] + Math.floor(pen[0]));
  drawData(byId("seen"), unscaleData(seen, model.scaling));
  layers.forEach((layer, l) => {
    const selected = state.unit.layer === l ? state.unit.index : null;
    const a = l === model.encoderLayers - 1 && state.code ? state.code : passes[l].a;
    if (l === layers.length - 1) drawData(layerCanvas(l), reconstruction, selected);
    else drawCells(layerCanvas(l), a.map((value) => value / fullScale[l]), columnsFor(layer.units), signedColour, selected);
  });
  showFeatures(reconstruction);
  showAnswer(reconstruction);
  byId("noise-value").textContent = state.noise.amount;
  byId("noise-again").disabled = state.noise.amount === 0;
  byId("errors").textContent = `Mean squared error against the clean input${model.scaled ? ", in scaled units" : ""}: ` +
    `input with noise ${show(meanSquaredError(clean, seen))}, reconstruction ${show(meanSquaredError(clean, output))}`;
  byId("samples").querySelectorAll("button").forEach((button, i) => button.setAttribute("aria-pressed", i === state.sample));
}

const layerCanvas = (l) => byId(`layer-${l}`);
const layerName = (l) => l === model.encoderLayers - 1 ? "code" : l === layers.length - 1 ? "output" : layers[l].name;

// What input i of a layer is called.
const inputName = (l, i) => l > 0 ? `unit ${i}` : featureName(i);

function featureName(i) {
  return model.shape ? `pixel ${Math.floor(i / model.shape[1])}, ${i % model.shape[1]}` : model.features[i];
}

// ---- a unit and its arithmetic ---------------------------------------------------------------------------------------

const TERMS = 8;  // written out

function showUnit() {
  const {layer: l, index} = state.unit, layer = layers[l], {x, z, a} = passes[l];
  const w = weightsOf(layer, index), products = w.map((weight, i) => weight * x[i]);
  const columns = l === 0 && model.shape ? model.shape[1] : columnsFor(w.length);
  drawSigned(byId("unit-weights"), w, columns);
  drawSigned(byId("unit-products"), products, columns);
  byId("unit-title").textContent = l === layers.length - 1
    ? `Output, ${featureName(index)}: ${show(a[index])}` : `Unit ${index} of ${layerName(l)}: ${show(a[index])}`;
  byId("unit-line").textContent = `${byId("unit-title").textContent}; its arithmetic is below.`;
  byId("unit-input").textContent = l > 0 ? layerName(l - 1) : "input";
  const order = Array.from(products.keys()).sort((i, j) => Math.abs(products[j]) - Math.abs(products[i]));
  const rest = order.slice(TERMS), add = (sum, i) => sum + products[i];
  byId("arithmetic").tBodies[0].replaceChildren(
    ...order.slice(0, TERMS).map((i) => line([inputName(l, i), x[i], w[i], products[i]])),
    ...(rest.length ? [line([`and ${rest.length} smaller terms`, rest.reduce(add, 0)])] : []),
    line(["sum of x × w", order.reduce(add, 0)], "sum"),
    line(["+ bias b", layer.b[index]]),
    line(["= z", z[index]], "sum"),
    line([`a = ${ACTIVATIONS[layer.activation].formula}`, a[index]], "result"),
    ...(l === model.encoderLayers - 1 && state.code ? [line(["set by hand to", state.code[index]], "result")] : []),
  );
}

function drawSigned(canvas, values, columns) {
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-30);
  drawCells(canvas, values.map((value) => value / largest), columns, signedColour);
}

// A row of a table: a name, then numbers, in the last of four columns.
function line([name, ...numbers], kind = "") {
  const cells = numbers.map((value) => make("td", {class: "number"}, show(value)));
  return make("tr", {class: kind}, make("th", {scope: "row", colspan: 4 - cells.length}, ...breakable(name)), ...cells);
}

function select(l, index) {
  state.unit = {layer: l, index: Math.min(layers[l].units - 1, Math.max(0, index))};
  update();
}

function addLayerCard(l) {
  const layer = layers[l], columns = l === layers.length - 1 && model.shape ? model.shape[1] : columnsFor(layer.units);
  const canvas = make("canvas", {id: `layer-${l}`, class: "units", tabindex: 0, role: "application",
    "aria-label": `${layerName(l)}, ${layer.units} units. Arrow keys choose one.`});
  const rows = Math.ceil(layer.units / columns);
  onDrag(canvas, (x, y) => {
    if (x >= 0 && x < 1 && y >= 0 && y < 1) select(l, Math.floor(y * rows) * columns + Math.floor(x * columns));
  });
  onArrows(canvas, (right, down) => {
    const from = state.unit.layer === l ? state.unit.index : 0;
    if (from + right + down * columns >= 0) select(l, from + right + down * columns);
  });
  byId("flow").append(make("figure", {},
    make("figcaption", {}, make("b", {}, layerName(l)), `${layer.units}, ${layer.activation}`), canvas));
}

// ---- the input: samples, drawing, features, noise --------------------------------------------------------------------

function setInput(x, sample = null) {
  Object.assign(state, {x: Float64Array.from(x), sample, code: null, place: null});
  update();
}

function addSamples() {
  samples.forEach((x, i) => {
    const label = model.samples.labels ? `, ${model.samples.labels[i]}` : "";
    const button = make("button", {type: "button", "aria-label": `Sample ${i}${label}`});
    if (model.shape) {
      const picture = make("canvas");
      drawData(picture, x);
      button.append(picture);
    } else {
      button.append(`${i}${label}`);
    }
    button.addEventListener("click", () => setInput(x, i));
    byId("samples").append(button);
  });
}

// x with a dot of a soft round pen, a tenth of the picture wide.
function painted(x, column, row) {
  const [height, columns] = model.shape, [black, white] = model.levels, radius = Math.max(0.7, height / 20);
  return x.map((value, i) => {
    const away = Math.hypot(i % columns + 0.5 - column, Math.floor(i / columns) + 0.5 - row);
    const ink = Math.min(1, Math.max(0, 1.3 - away / (1.3 * radius)));
    return Math.max(value, black + ink * (white - black));
  });
}

function addDrawing() {
  const canvas = byId("drawing"), [rows, columns] = model.shape;
  let last = null;
  onDrag(canvas, (right, below, first) => {
    const to = [right * columns, below * rows], from = first ? to : last;
    const steps = Math.max(1, Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1])));
    pen = null;
    let x = first && state.sample !== null ? Float64Array.from(model.blank) : state.x;  // no drawing on a sample
    for (let i = 1; i <= steps; i++) x = painted(x, ...from.map((value, k) => value + (to[k] - value) * i / steps));
    setInput(x);
    last = to;
  });
  byId("centre").addEventListener("change", update);
  byId("centre-label").hidden = !model.centre;
  byId("clear").addEventListener("click", () => setInput(model.blank));
  addPen(canvas, rows, columns);
}

// Drawing with the keyboard.
function addPen(canvas, rows, columns) {
  let down = false;
  const go = (right, below) => {
    const [x, y] = pen ?? [columns / 2, rows / 2];
    pen = [Math.min(columns - 0.5, Math.max(0.5, x + right)), Math.min(rows - 0.5, Math.max(0.5, y + below))];
    if (down) setInput(painted(state.x, ...pen));
    else update();
  };
  onArrows(canvas, go);
  canvas.addEventListener("keydown", (event) => {
    if (event.key !== " ") return;
    event.preventDefault();
    down = !down;
    go(0, 0);
  });
  canvas.addEventListener("blur", () => {
    pen = null;
    down = false;
    update();
  });
}

function addFeatures() {
  byId("features-box").hidden = false;
  model.features.forEach((name, i) => {
    const [low, high] = model.featureRanges[i], about = {min: low, max: high, step: (high - low) / 100 || 1};
    const number = make("input", {type: "number", step: "any", "aria-label": name});
    const slider = make("input", {type: "range", ...about, "aria-label": name});
    for (const input of [number, slider]) {
      input.addEventListener("input", () => {
        if (input.value !== "") setInput(replaced(state.x, i, Number(input.value)));
      });
    }
    byId("features").tBodies[0].append(make("tr", {}, make("th", {scope: "row"}, ...breakable(name)), make("td", {}, number),
      make("td", {}, slider, make("div", {class: "track"}, make("i"))), make("td", {class: "number made"})));
  });
}

function showFeatures(reconstruction) {
  Array.from(byId("features").tBodies[0].rows).forEach((row, i) => {
    const [low, high] = model.featureRanges[i], [number, slider] = row.querySelectorAll("input");
    if (document.activeElement !== number) number.value = Number(state.x[i].toPrecision(5));
    slider.value = state.x[i];
    row.querySelector("i").style.left = `${100 * Math.min(1, Math.max(0, (reconstruction[i] - low) / (high - low || 1)))}%`;
    row.cells[3].textContent = show(reconstruction[i]);
  });
}

function addNoiseControls() {
  const kind = byId("noise-kind"), amount = byId("noise-amount");
  kind.value = state.noise.kind;
  amount.value = state.noise.amount;
  byId("noise-trained").textContent = model.noise.trained === null ? "" : `trained with ${model.noise.trained}`;
  const change = () => {
    Object.assign(state.noise, {kind: kind.value, amount: Number(amount.value)});
    Object.assign(state, {code: null, place: null});
    update();
  };
  kind.addEventListener("change", change);
  amount.addEventListener("input", change);
  byId("noise-again").addEventListener("click", () => {
    state.noiseSeed++;
    change();
  });
}

// ---- the code --------------------------------------------------------------------------------------------------------

const code = () => state.code ?? passes[model.encoderLayers - 1].a;

function setCode(values, place = null) {
  Object.assign(state, {code: Float64Array.from(values), place});
  update();
}

function addSliders() {
  model.codeRanges.forEach(([low, high], i) => {
    const dead = low === high;
    const slider = make("input", {type: "range", min: low, max: dead ? low + 1 : high, step: (high - low) / 100 || 1,
      "aria-label": `Unit ${i} of the code`});
    slider.disabled = dead;
    slider.addEventListener("input", () => setCode(replaced(code(), i, Number(slider.value))));
    byId("sliders").append(make("label", {class: dead ? "dead" : "", title: dead ? "the same for all data" : ""}, String(i), slider,
      make("output")));
  });
  byId("release").addEventListener("click", () => {
    Object.assign(state, {code: null, place: null});
    update();
  });
}

function showAnswer(reconstruction) {
  byId("answer").hidden = !model.shape;
  if (model.shape) drawData(byId("answer"), reconstruction);
  else byId("answer-features").replaceChildren(...model.features.map((name, i) => line([name, reconstruction[i]])));
}

function showCode() {
  byId("release").disabled = state.code === null;
  byId("code-source").textContent = state.code === null
    ? "The code is what the encoder makes of the input. Drag a slider, and the decoder answers."
    : "The code is set by hand; the decoder answers to it.";
  byId("sliders").querySelectorAll("label").forEach((label, i) => {
    label.querySelector("input").value = code()[i];
    label.querySelector("output").textContent = show(code()[i]);
  });
}

// ---- the map ---------------------------------------------------------------------------------------------------------

const TILES = 16;  // in each direction
const grounds = {};  // what is below the place on the map, with and without decoded places, once drawn

function addMap() {
  byId("map-part").hidden = false;
  byId("map-hint").textContent = model.map.explained === null
    ? "Both units of the code, for rows of the data. Walk through it: the decoder answers."
    : `The plane in which the codes vary most (PCA, ${Math.round(100 * model.map.explained)} % of the variance). ` +
      "Walk through it: the decoder answers.";
  byId("tiles-label").hidden = !model.shape;
  byId("tiles").addEventListener("change", showMap);
  byId("tiles").checked = model.map.explained === null && Boolean(model.shape);
  const walk = (x, y) => {
    const place = placeFrom([x, y].map((value) => Math.min(1, Math.max(0, value))));
    setCode(codeAt(place, model.map), place);
  };
  onDrag(byId("map"), walk);
  onArrows(byId("map"), (right, down) => {
    const [x, y] = positionOf(state.place ?? placeOf(code(), model.map));
    walk(x + right / 100, y + down / 100);
  });
  model.map.classes?.forEach((name, k) => byId("legend").append(make("li", {}, glyphElement(k), ` ${name}`)));
  byId("legend").hidden = !model.map.classes || model.map.classes.every((name, k) => name === glyph(k));
}

// From a place to where it is on the map, 0 to 1 from the left and from above; and back.
function positionOf(place) {
  const [x, y] = place.map((value, k) => (value - model.map.low[k]) / (model.map.high[k] - model.map.low[k]));
  return [x, 1 - y];
}

function placeFrom([x, y]) {
  return [x, 1 - y].map((value, k) => model.map.low[k] + value * (model.map.high[k] - model.map.low[k]));
}

// A class is told by a sign as well as by a colour: its own name if that is short, else a letter.
function glyph(k) {
  const names = model.map.classes;
  return names.every((name) => name.length <= 2) ? names[k] : String.fromCharCode(65 + k % 26);
}

function glyphElement(k) {
  return make("b", {style: `color: ${CLASSES[k % CLASSES.length]}`}, glyph(k));
}

function showMap() {
  if (!model.map) return;
  const canvas = byId("map"), pen = canvas.getContext("2d"), size = canvas.width;
  pen.clearRect(0, 0, size, size);
  const decoded = byId("tiles").checked;
  pen.drawImage(grounds[decoded] ??= drawGround(size, decoded), 0, 0);
  const [x, y] = positionOf(state.place ?? placeOf(code(), model.map));
  for (const [colour, thick] of [["#fff", 8], ["#000", 3]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = thick;
    pen.beginPath();
    pen.arc(x * size, y * size, 13, 0, 2 * Math.PI);
    pen.stroke();
  }
}

// The codes of X, over what the decoder makes of each place if that is wanted.
function drawGround(size, decoded) {
  const ground = make("canvas", {width: size, height: size}), pen = ground.getContext("2d");
  if (decoded) drawTiles(pen, size / TILES);
  pen.globalAlpha = decoded ? 0.6 : 0.85;
  pen.font = "bold 15px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  split(floats(model.map.points), 2).forEach((point, i) => {
    const [x, y] = positionOf(Array.from(point)), k = model.map.classes ? model.map.classOf[i] : 0;
    pen.fillStyle = decoded ? "#ffd24d" : CLASSES[k % CLASSES.length];
    if (model.map.classes) pen.fillText(glyph(k), x * size, y * size);
    else pen.fillRect(x * size - 3, y * size - 3, 6, 6);
  });
  return ground;
}

function drawTiles(pen, side) {
  const tile = make("canvas");
  for (let row = 0; row < TILES; row++) {
    for (let column = 0; column < TILES; column++) {
      const place = placeFrom([(column + 0.5) / TILES, (row + 0.5) / TILES]);
      drawData(tile, unscaleData(forward(decoder, codeAt(place, model.map)).at(-1).a, model.scaling));
      pen.drawImage(tile, column * side, row * side, side, side);
    }
  }
}

// ---- the address, in which a view can be passed on ---------------------------------------------------------------------

let resting = null;

// Not before the page has rested for a moment: a browser refuses to change the address all the time.
function keepInAddress() {
  clearTimeout(resting);
  resting = setTimeout(writeAddress, 300);
}

function writeAddress() {
  const {sample, noise, unit} = state;
  const view = new URLSearchParams({...(sample === null ? {} : {sample}), noise: noise.kind, amount: noise.amount,
    unit: `${unit.layer}.${unit.index}`});
  history.replaceState(null, "", `#${view}`);
}

function readAddress() {
  const view = new URLSearchParams(location.hash.slice(1)), sample = Number(view.get("sample"));
  if (view.has("sample") && samples[sample]) Object.assign(state, {x: Float64Array.from(samples[sample]), sample});
  const kinds = ["gaussian", "masking", "salt_and_pepper"], amount = Number(view.get("amount"));
  if (kinds.includes(view.get("noise"))) state.noise.kind = view.get("noise");
  if (amount >= 0 && amount <= 1) state.noise.amount = amount;
  const [layer, index] = (view.get("unit") ?? "").split(".").map(Number);
  if (layers[layer] && index >= 0 && index < layers[layer].units) state.unit = {layer, index: Math.floor(index)};
}

function start() {
  for (const x of samples) {
    forward(layers, scaleData(x, model.scaling)).forEach(({a}, l) => {
      fullScale[l] += a.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / samples.length;
    });
  }
  const first = forward(layers, scaleData(state.x, model.scaling))[0].a;
  state.unit.index = first.indexOf(Math.max(...first));  // one that is on
  readAddress();
  document.body.classList.toggle("table", !model.shape);
  layers.forEach((_, l) => addLayerCard(l));
  addSamples();
  if (model.shape) addDrawing();
  else addFeatures();
  byId("drawing-card").hidden = !model.shape;
  addNoiseControls();
  addSliders();
  if (model.map) addMap();
  if (model.step) addStep();
  update();
}

start();
