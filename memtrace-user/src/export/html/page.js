// Ties flame graph, table, search and buttons together.

const page = Object.fromEntries(
  ["facts", "value", "search", "matched", "reset", "theme", "status"].map((id) => [id, document.getElementById(id)]));

function describe(node) {
  const isBytes = data.values[chosen.index][2];
  const said = (number) => (isBytes && number >= 1024 ? `${amount(number, true)} (${grouped(number)} B)` : amount(number, isBytes));
  const total = chosen.total[node];
  const parts = [`${said(total)}, ${share(total, chosen.total[0])} of all`];
  if (flame.zoomed !== 0) parts.push(`${share(total, chosen.total[flame.zoomed])} of the zoomed frame`);
  parts.push(`${said(ownValue(node))} itself`);
  if (node === 0) return `all: ${parts[0]}`;
  const { name, module, place } = frameText(nodes.frame[node]);
  return [name, place, module && `[${module}]`].filter(Boolean).join(" ") + `: ${parts.join("; ")}`;
}

function search(text) {
  const matches = findFrames(text);
  flame.matches = matches;
  table.matches = matches;
  table.limit = table.step;
  page.matched.textContent = matches
    ? `Matched: ${share(matchedTotal(matches), chosen.total[0])}, ${amount(matchedTotal(matches), data.values[chosen.index][2])}`
    : "";
  scheduleDraw();
  showTable();
}

function reset() {
  zoom(0);
  flame.scroll.scrollTop = 0;
}

function chooseValue(index) {
  choose(index);
  table.sort = { column: index, descending: true };
  if (chosen.total[flame.zoomed] === 0) flame.zoomed = 0;
  zoom(flame.zoomed);
  search(page.search.value);
}

function pick(name) {
  page.search.value = name;
  search(name);
  flame.canvas.scrollIntoView({ block: "nearest" });
}

function nextTheme() {
  const root = document.documentElement;
  const next = { undefined: "dark", dark: "light" }[root.dataset.theme];
  if (next) root.dataset.theme = next;
  else delete root.dataset.theme;
  page.theme.textContent = `Theme: ${next ?? "auto"}`;
  scheduleDraw();
}

for (const [name, text] of data.facts) {
  const pair = document.createElement("div");
  const term = document.createElement("dt");
  const detail = document.createElement("dd");
  term.textContent = name;
  detail.textContent = text;
  pair.append(term, detail);
  page.facts.append(pair);
}
data.values.forEach(([word, label], index) => page.value.add(new Option(label, word, index === data.value, index === data.value)));

flame.onPoint = (node) => { page.status.textContent = describe(node); };
flame.onZoom = (node) => { page.reset.disabled = node === 0; };
table.onPick = pick;
page.value.addEventListener("change", () => chooseValue(page.value.selectedIndex));
page.search.addEventListener("input", () => search(page.search.value));
page.reset.addEventListener("click", reset);
page.theme.addEventListener("click", nextTheme);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    if (page.search.value !== "") pick("");
    else reset();
  } else if (event.key === "/" && event.target !== page.search) {
    event.preventDefault();
    page.search.focus();
  }
});
chooseValue(data.value);
