const last = data.tokens.length; // step 0 is the start of the document
let step = 1;
let unit = 0;

/* Each cell in a drawing of 460 x 226: lines as paths, wires as those with an arrow, boxes as [symbol, x, y, kind], nodes
   as [sign, x, y] and notes as [text, x, y], by their centers. A state without a prime is its value before the token. */
const lstm = {
  lines: ["M44 176V163H344", "M226 176V163"],
  wires: [
    "M80 34H106", "M130 34H214", "M238 34H380", "M118 110V46", "M190 110L216 91", "M262 110L236 91", "M226 72V46",
    "M416 54V118", "M376 130H404", "M416 142V176", "M118 163V150", "M190 163V150", "M262 163V150", "M344 163V150",
  ],
  boxes: [
    ["c", 44, 34, "state"], ["c'", 416, 34, "state"], ["f", 118, 130, "gate"], ["i", 190, 130, "gate"],
    ["g", 262, 130, "value"], ["o", 344, 130, "gate"], ["h", 44, 196, "state"], ["x", 226, 196, "token"],
    ["h'", 416, 196, "state"],
  ],
  nodes: [["×", 118, 34], ["+", 226, 34], ["×", 226, 84], ["×", 416, 130]],
  notes: [["tanh", 438, 88]],
};
const gru = {
  lines: ["M44 54V163H320", "M220 176V163"],
  wires: [
    "M80 34H118", "M142 34H308", "M332 34H380", "M130 110V46", "M150 110V84H308", "M320 110V96", "M320 72V46",
    "M252 130H288", "M130 163V150", "M220 163V150", "M320 163V150",
  ],
  boxes: [
    ["h", 44, 34, "state"], ["h'", 416, 34, "state"], ["z", 130, 130, "gate"], ["r", 220, 130, "gate"],
    ["h~", 320, 130, "value"], ["x", 220, 196, "token"],
  ],
  nodes: [["×", 130, 34], ["+", 320, 34], ["×", 320, 84]],
  notes: [["1 − z", 228, 77]],
};
const rnn = {
  lines: [],
  wires: ["M80 96H188", "M200 176V108", "M200 62V84", "M212 96H258", "M342 96H380"],
  boxes: [["h", 44, 96, "state"], ["x", 200, 196, "token"], ["function", 300, 96, "function"], ["h'", 416, 96, "state"]],
  nodes: [["+", 200, 96]],
  notes: [["U h", 134, 88], ["W x", 222, 150], ["b", 200, 54]],
};
const drawing = { lstm, gru, rnn }[data.cell];

function svg(name, attributes, ...content) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...content);
  return element;
}

function isolate(token) { // so that a token written from right to left does not reorder its neighbors
  return make("bdi", token, { title: token });
}

function chip(token, kind = "") {
  return make("span", isolate(token), { className: `token ${kind}` });
}

function shorten(token) {
  const characters = [...token];
  return characters.length > 7 ? `${characters.slice(0, 6).join("")}…` : token;
}

function percent(share) {
  return share >= 0.001 ? `${(100 * share).toFixed(1)}%` : "< 0.1%";
}

/* The values of a step by symbol: the results of its equations, and the states before it. */
function valuesAt(number) {
  const results = (index) => new Map(index ? data.units[unit].steps[index - 1].map(([symbol, , , result]) => [symbol, result]) : []);
  const [before, values] = [results(number - 1), results(number)];
  for (const state of ["h", "c"]) values.set(state, before.get(`${state}'`) ?? "0.000");
  return values.set("x", shorten(data.tokens[number - 1]));
}

