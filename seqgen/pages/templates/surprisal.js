const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const VALUES = new Map([...DIGITS].map((digit, value) => [digit, value]));
const STRONG = 6; // the level from which text on a color is written in the other color
const END = "⟨end⟩"; // of a document
const CONTEXT = 24; // characters around a passage
const LONGEST_ROW = 1000; // cells; a longer line continues in another row
const RANKS = [[1, 0, "1"], [2, 2, "2"], [5, 4, "3–5"], [10, 5, "6–10"], [100, 7, "11–100"], [Infinity, 10, "over 100"]];
const numbers = unpack(data.numbers);
const places = new Map(data.places);
const views = data.views.map(prepare);
let view; // the one that is shown
let cells = []; // of the view: {element, line, from, to}: tokens or spans [from, to) that are shown as one
let cellOf; // from the index of a token to that of its cell
let firstCells; // of each line, and the number of cells
let selected = 0;

function unpack({ count, width, low, digits }) {
  const found = new Array(count);
  for (let index = 0; index < count; index++) {
    let value = 0;
    for (let place = 0; place < width; place++) value = value * 64 + VALUES.get(digits[index * width + place]);
    found[index] = value + low;
  }
  return found;
}

function prepare(packed) { // arrays in place of packed numbers; nats and bits in units
  const hundredths = (one) => unpack(one).map((value) => value / 100);
  const made = {
    ...packed,
    characters: [...(packed.text ?? data.views[0].text)],
    lengths: unpack(packed.lengths),
    counts: unpack(packed.counts),
    lineNats: hundredths(packed.line_nats),
    lineBits: hundredths(packed.line_bits),
    lineStrangeness: hundredths(packed.line_strangeness),
  };
  if (packed.kind === "difference") {
    const [first, second] = [hundredths(packed.first), hundredths(packed.second)];
    return { ...made, first, second, nats: first.map((nats, index) => nats - second[index]) };
  }
  const { steps, each, ids, shares, names, from } = packed.alternatives;
  const tokens = unpack(steps);
  const all = unpack(ids).map((id) => names[id]);
  const percent = hundredths(shares);
  let at = 0;
  made.alternatives = new Map(tokens.map((step, index) => {
    at += step;
    const part = [index * each, (index + 1) * each];
    return [at, all.slice(...part).map((name, rank) => [name, percent[part[0] + rank]])];
  }));
  return { ...made, nats: hundredths(packed.nats), ranks: unpack(packed.ranks), from };
}

