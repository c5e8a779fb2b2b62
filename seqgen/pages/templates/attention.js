const examples = data.examples;
const table = document.querySelector("#scroll table");
let example; // the one that is shown
let weights; // of the chosen map, [T][S]
let selected = 0; // the index of the target token

function isolate(token) { // so that a token written from right to left does not reorder its neighbors
  return make("bdi", token, { title: token });
}

function shade(element, value) {
  element.classList.add("shade");
  element.classList.toggle("strong", value > 0.57);
  element.style.setProperty("--value", value);
}

function fill(select, names, show) {
  select.replaceChildren(...names.map((name, index) => new Option(name, index)));
  select.parentElement.hidden = names.length < 2;
  select.onchange = () => show(select.selectedIndex);
}

function showExample(index) {
  example = examples[index];
  fill(byId("map"), example.maps.map((map) => map.name), showMap);
  byId("target").replaceChildren(...example.target.map((token, row) => {
    const option = make("div", isolate(token), { className: "token", role: "option", tabIndex: -1 });
    option.onpointerenter = option.onfocus = option.onclick = () => select(row);
    return option;
  }));
  byId("source").replaceChildren(...example.source.map((token) => {
    const item = make("div", isolate(token), { className: "token" });
    item.append(make("span", ""));
    return item;
  }));
  byId("unknown").textContent = example.unknown;
  if (!data.heads) selected = 0; // the layers of one text have the same tokens
  showMap(0);
}

function showMap(index) {
  byId("map").selectedIndex = index;
  for (const row of document.querySelectorAll("#heads tbody tr")) {
    row.classList.toggle("selected", row.dataset.place === `${examples.indexOf(example)} ${index}`);
  }
  weights = example.maps[index].weights;
  const columns = example.source.map((token) => {
    return make("th", isolate(token), { scope: "col", className: [...token].length > 1 ? "long" : "" });
  });
  const head = make("tr", make("td", ""));
  head.append(...columns);
  const rows = example.target.map((token, row) => {
    const line = make("tr", make("th", isolate(token), { scope: "row" }));
    line.append(...weights[row].map((weight) => {
      const cell = make("td", weight.toFixed(2));
      shade(cell, weight);
      return cell;
    }));
    line.onpointerenter = line.onclick = () => select(row);
    return line;
  });
  const body = make("tbody", "");
  body.append(...rows);
  table.replaceChildren(make("thead", head), body);
  select(Math.min(selected, example.target.length - 1));
}

function select(row) {
  const options = byId("target").children;
  const rows = table.tBodies[0].rows;
  options[selected].tabIndex = -1;
  options[selected].setAttribute("aria-selected", "false");
  rows[selected].classList.remove("selected");
  selected = row;
  options[row].tabIndex = 0;
  options[row].setAttribute("aria-selected", "true");
  rows[row].classList.add("selected");
  weights[row].forEach((weight, column) => {
    const item = byId("source").children[column];
    shade(item, weight);
    item.lastChild.textContent = weight.toFixed(2);
  });
  const order = weights[row].map((_, column) => column).sort((a, b) => weights[row][b] - weights[row][a]);
  const heading = make("span", `${data.heads ? "Token" : "Target token"} ${row + 1} `);
  heading.append(isolate(example.target[row]), " attends most to");
  byId("reading").replaceChildren(heading, ...order.slice(0, 3).map((column) => {
    const item = make("span", isolate(example.source[column]));
    item.append(` ${weights[row][column].toFixed(3)}`);
    return item;
  }));
  scrollTo(rows[row]);
}

function scrollTo(row) { // within the map, not the page
  const box = byId("scroll");
  const above = row.offsetTop - table.tHead.offsetHeight;
  const below = row.offsetTop + row.offsetHeight - box.clientHeight;
  box.scrollTop = Math.max(below, Math.min(above, box.scrollTop));
}

byId("target").onkeydown = (event) => {
  const last = example.target.length - 1;
  const rows = { ArrowLeft: selected - 1, ArrowUp: selected - 1, ArrowRight: selected + 1, ArrowDown: selected + 1 };
  const row = { ...rows, Home: 0, End: last }[event.key];
  if (row === undefined) return;
  event.preventDefault();
  byId("target").children[Math.max(0, Math.min(last, row))].focus();
};

byId("scale").append(...[0, 0.25, 0.5, 0.75, 1].map((value) => {
  const step = make("span", value.toFixed(2));
  shade(step, value);
  return step;
}));

function excerpt(tokens) {
  const characters = [...tokens.join(tokens.some((token) => [...token].length > 1) ? " " : "")];
  return characters.length > 30 ? `${characters.slice(0, 29).join("")}…` : characters.join("");
}

function showPlace(layer, map) {
  byId("example").selectedIndex = layer;
  showExample(layer);
  showMap(map);
}

function listHeads() {
  const titles = ["layer", "head", "named", ...data.figures];
  const head = make("tr", "");
  head.append(...titles.map((title) => make("th", title, { scope: "col" })));
  const body = make("tbody", "");
  body.append(...data.heads.map((one) => {
    const place = [one.layer, examples[0].maps.length > 1 ? one.head + 1 : 0]; // the mean is first
    const row = make("tr", "", { onclick: () => showPlace(...place) });
    row.dataset.place = place.join(" ");
    const choose = make("button", `${one.head}`, { ariaLabel: `Show layer ${one.layer}, head ${one.head}` });
    row.append(make("td", `${one.layer}`), make("td", choose));
    row.append(make("td", one.role), ...one.figures.map((figure) => make("td", figure.toFixed(2))));
    return row;
  }));
  document.querySelector("#heads table").append(make("thead", head), body);
  byId("heads-note").textContent = data.note;
  byId("example-label").textContent = "Layer";
  byId("target-title").textContent = "Tokens";
  byId("source-title").textContent = "What the token attends to, with its weights";
  byId("map-title").textContent = "Map: a row for each token, a column for each that it attends to";
}

for (const part of document.querySelectorAll("[data-for]")) part.hidden = (part.dataset.for === "heads") !== Boolean(data.heads);
if (data.heads) listHeads();
fill(byId("example"), examples.map((one) => one.name || `${excerpt(one.source)} → ${excerpt(one.target)}`), showExample);
if (data.heads) showPlace(...data.shown); else showExample(0);
