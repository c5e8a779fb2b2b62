const ZERO = 128; // the byte of the value 0
const LARGEST = 127; // a byte this far from it is the largest absolute value of the unit
const LEVELS = 8; // colors of each sign
const BLOCK = 1000; // tokens that are drawn at once, when they come near the window
const PLACES = 10;
const FEWEST_UNITS = 3; // from which places are compared by them
const CONTEXT = 24; // characters shown on each side of a place

const tokens = []; // the characters of each
const starts = new Set(); // the first token of each document
const blocks = []; // elements, each with the numbers of its first token and of the token after its last
const near = new Set(); // blocks near the window
const marked = new Map(); // class names by token
let unit; // the one that is shown
let colors; // the class of each byte of it
let painted = 0; // how often colors or marks have changed
let selected = null; // tokens [start, stop)
let anchor = 0; // where a selection by keyboard began
let head = 0; // and where it ends
let lastRead = 0; // the token whose value is shown

function states(one) { // decoded when they are first needed
  one.bytes ??= Uint8Array.from(atob(one.states), (char) => char.charCodeAt(0));
  return one.bytes;
}

function value(one, token) {
  return (states(one)[token] - ZERO) / LARGEST * one.scale;
}

function signed(number, digits) {
  return `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(digits)}`;
}

function shown(text) { // for a place in a line
  return text.replaceAll("\n", "⏎").replaceAll("\r", "").replaceAll("\t", "⇥");
}

function color(share) { // the class of a value; from 1 on it is the strongest color
  const level = Math.round(Math.min(Math.abs(share), 1) * LEVELS);
  return level ? `${share < 0 ? "negative" : "positive"} v${level}` : "";
}

// Tokens and blocks

const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) {
      near.add(target);
      refresh(target);
    } else near.delete(target);
  }
}, { root: byId("text"), rootMargin: "800px 0px" });

data.documents.forEach((text, number) => {
  const characters = [...text];
  const lengths = data.lengths ? data.lengths[number] : characters.map(() => 1);
  const first = tokens.length;
  let at = 0;
  for (const length of lengths) tokens.push(characters.slice(at, at += length).join(""));
  starts.add(first);
  const box = make("div", "", { className: "document", start: first, stop: tokens.length });
  for (let start = first; start < tokens.length; start += BLOCK) {
    const stop = Math.min(start + BLOCK, tokens.length);
    const block = make("span", tokens.slice(start, stop).join(""), { start, stop });
    blocks.push(block);
    box.append(block);
  }
  byId("text").append(box);
});
Object.assign(byId("text"), { start: 0, stop: tokens.length });

function refresh(block) {
  if (block.painted === undefined) {
    block.replaceChildren(...tokens.slice(block.start, block.stop).map((token, index) => {
      return make("span", token, { start: block.start + index, stop: block.start + index + 1 });
    }));
  }
  if (block.painted === painted) return;
  block.painted = painted;
  const bytes = states(unit);
  for (const element of block.children) {
    const token = element.start;
    const end = tokens[token].includes("\n") ? " end" : "";
    element.className = colors[bytes[token]] + end + (marked.get(token) ?? "");
  }
}

function repaint() {
  painted += 1;
  near.forEach(refresh);
}

function elementOf(token) {
  let low = 0;
  let high = blocks.length - 1;
  while (low < high) { // the last block that begins at the token or before
    const middle = Math.ceil((low + high) / 2);
    if (blocks[middle].start <= token) low = middle;
    else high = middle - 1;
  }
  refresh(blocks[low]);
  return blocks[low].children[token - blocks[low].start];
}

// The unit and its colors

function showUnit(index) {
  unit = data.units[index];
  colors = Array.from({ length: 256 }, (_, byte) => color((byte - ZERO) / LARGEST * unit.scale / unit.strong));
  byId("unit").value = index;
  document.querySelectorAll("#found button").forEach((button) => {
    button.setAttribute("aria-pressed", button.unit === index);
  });
  byId("scale").replaceChildren(...[-1, -0.5, 0, 0.5, 1].map((share) => {
    return make("span", share ? signed(share * unit.strong, 2) : "0", { className: color(share) });
  }));
  repaint();
  read(lastRead);
}

function read(token) {
  lastRead = token;
  const place = make("span", `Token ${(token + 1).toLocaleString("en")} `);
  place.append(make("bdi", shown(tokens[token]).replaceAll(" ", "␣") || "∅"), ` ${unit.name} = ${signed(value(unit, token), 3)}`);
  byId("reading").replaceChildren(place);
}