function sign(character) { // a sign for a character that cannot be seen, or ""
  const code = character.codePointAt(0);
  if (character === "\n") return "⏎";
  if (character === "\r") return "␍";
  if (code < 32 && character !== "\t") return String.fromCodePoint(0x2400 + code);
  if (code === 127) return "␡";
  if (/[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/u.test(character) || /[\p{Cc}\p{Zl}\p{Zp}\p{Cn}]/u.test(character)) {
    return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
  }
  return "";
}

function visible(text) { // a token by itself
  if (text === "") return END;
  return [...text].map((one) => (one === " " ? "␣" : one === "\t" ? "⇥" : sign(one) || one)).join("");
}

function appendText(element, text) { // a part of the text: spaces as they are, signs for what cannot be seen
  let plain = "";
  for (const character of text) {
    const shown = sign(character);
    if (!shown) {
      plain += character;
      continue;
    }
    element.append(plain, make("span", shown, { className: "sign" }));
    plain = "";
  }
  element.append(plain);
}

function level(value, scale) {
  return Math.max(0, Math.min(10, Math.round(10 * value / scale)));
}

function colorOf(step, kind) { // classes for a step from -10 to 10
  const size = Math.abs(step);
  if (size === 0) return "";
  const side = kind !== "difference" ? "shade" : step < 0 ? "lower" : "higher";
  return `${side} l${size}${size >= STRONG ? " strong" : ""}`;
}

function stepOf(cell) {
  if (byId("color").value === "rank" && view.ranks) {
    let worst = 0;
    for (let token = cell.from; token < cell.to; token++) {
      worst = Math.max(worst, RANKS.find(([most]) => view.ranks[token] <= most)[1]);
    }
    return worst;
  }
  const nats = sum(view.nats, cell.from, cell.to);
  return Math.sign(nats) * level(Math.abs(nats), view.scale);
}

function sum(values, from, to) {
  let total = 0;
  for (let index = from; index < to; index++) total += values[index];
  return total;
}

function showView(index) {
  view = views[index];
  byId("summary").textContent = view.kind === "difference"
    ? `${view.name}: ${view.summary}. Blue: ${views[0].name} is better. Orange: ${views[1].name} is better.`
    : `${view.name}: ${view.summary}`;
  const ways = view.ranks ? [["nats", "surprisal, nats"], ["rank", "rank of the token"]] : [["nats", "difference, nats"]];
  byId("color").replaceChildren(...ways.map(([value, name]) => new Option(name, value)));
  byId("color").parentElement.hidden = ways.length < 2;
  drawText();
  drawLists();
  paint();
  select(Math.min(selected, cells.length - 1), false);
}

function drawText() {
  const box = byId("text");
  const made = document.createDocumentFragment();
  const { characters, lengths, counts } = view;
  const largest = view.lineBits.reduce((most, bits) => Math.max(most, Math.abs(bits)), 0.01);
  cells = [];
  cellOf = new Int32Array(lengths.length);
  firstCells = [];
  let token = 0;
  let place = 0;
  counts.forEach((count, line) => {
    if (places.has(line)) made.append(make("div", places.get(line), { className: "place" }));
    firstCells.push(cells.length);
    let row = make("div", make("span", numbers[line].toLocaleString("en"), { className: "number" }), { className: "line" });
    const bits = view.lineBits[line];
    const step = Math.sign(bits) * level(Math.abs(bits), largest);
    row.append(make("span", bits.toFixed(2), { className: `bits ${colorOf(step, view.kind)}` }));
    let content = make("span", "", { className: "cells", dir: "auto" });
    const stop = token + count;
    while (token < stop) { // parts of a character are shown with its last part
      const from = token;
      while (lengths[token] === 0 && token + 1 < stop) token++;
      const text = characters.slice(place, place + lengths[token]).join("");
      place += lengths[token];
      token++;
      const element = make("span", "", { className: "cell" });
      if (text) appendText(element, text);
      else element.append(make("span", END, { className: "sign" }));
      element.index = cells.length;
      cellOf.fill(cells.length, from, token);
      cells.push({ element, line, from, to: token, text });
      content.append(element);
      if (content.childElementCount === LONGEST_ROW && token < stop) { // a browser lays out rows that are seen, but whole
        row.append(content);
        made.append(row);
        row = make("div", make("span", "", { className: "number" }), { className: "line" });
        row.append(make("span", "", { className: "bits" }));
        content = make("span", "", { className: "cells", dir: "auto" });
      }
    }
    row.append(content);
    made.append(row);
  });
  firstCells.push(cells.length);
  box.replaceChildren(made);
}

function paint() {
  for (const cell of cells) {
    cell.color = colorOf(stepOf(cell), view.kind);
    cell.element.className = `cell ${cell.color}`;
  }
  drawScale();
  if (cells.length) cells[selected]?.element.classList.add("selected");
}

function drawScale() {
  const step = (text, value) => make("span", text, { className: colorOf(value, view.kind) || "none" });
  const label = (text) => make("span", text, { className: "label" });
  if (byId("color").value === "rank") {
    byId("scale").replaceChildren(label("rank"), ...RANKS.map(([, value, text]) => step(text, value)));
    return;
  }
  const size = (value) => `${value < 0 ? "−" : ""}${(Math.abs(value) * view.scale / 10).toFixed(1)}`;
  const values = view.kind === "difference" ? [-10, -5, -2, 0, 2, 5, 10] : [0, 2, 4, 6, 8, 10];
  const more = view.kind === "difference" ? `nats that ${views[0].name} needs more` : "nats and more";
  byId("scale").replaceChildren(...values.map((value) => step(size(value), value)), label(more));
}

function select(index, scroll = true) {
  if (!cells.length) return;
  cells[selected]?.element.classList.remove("selected");
  selected = index;
  const cell = cells[index];
  cell.element.classList.add("selected");
  if (scroll) showInText(cell.element);
  const heading = make("p", make("bdi", visible(cell.text)));
  const where = `line ${numbers[cell.line].toLocaleString("en")}`;
  if (view.kind === "difference") {
    const [first, second] = [view.first, view.second].map((nats) => sum(nats, cell.from, cell.to));
    heading.append(` ${where}: ${signed(sum(view.nats, cell.from, cell.to))} nats`);
    byId("reading").replaceChildren(
      heading,
      make("p", `${views[0].name}: ${first.toFixed(2)} nats`),
      make("p", `${views[1].name}: ${second.toFixed(2)} nats`),
    );
    return;
  }
  const nats = sum(view.nats, cell.from, cell.to);
  const parts = cell.to - cell.from;
  heading.append(` ${where}: ${nats.toFixed(2)} nats (${(nats / Math.LN2).toFixed(2)} bits)`);
  if (parts === 1) heading.append(`, rank ${view.ranks[cell.from].toLocaleString("en")}`);
  const lines = [heading];
  for (let token = cell.from; token < cell.to; token++) lines.push(describe(token, parts > 1 ? token - cell.from + 1 : 0));
  byId("reading").replaceChildren(...lines);
}

function describe(token, part) {
  const line = make("p", part ? `part ${part}: ${view.nats[token].toFixed(2)} nats, rank ${view.ranks[token]}; expected: ` : "expected: ");
  const alternatives = view.alternatives.get(token);
  if (!alternatives) { // a page has room for those of the hardest tokens
    line.append(view.from === null ? "not on this page" : `only on this page for tokens of ${view.from.toFixed(2)} nats and more`);
    return line;
  }
  for (const [name, percent] of alternatives) {
    const item = make("span", make("bdi", name), { className: "alternative" });
    item.append(percent < 0.01 ? " <0.01%" : ` ${percent.toFixed(percent < 1 ? 2 : 1)}%`);
    line.append(item, " ");
  }
  return line;
}

function signed(value) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
}

