const map = byId("map");
const GAP = 6; // pixels from the middle of a point to its label
const MARGIN = 18; // pixels that points stay away from the sides
const REACH = 30; // pixels from a point at which the pointer still finds it
const rowOf = new Map(data.words.map((word, index) => [word, index]));
let points = []; // in pixels
let links; // the group of lines to the nearest words
let current = -1;

function svg(name, attributes = {}, content = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (content) element.append(content);
  return element;
}

function percent(share) {
  return `${Math.round(share * 100)}%`;
}

const groups = data.words.map((word, index) => {
  const group = svg("g", { class: index < data.named ? "word named" : "word" });
  group.append(svg("circle", { r: 3.5 }), svg("text", {}, word));
  return group;
});

function overlaps(a, b) {
  return a[0] < b[2] && a[2] > b[0] && a[1] < b[3] && a[3] > b[1];
}

function around([x, y]) {
  return [x - GAP, y - GAP, x + GAP, y + GAP];
}

function placeLabels(width, height) { // each right of its point, left, above or below, where it covers nothing
  const taken = [];
  const marks = points.map(around);
  groups.forEach((group, index) => {
    const text = group.lastChild;
    text.setAttribute("x", 0);
    text.setAttribute("y", 0);
    const box = text.getBBox();
    const [x, y] = points[index];
    const corners = [
      [x + GAP, y - box.height / 2], [x - GAP - box.width, y - box.height / 2],
      [x - box.width / 2, y - GAP - box.height], [x - box.width / 2, y + GAP],
    ];
    const inside = corners.filter(([left, top]) => left >= 0 && top >= 0 && left + box.width <= width && top + box.height <= height);
    const place = inside.find(([left, top]) => {
      const area = [left, top, left + box.width, top + box.height];
      return !taken.some((other) => overlaps(area, other)) && !marks.some((mark, other) => other !== index && overlaps(area, mark));
    });
    group.classList.toggle("placed", place !== undefined);
    const [left, top] = place ?? inside[0] ?? [Math.max(0, Math.min(x, width - box.width)), y];
    text.setAttribute("x", left - box.x);
    text.setAttribute("y", top - box.y);
    if (place) taken.push([left, top, left + box.width, top + box.height]);
  });
  const hidden = groups.filter((group) => !group.classList.contains("placed")).length;
  byId("hidden").textContent = hidden ? `${hidden} of ${groups.length} names have no room; point at a word to see it.` : "";
}

function draw() {
  const width = Math.max(Math.floor(map.getBoundingClientRect().width), 240);
  const height = Math.round(Math.min(640, Math.max(360, width * 0.65)));
  const scale = [0, 1].map((axis) => {
    const values = data.points.map((point) => point[axis]);
    const low = Math.min(...values);
    const range = Math.max(...values) - low || 1;
    const room = (axis ? height : width) - 2 * MARGIN;
    return (value) => MARGIN + (axis ? 1 - (value - low) / range : (value - low) / range) * room;
  });
  points = data.points.map(([x, y]) => [scale[0](x), scale[1](y)]);
  map.setAttribute("height", height);
  map.setAttribute("viewBox", `0 0 ${width} ${height}`);
  links = svg("g");
  map.replaceChildren(links, ...groups);
  points.forEach(([x, y], index) => {
    groups[index].firstChild.setAttribute("cx", x);
    groups[index].firstChild.setAttribute("cy", y);
  });
  placeLabels(width, height);
  choose(current);
}

function choose(index) { // -1 is none
  current = index;
  map.classList.toggle("active", index >= 0);
  const near = index < 0 ? [] : data.neighbors[index].map(([word]) => rowOf.get(word)).filter((row) => row !== undefined);
  groups.forEach((group, row) => {
    group.classList.toggle("current", row === index);
    group.classList.toggle("near", near.includes(row));
  });
  links.replaceChildren(...near.map((row) => {
    return svg("path", { class: "link", d: `M${points[index].join(" ")}L${points[row].join(" ")}` });
  }));
  const reading = byId("reading");
  if (index < 0) {
    reading.textContent = "Point at a word, or type one, to see the words with the most similar vectors.";
    return;
  }
  map.append(groups[index]); // above the others
  const name = document.createElement("bdi");
  name.textContent = data.words[index];
  reading.replaceChildren(name, ": ");
  data.neighbors[index].forEach(([word, similarity], place) => {
    const other = document.createElement("span");
    const shown = document.createElement("bdi");
    shown.textContent = word;
    other.append(place ? ", " : "", shown, ` ${similarity.toFixed(2)}`);
    reading.append(other);
  });
}

function nearestTo(x, y) {
  let found = -1;
  let least = REACH;
  points.forEach(([left, top], index) => {
    const distance = Math.hypot(left - x, top - y);
    if (distance < least) [found, least] = [index, distance];
  });
  return found;
}

map.onpointermove = map.onpointerdown = (event) => {
  const box = map.getBoundingClientRect();
  const index = nearestTo(event.clientX - box.left, event.clientY - box.top);
  if (index !== current) choose(index);
};
map.onpointerleave = () => choose(-1);

map.onkeydown = (event) => {
  const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (event.key === "Escape") choose(-1);
  if (!direction) return;
  event.preventDefault();
  if (current < 0) {
    choose(0);
    return;
  }
  const [x, y] = points[current];
  let best = [Infinity, current];
  points.forEach(([left, top], index) => {
    const along = (left - x) * direction[0] + (top - y) * direction[1];
    const across = Math.abs((left - x) * direction[1]) + Math.abs((top - y) * direction[0]);
    if (index !== current && along > 0 && along >= across && along + 2 * across < best[0]) best = [along + 2 * across, index];
  });
  choose(best[1]);
};

byId("word").oninput = (event) => choose(rowOf.get(event.target.value.trim()) ?? -1);
byId("words").append(...data.words.map((word) => new Option(word, word)));
byId("axes").textContent = `Vectors of length 1 along their first two principal components, with ${percent(data.explained[0])} and `
  + `${percent(data.explained[1])} of the variance: words at near points may still differ in the other dimensions. `
  + (data.named ? "Named words are orange, their nearest words blue." : "");

let drawnWidth = 0;
new ResizeObserver(() => {
  const width = map.getBoundingClientRect().width;
  if (width !== drawnWidth) {
    drawnWidth = width;
    draw();
  }
}).observe(map);
draw();