function label(index) {
  const best = data.found.filter((one) => one.unit === index);
  const tracked = best.map((one) => `${one.probe} ${signed(one.held_out, 2)}`).join(", ");
  return data.units[index].name + (tracked && `: ${tracked}`);
}

function group(name, indices) {
  const made = make("optgroup", "", { label: name });
  made.append(...indices.map((index) => new Option(label(index), index)));
  return indices.length ? [made] : [];
}

const everyUnit = data.units.map((_, index) => index);
const found = new Set(data.found.map((one) => one.unit));
byId("unit").append(
  ...group("asked for", everyUnit.slice(0, data.asked)),
  ...group("found", everyUnit.slice(data.asked).filter((index) => found.has(index))),
  ...group("of the others, those that vary most", everyUnit.slice(data.asked).filter((index) => !found.has(index))),
);
byId("unit").onchange = () => showUnit(Number(byId("unit").value));
byId("safe").onchange = () => document.documentElement.classList.toggle("safe", byId("safe").checked);

// The table of units that were found

const count = (number, one) => `${number.toLocaleString("en")} ${one}${number === 1 ? "" : "s"}`;
byId("halves").textContent = `Chosen among ${count(data.tried, "unit")} by their correlation on the first `
  + `${count(data.half, "token")}, and measured again on the other ${count(tokens.length - data.half, "token")}, which `
  + `are held out. This page has ${count(data.units.length, "unit")} to choose from; seqgen inspect units --unit NAME `
  + "adds others."
  + (data.absent.length ? ` Not measured, as they do not change in this text: ${data.absent.join(", ")}.` : "");
const header = make("tr", make("th", "probe", { scope: "col" }));
header.append(
  make("th", "unit", { scope: "col" }),
  make("th", "chosen on", { scope: "col", className: "number" }),
  make("th", "held out", { scope: "col", className: "number" }),
);
const rows = data.found.map((one) => {
  const cell = make("td", one.unit === null ? one.name : make("button", one.name, {
    type: "button", unit: one.unit, onclick: () => showUnit(one.unit),
  }));
  const row = make("tr", make("td", one.probe));
  row.append(cell, ...[one.fitted, one.held_out].map((r) => make("td", signed(r, 2), { className: "number" })));
  return row;
});
document.querySelector("#found table").append(header, ...rows);

// Selecting

function boundary(node, offset, isEnd) { // the number of a token, of one end of a selection
  const owner = node.nodeType === Node.TEXT_NODE ? node.parentElement : node;
  if (node !== owner) return (isEnd ? offset > 0 : offset >= node.length) ? owner.stop : owner.start;
  return owner.childNodes[offset]?.start ?? (offset ? owner.stop : owner.start);
}

document.onselectionchange = () => { // by pointer; `select` has chosen what it selects
  const selection = document.getSelection();
  if (!selection.rangeCount) return;
  const range = selection.getRangeAt(0);
  if (!byId("text").contains(range.startContainer) || !byId("text").contains(range.endContainer)) return;
  const start = Math.min(boundary(range.startContainer, range.startOffset, false), tokens.length - 1);
  const stop = Math.max(boundary(range.endContainer, range.endOffset, true), start + 1);
  if (selected && selected[0] === start && selected[1] === stop) return;
  choose(start, stop);
  anchor = start;
  head = stop - 1;
  read(head);
};

function choose(start, stop) {
  selected = [start, stop];
  byId("find").disabled = false;
}

function select(from, to) {
  const [first, last] = from < to ? [from, to] : [to, from];
  const begin = elementOf(first);
  const end = elementOf(last);
  choose(first, last + 1);
  document.getSelection().setBaseAndExtent(begin, 0, end, end.childNodes.length);
  elementOf(to).scrollIntoView({ block: "nearest" });
  read(to);
}

function lineStart(token) {
  while (token > 0 && !tokens[token - 1].includes("\n")) token -= 1;
  return token;
}

function lineEnd(token) {
  while (token < tokens.length - 1 && !tokens[token].includes("\n")) token += 1;
  return token;
}

function lineBelow(token, column) {
  return Math.min(token + column, lineEnd(token));
}

