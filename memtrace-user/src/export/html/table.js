// The table of call sites: one row a site, all values, sorted by any column.

const table = {
  head: document.querySelector("#sites thead tr"),
  body: document.querySelector("#sites tbody"),
  more: document.getElementById("more"),
  shown: document.getElementById("shown"),
  step: 100,
  limit: 100,
  sort: { column: data.value, descending: true },
  matches: null,
  onPick: () => {},
};

// Sums over the stacks of each site; `column` is a value's index, the last column is the site's name.
const sites = [];
{
  const known = new Map();
  data.stacks.site.forEach((frame, stack) => {
    if (!known.has(frame)) {
      known.set(frame, { frame, values: data.values.map(() => 0), text: frameText(frame) });
      sites.push(known.get(frame));
    }
    const site = known.get(frame);
    data.values.forEach((_, value) => { site.values[value] += data.stacks.values[value][stack]; });
  });
}

const nameColumn = data.values.length + 1;
const shareColumn = data.values.length;
const columns = [...data.values.map(([, label]) => label), "share", "call site"];

function compareSites(a, b) {
  const { column, descending } = table.sort;
  const name = a.text.name < b.text.name ? -1 : Number(a.text.name > b.text.name);
  if (column === nameColumn) return descending ? -name : name;
  const value = column === shareColumn ? chosen.index : column;
  const difference = a.values[value] - b.values[value];
  return (descending ? -difference : difference) || name;
}

function sortBy(column) {
  const { sort } = table;
  const descending = sort.column === column ? !sort.descending : column !== nameColumn;
  table.sort = { column, descending };
  showTable();
}

function cell(text) {
  const element = document.createElement("td");
  element.textContent = text;
  return element;
}

function siteRow(site) {
  const row = document.createElement("tr");
  data.values.forEach(([, , isBytes], value) => row.append(cell(amount(site.values[value], isBytes))));
  row.append(cell(share(site.values[chosen.index], chosen.total[0])));
  const { name, module, place } = site.text;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = name;
  button.title = "Search for it";
  button.addEventListener("click", () => table.onPick(name));
  const details = document.createElement("small");
  details.textContent = [place, module && "[" + module + "]"].filter(Boolean).join(" ");
  const last = cell("");
  last.append(button, details);
  row.append(last);
  return row;
}

function showTable() {
  [...table.head.children].forEach((heading, column) => {
    const { sort } = table;
    if (sort.column === column) heading.setAttribute("aria-sort", sort.descending ? "descending" : "ascending");
    else heading.removeAttribute("aria-sort");
    const mark = sort.column === column ? (sort.descending ? " ▼" : " ▲") : "";
    heading.firstChild.textContent = columns[column] + mark;
  });
  const matching = table.matches ? sites.filter((site) => table.matches[site.frame]) : sites.slice();
  matching.sort(compareSites);
  table.body.replaceChildren(...matching.slice(0, table.limit).map(siteRow));
  const shown = Math.min(table.limit, matching.length);
  table.shown.textContent = `${grouped(shown)} of ${grouped(matching.length)}` +
    (table.matches ? ` that match, of ${grouped(sites.length)}` : "");
  table.more.hidden = shown === matching.length;
}

columns.forEach((label, column) => {
  const heading = document.createElement("th");
  heading.scope = "col";
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = label;
  button.addEventListener("click", () => sortBy(column));
  heading.append(button);
  table.head.append(heading);
});
table.more.addEventListener("click", () => {
  table.limit += table.step;
  showTable();
});
