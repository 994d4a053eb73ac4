// The trained network: its numbers and what is computed with them. Nothing here knows the page.
"use strict";

const ACTIVATIONS = {
  relu: {formula: "relu(z) = max(0, z)", apply: (z) => Math.max(0, z)},
  sigmoid: {formula: "sigmoid(z) = 1 / (1 + exp(−z))", apply: (z) => 1 / (1 + Math.exp(-z))},
  tanh: {formula: "tanh(z)", apply: Math.tanh},
  identity: {formula: "z", apply: (z) => z},
};

// The float32 numbers that a base64 text holds.
function floats(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new Float32Array(bytes.buffer);
}

// Layers with their weights: W[i * perInput + j * perUnit] leads from input i to unit j.
// A tied layer has the weights of another, the other way round.
function buildLayers(descriptions, parameters) {
  const layers = [];
  let next = 0;
  const take = (count) => parameters.subarray(next, next += count);
  for (const {name, inputs, units, activation, tied} of descriptions) {
    const weights = tied === null
      ? {W: take(inputs * units), perInput: units, perUnit: 1}
      : {W: layers[tied].W, perInput: 1, perUnit: inputs};
    layers.push({name, inputs, units, activation, ...weights, b: take(units)});
  }
  return layers;
}

// One pass through the layers: for each its input x, z = x W + b, and a = activation(z).
function forward(layers, x) {
  const passes = [];
  for (const layer of layers) {
    const z = Float64Array.from(layer.b);
    for (let i = 0; i < layer.inputs; i++) {
      if (x[i] === 0) continue;
      for (let j = 0; j < layer.units; j++) z[j] += x[i] * layer.W[i * layer.perInput + j * layer.perUnit];
    }
    const a = z.map(ACTIVATIONS[layer.activation].apply);
    passes.push({x, z, a});
    x = a;
  }
  return passes;
}

// The weights that lead to a unit, one for each input.
function weightsOf(layer, unit) {
  return Float64Array.from({length: layer.inputs}, (_, i) => layer.W[i * layer.perInput + unit * layer.perUnit]);
}

// Data as the network reads them, and back; scaling is {scale, offset} with an entry per feature, or one entry for all.
function scaleData(x, {scale, offset}) {
  return Float64Array.from(x, (value, i) => (value - offset[i % offset.length]) / scale[i % scale.length]);
}

function unscaleData(y, {scale, offset}) {
  return Float64Array.from(y, (value, i) => value * scale[i % scale.length] + offset[i % offset.length]);
}

// A function that returns numbers from 0 to 1 that look random, the same for the same seed (mulberry32).
function randomNumbers(seed) {
  return () => {
    seed = (seed + 0x6D2B79F5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

// x with noise of a kind; amount is the standard deviation, or the share of the numbers that are replaced.
function addNoise(x, {kind, amount, low, high, clip}, seed) {
  const random = randomNumbers(seed);
  return x.map((value) => {
    const u = random(), v = random();
    if (kind === "gaussian") {
      const noisy = value + amount * Math.sqrt(-2 * Math.log(1 - u)) * Math.cos(2 * Math.PI * v);  // Box and Muller
      return clip && amount ? Math.min(clip[1], Math.max(clip[0], noisy)) : noisy;
    }
    if (u >= amount) return value;
    return kind === "masking" || v < 0.5 ? low : high;
  });
}

// The place of a code on the map, and the code at a place: code = origin + place[0] axes[0] + place[1] axes[1].
function placeOf(code, {origin, axes}) {
  return axes.map((axis) => axis.reduce((sum, value, i) => sum + value * (code[i] - origin[i]), 0));
}

function codeAt(place, {origin, axes, bounds}) {
  return Float64Array.from(origin, (value, i) => {
    const code = value + place[0] * axes[0][i] + place[1] * axes[1][i];
    return Math.min(bounds[1] ?? Infinity, Math.max(bounds[0] ?? -Infinity, code));  // no value that no code can have
  });
}

// A drawing of 28 x 28 pixels as MNIST's digits are: as large as a box of 20 x 20, its centre of mass in the middle. What is very
// small stays smaller. Pixels in between are interpolated.
function centred(x, black) {
  const inked = Array.from(x.keys()).filter((i) => x[i] > black), axes = [(i) => i % 28, (i) => Math.floor(i / 28)];
  if (!inked.length) return x;
  const sum = (f) => inked.reduce((total, i) => total + f(i), 0), mass = sum((i) => x[i] - black);
  const extent = axes.map((axis) => Math.max(...inked.map(axis)) - Math.min(...inked.map(axis)) + 1);
  const scale = Math.min(1.5, 20 / Math.max(...extent)), middle = axes.map((axis) => sum((i) => (x[i] - black) * axis(i)) / mass);
  return x.map((_, i) => {
    const [column, row] = axes.map((axis, k) => middle[k] + (axis(i) - 13.5) / scale);
    let value = black;
    for (const c of [Math.floor(column), Math.floor(column) + 1]) {
      for (const r of [Math.floor(row), Math.floor(row) + 1]) {
        const inside = c >= 0 && c < 28 && r >= 0 && r < 28;
        if (inside) value += (1 - Math.abs(column - c)) * (1 - Math.abs(row - r)) * (x[28 * r + c] - black);
      }
    }
    return value;
  });
}

function meanSquaredError(x, y) {
  return x.reduce((sum, value, i) => sum + (value - y[i]) ** 2, 0) / x.length;
}
