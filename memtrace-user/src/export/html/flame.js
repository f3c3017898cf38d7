// The flame graph: a canvas on which only what can be seen is drawn.

const flame = {
  canvas: document.getElementById("flame"),
  scroll: document.getElementById("scroll"),
  spacer: document.getElementById("spacer"),
  row: 18,
  least: 0.6, // Pixels; narrower frames are left out.
  zoomed: 0,
  pointed: 0,
  matches: null,
  boxes: [], // What is drawn, a list a row: node, left, width.
  scheduled: false,
  onPoint: () => {},
  onZoom: () => {},
};

// The same name has the same colour on every page; functions of one module are of one hue.
const hues = new Map();
function hueOf(text) {
  if (!hues.has(text)) {
    let hash = 2166136261;
    for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 16777619);
    hues.set(text, hash >>> 0);
  }
  return hues.get(text);
}

function isDark() {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function colourOf(node, dark, isCaller) {
  const frame = nodes.frame[node];
  if (node !== 0 && flame.matches && flame.matches[frame]) return dark ? "#a1197f" : "#f08ad8";
  if (node === 0) return dark ? "#3a444b" : "#d5dbde";
  const { name, module } = frameText(frame);
  const hue = 95 + (hueOf(module) % 120);
  const shade = hueOf(name) % 12;
  const saturation = flame.matches ? 12 : 45;
  const light = (dark ? 24 : 70) + shade;
  return `hsl(${hue} ${isCaller ? saturation / 3 : saturation}% ${light}%)`;
}

// Node, left and width of every frame that is wide enough, below the zoomed one and above it.
function layOut(width) {
  const rows = [];
  const put = (node, left, wide) => (rows[nodes.depth[node]] ??= []).push({ node, left, width: wide });
  for (let node = flame.zoomed; node !== 0;) put((node = nodes.parent[node]), 0, width);
  const { total, start } = chosen;
  const scale = total[flame.zoomed] > 0 ? width / total[flame.zoomed] : 0;
  const end = flame.zoomed + nodes.size[flame.zoomed];
  for (let node = flame.zoomed; node < end;) {
    const wide = total[node] * scale;
    if (wide < flame.least) {
      node += nodes.size[node];
      continue;
    }
    put(node, (start[node] - start[flame.zoomed]) * scale, wide);
    node++;
  }
  return rows;
}

function drawBox(context, box, top, dark) {
  const { node, left, width } = box;
  const isCaller = node !== flame.zoomed && node < flame.zoomed && flame.zoomed < node + nodes.size[node];
  context.fillStyle = colourOf(node, dark, isCaller);
  context.fillRect(left, top, Math.max(width - 0.5, 0.5), flame.row - 1);
  if (node === flame.pointed) {
    context.strokeStyle = dark ? "#fff" : "#000";
    context.lineWidth = 2;
    context.strokeRect(left + 1, top + 1, Math.max(width - 2.5, 0.5), flame.row - 3);
  }
  const room = Math.floor((width - 6) / flame.letter);
  if (room < 3) return;
  const name = nodeName(node);
  context.fillStyle = dark ? "#f2f5f6" : "#10181c";
  context.fillText(name.length <= room ? name : name.slice(0, room - 1) + "…", left + 3, top + flame.row / 2);
}

function draw() {
  flame.scheduled = false;
  const { canvas, scroll } = flame;
  const width = scroll.clientWidth;
  const height = scroll.clientHeight;
  const ratio = window.devicePixelRatio || 1;
  flame.boxes = layOut(width);
  canvas.style.width = width + "px";
  canvas.style.height = height + "px";
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  flame.spacer.style.height = Math.max(flame.boxes.length * flame.row - height, 0) + "px";
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.font = "12px monospace";
  context.textBaseline = "middle";
  flame.letter = context.measureText("m").width;
  const dark = isDark();
  const first = Math.floor(scroll.scrollTop / flame.row);
  const last = Math.min(flame.boxes.length, Math.ceil((scroll.scrollTop + height) / flame.row) + 1);
  for (let row = first; row < last; row++) {
    for (const box of flame.boxes[row] ?? []) drawBox(context, box, row * flame.row - scroll.scrollTop, dark);
  }
}

function scheduleDraw() {
  if (flame.scheduled) return;
  flame.scheduled = true;
  requestAnimationFrame(draw);
}

function nodeAt(event) {
  const area = flame.canvas.getBoundingClientRect();
  const x = event.clientX - area.left;
  const row = Math.floor((event.clientY - area.top + flame.scroll.scrollTop) / flame.row);
  const box = (flame.boxes[row] ?? []).find(({ left, width }) => x >= left && x < left + width);
  return box ? box.node : -1;
}

function point(node) {
  if (node < 0) return;
  flame.pointed = node;
  flame.onPoint(node);
  scheduleDraw();
}

function zoom(node) {
  if (node < 0) return;
  flame.zoomed = node;
  flame.onZoom(node);
  point(node);
}

// The node to go to with an arrow key. Of several below, the one that holds most.
function neighbour(key) {
  const node = flame.pointed;
  const children = (of) => {
    const list = [];
    for (let child = of + 1; child < of + nodes.size[of]; child += nodes.size[child]) {
      if (chosen.total[child] > 0) list.push(child);
    }
    return list;
  };
  if (key === "ArrowUp") return nodes.parent[node];
  if (key === "ArrowDown") {
    return children(node).reduce((most, child) => (most < 0 || chosen.total[child] > chosen.total[most] ? child : most), -1);
  }
  const siblings = node === 0 ? [0] : children(nodes.parent[node]);
  return siblings[siblings.indexOf(node) + (key === "ArrowLeft" ? -1 : 1)] ?? -1;
}

function showPointed() {
  const top = nodes.depth[flame.pointed] * flame.row;
  const { scroll } = flame;
  if (top < scroll.scrollTop) scroll.scrollTop = top;
  if (top + flame.row > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = top + flame.row - scroll.clientHeight;
}

function flameKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key.startsWith("Arrow")) point(neighbour(event.key));
  else if (event.key === "Enter" || event.key === " ") zoom(flame.pointed);
  else if (event.key === "Home") point(0);
  else return;
  event.preventDefault();
  showPointed();
}

flame.canvas.addEventListener("mousemove", (event) => point(nodeAt(event)));
flame.canvas.addEventListener("click", (event) => zoom(nodeAt(event)));
flame.canvas.addEventListener("keydown", flameKey);
flame.scroll.addEventListener("scroll", scheduleDraw);
new ResizeObserver(scheduleDraw).observe(flame.scroll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", scheduleDraw);