function showInText(element) { // within the text, not the page
  const box = byId("text");
  const [outer, inner] = [box.getBoundingClientRect(), element.getBoundingClientRect()];
  if (inner.top < outer.top + 24) box.scrollTop -= outer.top + 24 - inner.top;
  else if (inner.bottom > outer.bottom - 24) box.scrollTop += inner.bottom - outer.bottom + 24;
}

function jump(from, to) { // to tokens, which are marked
  document.querySelectorAll(".cell.passage").forEach((element) => element.classList.remove("passage"));
  for (let cell = cellOf[from]; cell <= cellOf[to - 1]; cell++) cells[cell].element.classList.add("passage");
  const target = cells[cellOf[from]].element;
  target.scrollIntoView({ block: "nearest" }); // lays out the lines around it, whose heights were not known
  select(cellOf[from]);
  byId("text").scrollIntoView({ block: "nearest" });
}

function drawLists() {
  byId("passages").parentElement.hidden = !view.passages.length;
  byId("passages").replaceChildren(...view.passages.map(([from, to, nats]) => {
    const button = make("button", "", { className: "jump", type: "button", onclick: () => jump(from, to) });
    const [start, stop] = [cellOf[from], cellOf[to - 1] + 1];
    button.append(
      make("span", around(start - 1, -1), { className: "around" }),
      make("strong", shorten(cells.slice(start, stop))),
      make("span", around(stop, 1), { className: "around" }),
      make("span", ` ${view.kind === "difference" ? signed(nats) : nats.toFixed(2)} nats`, { className: "figure" }),
    );
    return make("li", button);
  }));
  byId("lines-note").textContent = "By strangeness, nats divided by the root of the line's bytes: neither long nor short lines come first for their length alone.";
  const head = make("tr", "");
  head.append(...["line", "strangeness", "nats", "bits/byte"].map((name) => make("th", name, { scope: "col" })), make("th", "text", { scope: "col", className: "what" }));
  byId("lines").replaceChildren(make("thead", head), make("tbody", ""));
  byId("lines").tBodies[0].append(...view.strangest.filter((line) => view.counts[line]).map((line) => {
    const [start, stop] = [firstCells[line], firstCells[line + 1]];
    const button = make("button", shorten(cells.slice(start, stop), 160), { className: "jump", type: "button" });
    button.onclick = () => jump(cells[start].from, cells[stop - 1].to);
    const row = make("tr", make("td", numbers[line].toLocaleString("en")));
    row.append(make("td", view.lineStrangeness[line].toFixed(2)));
    row.append(make("td", view.lineNats[line].toFixed(2)), make("td", view.lineBits[line].toFixed(2)), make("td", button, { className: "what" }));
    return row;
  }));
}

