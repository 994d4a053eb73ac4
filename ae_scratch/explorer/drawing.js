// Numbers as pictures: cells of a canvas, and colours that the colour-blind can tell apart.
"use strict";

const POSITIVE = [0, 114, 178], NEGATIVE = [213, 94, 0];  // blue and vermilion of Okabe and Ito's palette
const CLASSES = ["#0072B2", "#D55E00", "#007A5A", "#000000", "#A8437F", "#9A6A00", "#6B6B6B"];  // theirs, dark enough for text

// White for 0, blue for positive and vermilion for negative numbers, full at -1 and 1.
function signedColour(value) {
  const strength = Math.min(1, Math.abs(value)), full = value < 0 ? NEGATIVE : POSITIVE;
  return full.map((channel) => 255 + strength * (channel - 255));
}

// Black for 0 and white for 1.
function grey(value) {
  const level = 255 * Math.min(1, Math.max(0, value));
  return [level, level, level];
}

// How many columns show so many units well: those of a rectangle not too long, if there is one.
function columnsFor(count) {
  const root = Math.sqrt(count);
  for (let columns = Math.ceil(root); columns <= 2.5 * root; columns++) if (count % columns === 0) return columns;
  return Math.ceil(root);
}

// Values as the cells of a canvas, row by row; the selected cell has a frame.
function drawCells(canvas, values, columns, colour, selected = null) {
  const rows = Math.ceil(values.length / columns), cell = Math.max(4, Math.floor(400 / columns));
  canvas.width = columns * cell;
  canvas.height = rows * cell;
  const pen = canvas.getContext("2d");
  pen.imageSmoothingEnabled = false;
  pen.drawImage(drawDots(values, columns, rows, colour), 0, 0, canvas.width, canvas.height);
  if (columns < 20) drawGrid(pen, columns, rows, cell);
  if (selected !== null) drawFrame(pen, (selected % columns) * cell, Math.floor(selected / columns) * cell, cell);
}

const dots = document.createElement("canvas");  // one for all: it is copied from at once

// A picture with one dot for each value.
function drawDots(values, columns, rows, colour) {
  dots.width = columns;
  dots.height = rows;
  const pen = dots.getContext("2d"), image = pen.createImageData(columns, rows);
  values.forEach((value, i) => image.data.set([...colour(value), 255], 4 * i));
  pen.putImageData(image, 0, 0);
  return dots;
}

// Black within white, to be seen on any ground.
function drawFrame(pen, left, top, side) {
  const thick = Math.min(8, Math.max(4, side / 6));
  for (const [colour, width, out] of [["#fff", thick, thick / 2], ["#000", thick, 0]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.strokeRect(left - out, top - out, side + 2 * out, side + 2 * out);
  }
}

function drawGrid(pen, columns, rows, cell) {
  pen.strokeStyle = "#d5dae1";
  pen.lineWidth = 1;
  for (let i = 0; i <= columns; i++) pen.strokeRect(i * cell, 0, 0, rows * cell);
  for (let i = 0; i <= rows; i++) pen.strokeRect(0, i * cell, columns * cell, 0);
}

// Where a pointer is on a canvas: from 0 to 1 in both directions.
function positionOn(canvas, event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

// Calls move(x, y, first) while a finger, pen or mouse button is down on the canvas.
function onDrag(canvas, move) {
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    move(...positionOn(canvas, event), true);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) move(...positionOn(canvas, event), false);
  });
}

const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

// Calls move(columns, rows) for the arrow keys, ten steps at a time with Shift.
function onArrows(canvas, move) {
  canvas.addEventListener("keydown", (event) => {
    if (!(event.key in ARROWS)) return;
    event.preventDefault();
    move(...ARROWS[event.key].map((step) => step * (event.shiftKey ? 10 : 1)));
  });
}

// An element with attributes and children.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// A name that may be broken behind its punctuation, rather than within a word.
const breakable = (name) => name.split(/(?<=[_./-])/).flatMap((part) => [part, make("wbr")]);

// A number in few characters.
function show(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 0.001 && size < 100000 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
  return text.replace("-", "−");
}