function drawCell() {
  const values = valuesAt(step);
  const picture = byId("cell").querySelector("svg");
  picture.setAttribute("viewBox", "0 0 460 226");
  picture.setAttribute("aria-label", `Cell: ${[...values].map(([symbol, value]) => `${symbol} ${value}`).join(", ")}`);
  const head = svg("marker", { id: "head", viewBox: "0 0 8 8", refX: 8, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" },
    svg("path", { class: "arrow", d: "M0 0L8 4L0 8Z" }));
  values.set("function", data.units[unit].steps[0][0][1].split("(")[0]); // tanh, sigmoid or relu of a plain recurrent cell
  picture.replaceChildren(
    svg("defs", {}, head),
    ...drawing.lines.map((d) => svg("path", { class: "wire", d })),
    ...drawing.wires.map((d) => svg("path", { class: "wire", d, "marker-end": "url(#head)" })),
    ...drawing.boxes.map((box) => drawBox(box, values)),
    ...drawing.nodes.map(([sign, x, y]) => svg("g", {}, svg("circle", { class: "node", cx: x, cy: y, r: 12 }), svg("text", { x, y: y + 5 }, sign))),
    ...drawing.notes.map(([text, x, y]) => svg("text", { class: "note", x, y }, text)),
  );
}

function drawBox([symbol, x, y, kind], values) {
  const value = values.get(symbol);
  const group = svg("g", { class: kind });
  if (kind === "gate") {
    group.style.setProperty("--value", value);
    group.classList.toggle("strong", value > 0.57);
  }
  const width = { state: 72, function: 84 }[kind] ?? 64;
  group.append(svg("rect", { class: "box", x: x - width / 2, y: y - 20, width, height: 40, rx: 6 }));
  if (kind === "function") group.append(svg("text", { x, y: y + 5 }, value));
  else group.append(svg("text", { class: "name", x, y: y - 4 }, symbol), svg("text", { x, y: y + 13 }, value));
  return group;
}

function writeEquations() {
  byId("equations").replaceChildren(...data.units[unit].steps[step - 1].map(([symbol, formula, numbers, result]) => {
    return make("div", [
      make("b", symbol.padEnd(3)), `= ${formula}`, make("div", `= ${numbers}`), make("div", ["= ", make("b", result)]),
    ], { className: "equation" });
  }));
}

function drawNext() {
  const { top, actual } = data.next[step];
  const rows = top.map((one) => ({ ...one, marked: actual !== null && one.token === actual.token }));
  if (actual !== null && !rows.some((one) => one.marked)) rows.push({ ...actual, marked: true });
  byId("next").replaceChildren(make("div", rows.flatMap(({ token, probability, marked }) => {
    const bar = make("div", "", { className: "bar" });
    bar.style.setProperty("--value", probability);
    return [chip(token, marked ? "actual" : ""), make("div", bar, { className: "track" }), make("span", percent(probability), { className: "percent" })];
  }), { className: "bars" }));
}

function drawAttention() {
  const names = ["start", ...data.tokens].slice(0, step + 1);
  byId("attention").replaceChildren(...data.attention.map((layer, depth) => {
    const items = names.map((name, column) => {
      const weight = layer[step - 1][column];
      const item = chip(name, `shade${weight > 0.57 ? " strong" : ""}`);
      item.style.setProperty("--value", weight);
      item.append(make("span", weight.toFixed(2)));
      return item;
    });
    return make("div", [make("div", `Layer ${depth}`), make("div", items, { className: "tokens" })], { className: "layer" });
  }));
}

function read() {
  const { actual } = data.next[step];
  const parts = step ? [`Token ${step} of ${last}, `, isolate(data.tokens[step - 1]), ". "] : ["Before the first token all states are 0. "];
  if (actual !== null) parts.push("The next is ", isolate(actual.token), `: probability ${percent(actual.probability)}, ${actual.nats.toFixed(3)} nats.`);
  byId("reading").replaceChildren(...parts);
}

function show(number, focus = false) {
  const options = byId("text").children;
  options[step].tabIndex = -1;
  options[step].setAttribute("aria-selected", "false");
  step = Math.max(0, Math.min(last, number));
  options[step].tabIndex = 0;
  options[step].setAttribute("aria-selected", "true");
  if (focus) options[step].focus();
  byId("back").disabled = step === 0;
  byId("forward").disabled = step === last;
  const cell = data.units.length > 0;
  byId("cell").hidden = byId("numbers").hidden = !cell || step === 0;
  byId("maps").hidden = cell || step === 0;
  if (step && cell) {
    drawCell();
    writeEquations();
  } else if (step) {
    drawAttention();
  }
  drawNext();
  read();
}

byId("introduction").textContent = data.units.length
  ? "The model reads the text one token at a time. Step with ← and →, or tap a token. x is the vector of the token; h and c are the states of one unit before the token, h' and c' those after it; W, U and b are learned."
  : "The model reads the text one token at a time. Step with ← and →, or tap a token, to see which tokens it attends to.";
byId("text").append(...["start", ...data.tokens].map((token, index) => {
  const option = make("div", isolate(token), { className: index ? "token" : "token start", role: "option", tabIndex: -1 });
  option.setAttribute("aria-selected", "false");
  option.onclick = () => show(index, true);
  return option;
}));
byId("unit").append(...data.units.map((one, index) => new Option(`layer ${one.layer}, unit ${one.unit}`, index)));
byId("unit").parentElement.hidden = data.units.length < 2;
byId("unit").onchange = () => {
  unit = byId("unit").selectedIndex;
  show(step);
};
byId("back").onclick = () => show(step - 1);
byId("forward").onclick = () => show(step + 1);
document.onkeydown = (event) => {
  const target = { ArrowLeft: step - 1, ArrowRight: step + 1, Home: 0, End: last }[event.key];
  if (target === undefined || event.target.tagName === "SELECT" || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  show(target, byId("text").contains(document.activeElement));
};
show(step);
