// The snapshot as typed arrays, and what follows from it for the chosen value.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const nodes = { frame: Uint32Array.from(data.nodes.frame), size: Uint32Array.from(data.nodes.size) };
const nodeCount = nodes.frame.length;

// Parents and depths follow from depth-first order and sizes.
nodes.parent = new Uint32Array(nodeCount);
nodes.depth = new Uint32Array(nodeCount);
for (let node = 0; node < nodeCount; node++) {
  for (let child = node + 1; child < node + nodes.size[node]; child += nodes.size[child]) {
    nodes.parent[child] = node;
    nodes.depth[child] = nodes.depth[node] + 1;
  }
}

// Texts of a frame. Node 0 is the whole snapshot and no frame.
function frameText(frame) {
  const text = (index) => (index > 0 ? data.texts[index - 1] : "");
  const { name, module, file, line } = data.frames;
  const place = text(file[frame]) + (line[frame] > 0 ? ":" + line[frame] : "");
  return { name: data.texts[name[frame]], module: text(module[frame]), place };
}

function nodeName(node) {
  return node === 0 ? "all" : data.texts[data.frames.name[nodes.frame[node]]];
}

// The chosen value: totals of nodes, and where each begins within the total.
const chosen = { index: data.value, total: new Float64Array(nodeCount), start: new Float64Array(nodeCount) };

function choose(index) {
  chosen.index = index;
  const { total, start } = chosen;
  total.fill(0);
  const values = data.stacks.values[index];
  data.stacks.node.forEach((node, stack) => { total[node] = values[stack]; });
  for (let node = nodeCount - 1; node > 0; node--) total[nodes.parent[node]] += total[node];
  const next = new Float64Array(nodeCount);
  for (let node = 1; node < nodeCount; node++) {
    const parent = nodes.parent[node];
    start[node] = next[parent];
    next[parent] += total[node];
    next[node] = start[node];
  }
}

// What a node holds itself, without those below it.
function ownValue(node) {
  let own = chosen.total[node];
  for (let child = node + 1; child < node + nodes.size[node]; child += nodes.size[child]) own -= chosen.total[child];
  return own;
}

const grouped = (number) => Math.round(number).toLocaleString("en-US");

function amount(number, isBytes) {
  if (!isBytes) return grouped(number);
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
  let unit = 0;
  let scaled = number;
  while (scaled >= (unit === 0 ? 1024 : 1023.95) && unit + 1 < units.length) {
    scaled /= 1024;
    unit++;
  }
  return (unit === 0 ? String(scaled) : scaled.toFixed(1)) + " " + units[unit];
}

function share(part, whole) {
  if (whole === 0) return "0.0%";
  const percent = (part / whole) * 100;
  if (percent > 0 && percent < 0.05) return "<0.1%";
  if (percent >= 99.95 && percent < 100) return ">99.9%";
  return percent.toFixed(1) + "%";
}

// Frames that hold the text, in any case; null when nothing is searched for.
function findFrames(text) {
  const wanted = text.trim().toLowerCase();
  if (wanted === "") return null;
  const texts = data.texts.map((candidate) => candidate.toLowerCase().includes(wanted));
  const { name, module, file } = data.frames;
  const holds = (index) => index > 0 && texts[index - 1];
  return name.map((index, frame) => texts[index] || holds(module[frame]) || holds(file[frame]));
}

// Sum over the stacks that have a matching frame, each counted once.
function matchedTotal(matches) {
  let sum = 0;
  for (let node = 1; node < nodeCount;) {
    const hit = matches[nodes.frame[node]];
    if (hit) sum += chosen.total[node];
    node += hit ? nodes.size[node] : 1;
  }
  return sum;
}
