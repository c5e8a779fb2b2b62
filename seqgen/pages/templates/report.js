function drawFigures({ figures }) {
  return make("dl", figures.map((one) => make("div", [make("dt", one.name), make("dd", one.shown)])), { className: "figures" });
}

function drawTable({ columns, rows, words, folded }) {
  const kind = (column) => (column < words ? "" : "number");
  const head = make("tr", columns.map((name, column) => make("th", name, { scope: "col", className: kind(column) })));
  const body = rows.map((row) => make("tr", row.map((cell, column) => make("td", make("bdi", cell), { className: kind(column) }))));
  const table = make("table", [make("thead", head), make("tbody", body)], { className: "rows" });
  const scroll = make("div", table, { className: "scroll", tabIndex: 0 });
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", `Table: ${columns.join(", ")}`);
  return folded ? make("details", [make("summary", folded), scroll], { className: "folded" }) : scroll;
}

function drawCharts({ charts }) {
  return make("div", charts.map(() => make("div", "")), { className: "charts" });
}

function drawTexts({ texts }) {
  return make("div", texts.map((one) => {
    const heading = make("h3", [make("span", one.title), make("span", one.note, { className: "muted" })]);
    return make("article", [heading, make("pre", one.text, { dir: "auto", tabIndex: 0 })]);
  }), { className: "texts" });
}

function shade(element, value) {
  element.classList.add("shade");
  element.classList.toggle("strong", value > 0.57);
  element.style.setProperty("--value", value);
}

function tokenText(token) {
  return token.replaceAll("\n", "⏎\n") || "∅";
}

function sign(element, share) { // from 1 and -1 on the color is the strongest
  element.classList.add(share < 0 ? "negative" : "positive");
  element.style.setProperty("--value", Math.min(Math.abs(share), 1));
}

function drawTokens(label, tokens, color, describe) { // in a frame; a line above it describes the token that is chosen
  const reading = make("p", "", { className: "reading" });
  reading.setAttribute("role", "status");
  const elements = tokens.map((token, index) => {
    const element = make("span", tokenText(token), { index });
    color(element, index);
    return element;
  });
  const frame = make("div", elements, { className: "colored", tabIndex: 0 });
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", label);
  let chosen = 0;
  const choose = (index, scroll = false) => {
    if (!elements.length) return;
    elements[chosen].classList.remove("selected");
    chosen = Math.max(0, Math.min(elements.length - 1, index));
    elements[chosen].classList.add("selected");
    reading.replaceChildren(make("bdi", tokenText(tokens[chosen]).replaceAll("\n", "").replaceAll(" ", "␣")), ` ${describe(chosen)}`);
    if (scroll) keepInside(frame, elements[chosen]);
  };
  frame.onclick = frame.onpointerover = ({ target }) => target.index !== undefined && choose(target.index);
  frame.onkeydown = (event) => {
    const moves = {
      ArrowLeft: () => chosen - 1,
      ArrowRight: () => chosen + 1,
      ArrowUp: () => inNextLine(elements, chosen, -1),
      ArrowDown: () => inNextLine(elements, chosen, 1),
      Home: () => 0,
      End: () => elements.length - 1,
    };
    if (!(event.key in moves) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    choose(moves[event.key](), true);
  };
  choose(0);
  return [reading, frame];
}

function keepInside(frame, element) { // scrolls the frame, not the page
  const [outer, inner] = [frame.getBoundingClientRect(), element.getBoundingClientRect()];
  if (inner.top < outer.top + 8) frame.scrollTop -= outer.top + 8 - inner.top;
  else if (inner.bottom > outer.bottom - 8) frame.scrollTop += inner.bottom - outer.bottom + 8;
}

function inNextLine(elements, from, direction) { // the index of the token above or below one, or the same
  const boxes = (index) => elements[index].getClientRects()[0];
  const start = boxes(from);
  let found = from;
  let row = null;
  for (let index = from + direction; elements[index]; index += direction) {
    const box = boxes(index);
    if (Math.abs(box.top - start.top) < 2) continue;
    row ??= box.top;
    if (Math.abs(box.top - row) >= 2) break;
    if (found === from || Math.abs(box.left - start.left) < Math.abs(boxes(found).left - start.left)) found = index;
  }
  return found;
}

function drawUnit({ title, tokens, values, strong }) {
  const scale = make("div", ["value: ", ...[-1, -0.5, 0, 0.5, 1].map((share) => {
    const step = make("span", (share * strong).toFixed(2));
    sign(step, share);
    return step;
  })], { className: "scale" });
  const color = (element, index) => sign(element, values[index] / strong);
  return make("div", [make("h3", title), scale, ...drawTokens(title, tokens, color, (index) => values[index].toFixed(3))]);
}

function drawColored({ tokens, bits, expected, darkest }) {
  const scale = make("div", ["bits: ", ...[0, 0.25, 0.5, 0.75, 1].map((share) => {
    const step = make("span", (share * darkest).toFixed(1));
    shade(step, share);
    return step;
  })], { className: "scale" });
  const color = (element, index) => shade(element, Math.min(1, bits[index] / darkest));
  const describe = (index) => `${bits[index].toFixed(2)} bits; expected: ${expected[index]}`;
  return make("div", [scale, ...drawTokens("Text by the bits of each token", tokens, color, describe)]);
}

const DRAW = { figures: drawFigures, table: drawTable, charts: drawCharts, texts: drawTexts, colored: drawColored, unit: drawUnit };

for (const [number, section] of data.sections.entries()) {
  const id = `section-${number + 1}`;
  const blocks = section.blocks.map((block) => DRAW[block.kind](block));
  const heading = make("h2", section.title, { id });
  document.getElementById("sections").append(make("section", [heading, make("p", section.about, { className: "muted" }), ...blocks]));
  document.getElementById("contents").append(make("a", section.title, { href: `#${id}` }));
  section.blocks.forEach((block, index) => { // a chart needs its width, so it is drawn once it is on the page
    if (block.kind === "charts") block.charts.forEach((chart, place) => drawChart(blocks[index].children[place], chart));
  });
}

const leftOut = Object.entries(data.left_out);
if (leftOut.length) {
  document.getElementById("left-out").hidden = false;
  document.querySelector("#left-out dl").append(...leftOut.flatMap(([title, reason]) => [make("dt", title), make("dd", reason)]));
}