function shorten(part, most = 80) {
  const text = [...part.map((cell) => visible(cell.text).replaceAll("␣", " ")).join("")];
  return text.length > most ? `${text.slice(0, most - 1).join("")}…` : text.join("");
}

function around(cell, direction) { // the text before or after a passage, as far as the lines are neighbors
  let text = "";
  for (let index = cell; cells[index] && text.length < CONTEXT && areNeighbors(cells[index - direction], cells[index]); index += direction) {
    const own = visible(cells[index].text).replaceAll("␣", " ");
    text = direction < 0 ? own + text : text + own;
  }
  const characters = [...text];
  return (direction < 0 ? characters.slice(-CONTEXT) : characters.slice(0, CONTEXT)).join("");
}

function areNeighbors(...pair) { // whether the lines of two cells are the same, or neighbors in the text
  const [first, last] = pair.map(({ line }) => line).sort((a, b) => a - b);
  for (let line = first + 1; line <= last; line++) {
    if (places.has(line) || numbers[line] !== numbers[line - 1] + 1) return false;
  }
  return true;
}

function drawCalibration() {
  byId("calibration").hidden = !data.calibration.length;
  byId("bins").replaceChildren(...data.calibration.map(({ name, error, accuracy, confidence, bins }) => {
    const table = make("table", make("caption", `${name}: calibration error ${error.toFixed(4)}, accuracy ${accuracy.toFixed(4)}, mean confidence ${confidence.toFixed(4)}`));
    const head = make("tr", "");
    head.append(...["confidence", "tokens", "mean", "right"].map((title) => make("th", title, { scope: "col" })));
    const body = make("tbody", "");
    body.append(...bins.map(([low, high, count, mean, right]) => {
      const row = make("tr", "");
      row.append(...[`${low.toFixed(2)}–${high.toFixed(2)}`, count.toLocaleString("en"), mean.toFixed(4), right.toFixed(4)].map((cell) => make("td", cell)));
      return row;
    }));
    table.append(make("thead", head), body);
    return table;
  }));
  if (data.chart && typeof drawChart === "function") drawChart(byId("diagram"), data.chart);
}

const box = byId("text");
box.onpointerover = (event) => {
  const element = event.target.closest(".cell");
  if (element) select(element.index, false);
};
box.onclick = box.onpointerover;
box.onkeydown = (event) => {
  const line = cells[selected]?.line ?? 0;
  const moves = {
    ArrowLeft: () => selected - 1,
    ArrowRight: () => selected + 1,
    ArrowUp: () => nearLine(line, -1),
    ArrowDown: () => nearLine(line, 1),
    Home: () => firstCells[line],
    End: () => firstCells[line + 1] - 1,
  };
  if (!(event.key in moves) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  select(Math.max(0, Math.min(cells.length - 1, moves[event.key]())));
};

function nearLine(line, direction) { // the same column in the next line that has tokens
  const column = selected - firstCells[line];
  let other = line + direction;
  while (firstCells[other + 1] !== undefined && firstCells[other] === firstCells[other + 1]) other += direction;
  if (other < 0 || firstCells[other + 1] === undefined) return selected;
  return Math.min(firstCells[other] + column, firstCells[other + 1] - 1);
}

byId("notice").textContent = data.notice ?? "";
byId("view").replaceChildren(...views.map(({ name }, index) => new Option(name, index)));
byId("view").parentElement.hidden = views.length < 2;
byId("view").onchange = () => {
  selected = 0;
  showView(byId("view").selectedIndex);
};
byId("color").onchange = paint;
drawCalibration();
byId("view").selectedIndex = views.length - 1;
showView(views.length - 1);