byId("text").onkeydown = (event) => {
  const start = lineStart(head);
  const column = head - start;
  const moves = {
    ArrowLeft: () => head - 1,
    ArrowRight: () => head + 1,
    ArrowUp: () => (start > 0 ? lineBelow(lineStart(start - 1), column) : 0),
    ArrowDown: () => (lineEnd(head) + 1 < tokens.length ? lineBelow(lineEnd(head) + 1, column) : tokens.length - 1),
    Home: () => start,
    End: () => lineEnd(head),
  };
  if (event.key === "Enter" && selected) findSelected();
  if (!(event.key in moves) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  head = Math.max(0, Math.min(tokens.length - 1, moves[event.key]()));
  if (!event.shiftKey) anchor = head;
  select(anchor, head);
};

byId("text").onpointerover = (event) => {
  if (event.target.stop - event.target.start !== 1 || event.target.firstElementChild) return;
  read(event.target.start);
  event.target.title = signed(value(unit, event.target.start), 3);
};

// Similar places, as find_similar of seqgen/inspection/units.py finds them, with the units of this page

function findSimilar(start, stop) {
  const sides = data.units.flatMap((one) => [
    { name: `+${one.name}`, bytes: states(one), isOn: (byte) => byte > one.high },
    { name: `-${one.name}`, bytes: states(one), isOn: (byte) => byte < one.low },
  ]);
  let whole = sides.filter(({ bytes, isOn }) => isOn(bytes[stop - 1]));
  let first = stop - 1;
  for (; first > start; first -= 1) { // the first token from which enough units are on up to the end
    const longer = whole.filter(({ bytes, isOn }) => isOn(bytes[first - 1]));
    if (longer.length < FEWEST_UNITS) break;
    whole = longer;
  }
  start = first;
  const before = ({ bytes, isOn }) => starts.has(start) || !isOn(bytes[start - 1]);
  const after = ({ bytes, isOn }) => stop === tokens.length || starts.has(stop) || !isOn(bytes[stop]);
  const strict = whole.filter((one) => before(one) && after(one));
  const either = whole.filter((one) => before(one) || after(one));
  const chosen = [strict, either].find((ones) => ones.length >= FEWEST_UNITS) ?? whole;
  const matched = new Uint16Array(tokens.length);
  for (const { bytes, isOn } of chosen) bytes.forEach((byte, token) => { matched[token] += isOn(byte); });
  return { start, stop, units: chosen.map((one) => one.name), places: placesOf(matched, start, stop, chosen.length) };
}

function placesOf(matched, start, stop, units) {
  const taken = new Uint8Array(tokens.length).fill(1, start, stop);
  const places = [];
  for (let level = units; level > units / 2; level -= 1) {
    for (let begin = 0; begin < tokens.length; begin += 1) {
      if (matched[begin] < level) continue;
      let end = begin + 1;
      while (end < tokens.length && matched[end] >= level && !starts.has(end)) end += 1;
      const fits = stop - start <= 2 * (end - begin) && end - begin <= 2 * (stop - start);
      if (fits && !taken.subarray(begin, end).includes(1)) {
        if (places.length === PLACES) return places;
        taken.fill(1, begin, end);
        places.push({ start: begin, stop: end, matched: level });
      }
      begin = end - 1;
    }
  }
  return places;
}

function excerpt(from, to) {
  return shown(tokens.slice(Math.max(from, 0), to).join(""));
}

function findSelected() {
  const { start, stop, units, places } = findSimilar(...selected);
  const names = units.slice(0, 6).join(", ") + (units.length > 6 ? ", …" : "");
  byId("chosen").textContent = units.length
    ? `Compared by ${count(units.length, "unit")} of this page at the ${start > selected[0] ? "last " : ""}`
      + `${count(stop - start, "token")}: ${names}. `
      + (places.length ? "Most of them are on at these places too:" : "More than half of them are on nowhere else.")
    : "No unit of this page is on at the end of the span; select another.";
  marked.clear();
  for (let token = start; token < stop; token += 1) marked.set(token, " span");
  byId("places").replaceChildren(...places.map((place) => {
    for (let token = place.start; token < place.stop; token += 1) marked.set(token, " place");
    const button = make("button", excerpt(place.start - CONTEXT, place.start).slice(-CONTEXT), { type: "button" });
    button.append(
      make("mark", excerpt(place.start, place.stop)),
      excerpt(place.stop, place.stop + CONTEXT).slice(0, CONTEXT),
    );
    button.onclick = () => select(place.start, place.stop - 1);
    const item = make("li", `${place.matched} of ${units.length} `);
    item.append(button);
    return item;
  }));
  repaint();
}
byId("find").onclick = findSelected;

blocks.forEach((block) => observer.observe(block));
showUnit(0);
