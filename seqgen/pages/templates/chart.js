/* drawChart(element, data): draw the chart `data`, as `chart_data` of chart.py returns it, into `element`. */
const drawChart = (() => {
  const COLORS = 7;
  const MARKERS = [ // paths around 0, 0: circle, square, triangle, diamond, triangle, cross, plus
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", "M-3.5-3.5h7v7h-7z", "M0-4.5L4.5 3.5h-9z", "M0-5L5 0L0 5L-5 0z",
    "M0 4.5L4.5-3.5h-9z", "M-4-2L-2-4L0-2L2-4L4-2L2 0L4 2L2 4L0 2L-2 4L-4 2L-2 0z",
    "M-1.5-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
  ];
  const MARKERS_ON_A_CURVE = 8;
  const CHARACTER = 6.8; // pixels, about, of the labels' characters
  const LINE = 16; // pixels from one line of labels to the next

  function svg(name, attributes = {}, content = "") {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(content);
    return element;
  }

  function html(name, content, properties = {}) {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...[content].flat());
    return element;
  }

  function show(value) { // four digits, and no more zeros than help
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e7)) return value.toExponential(2);
    if (Number.isInteger(value)) return value.toLocaleString("en");
    const decimals = Math.max(0, 3 - Math.floor(Math.log10(size)));
    return value.toLocaleString("en", { minimumFractionDigits: Math.min(decimals, 3), maximumFractionDigits: decimals });
  }

  function label(value) { // of a tick
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e6)) return Number(value.toPrecision(6)).toExponential().replace("e+", "e");
    return Number(value.toPrecision(6)).toLocaleString("en", { maximumFractionDigits: 6 });
  }

  function linearTicks(low, high, count) {
    const rough = (high - low) / Math.max(count, 1);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough * 0.999);
    const ticks = [];
    for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index += 1) ticks.push(index * step);
    return ticks;
  }

  function logTicks(low, high, count) {
    const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
    if (last - first < 2) { // fewer than three powers of ten
      const between = [];
      for (let power = first - 1; power <= last; power += 1) between.push(...[1, 2, 5].map((factor) => factor * 10 ** power));
      const inside = between.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
      return inside.length > 1 ? inside : linearTicks(low, high, count).filter((tick) => tick > 0);
    }
    const every = Math.ceil((last - first + 1) / Math.max(count, 2));
    const ticks = [];
    for (let power = first; power <= last; power += every) ticks.push(10 ** power);
    return ticks;
  }

  function makeScale(values, log, margin) { // a function from a value to 0..1, with its ends
    const known = values.filter((value) => value !== null);
    let [low, high] = rangeOf(known);
    if (known.length === 0) [low, high] = log ? [1, 10] : [0, 1];
    const forward = log ? Math.log10 : (value) => value;
    let [from, to] = [forward(low), forward(high)];
    if (from === to) [from, to] = log ? [from - 0.5, to + 0.5] : [from - (Math.abs(from) * 0.1 || 1), to + (Math.abs(to) * 0.1 || 1)];
    [from, to] = [from - margin * (to - from), to + margin * (to - from)];
    const back = log ? (value) => 10 ** value : (value) => value;
    return {
      place: (value) => (forward(value) - from) / (to - from),
      ticks: (count) => (log ? logTicks : linearTicks)(back(from), back(to), count),
    };
  }

  function marker(number, x, y) {
    return svg("path", { class: "marker", d: MARKERS[number % MARKERS.length], transform: `translate(${x} ${y})` });
  }

  function nearest(values, target, distance) { // the index of the value with the least distance
    let found = 0;
    values.forEach((value, index) => {
      if (distance(value, target) < distance(values[found], target)) found = index;
    });
    return found;
  }

  function widthOf(element) {
    return Math.floor(element.getBoundingClientRect().width);
  }

  function rangeOf(values) {
    return values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
  }

  function drawChart(element, data) {
    const curves = data.curves.map((curve) => ({ ...curve, shown: true, ends: rangeOf(curve.x) }));
    const places = [...new Set(curves.flatMap((curve) => curve.x))].sort((a, b) => a - b);
    let current = null; // the place of the crosshair, once the reader has pointed at one
    let moving; // the group of the crosshair
    let geometry;

    const plot = svg("svg", { class: "plot", role: "application", tabindex: 0 });
    plot.setAttribute("aria-label", `${data.title}: ${data.yLabel} against ${data.xLabel}. Arrow keys move along the curves.`);
    const reading = html("p", "Point, tap or press an arrow key to see values.", { className: "reading muted" });
    const legend = html("ul", curves.map(makeEntry));
    const details = html("details", html("summary", "Numbers"));
    details.ontoggle = () => details.childElementCount === 1 && details.append(makeTable());
    const status = html("p", "", { className: "spoken" });
    status.setAttribute("role", "status");
    element.replaceChildren(html("figure", [html("figcaption", data.title), plot, reading, legend, details, status], { className: "chart" }));

    function makeEntry(curve) {
      const sample = svg("svg", { width: 30, height: 14, "aria-hidden": "true", class: `color-${curve.color % COLORS}` });
      sample.append(svg("path", { class: curve.dashed ? "line dashed" : "line", d: curve.points ? "" : "M0 7H30" }), marker(curve.marker, 15, 7));
      curve.value = html("span", "", { className: "value" });
      const button = html("button", [sample, html("bdi", curve.name), curve.value], { type: "button", title: `Show or hide ${curve.name}` });
      button.setAttribute("aria-pressed", "true");
      button.onclick = () => {
        curve.shown = !curve.shown;
        button.setAttribute("aria-pressed", curve.shown);
        draw();
      };
      return html("li", button);
    }

    function makeTable() {
      const head = html("tr", [data.xLabel, ...curves.flatMap((curve) => [curve.name, ...(curve.low ? ["low", "high"] : [])])]
        .map((name) => html("th", html("bdi", name), { scope: "col" })));
      const columns = curves.flatMap((curve) => [curve.y, ...(curve.low ? [curve.low, curve.high] : [])]
        .map((values) => new Map(curve.x.map((x, index) => [x, values[index]]))));
      const rows = places.map((x) => html("tr", [html("td", show(x)), ...columns.map((column) => html("td", column.has(x) ? show(column.get(x)) : ""))]));
      const table = html("table", [html("thead", head), html("tbody", rows)]);
      const box = html("div", table, { className: "numbers", tabIndex: 0 });
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", `Numbers of ${data.title}`);
      return box;
    }

    function lengthOf(text) { // in pixels, of a name in the plot
      const element = svg("text", { class: "name" }, text);
      plot.append(element);
      const length = element.getComputedTextLength();
      element.remove();
      return length;
    }

    function fitted(text, most) { // a text, cut to so many pixels
      if (lengthOf(text) <= most) return text;
      const characters = [...text];
      while (characters.length && lengthOf(`${characters.join("")}…`) > most) characters.pop();
      return `${characters.join("")}…`;
    }

    function layMarks(x, width) { // the row and the place of each name above the plot: beside its line, or else inside
      const ends = [];
      return data.marks.map((mark) => {
        const name = fitted(mark.name, width - 10);
        const [at, length] = [x(mark.x), lengthOf(name) + 8];
        const beside = at + length <= width ? at : at - length;
        const left = beside >= 0 ? beside : Math.max(0, width - length);
        const right = left + length;
        let row = ends.findIndex((taken) => taken.every(([from, to]) => right < from || left > to));
        if (row < 0) row = ends.push([]) - 1;
        ends[row].push([left, right]);
        return { ...mark, short: name, row, left: left + 4 };
      });
    }

    function draw() {
      const width = Math.max(widthOf(plot), 240);
      const shown = curves.filter((curve) => curve.shown);
      const visible = shown.length ? shown : curves;
      const xScale = makeScale([...places, ...data.marks.map((mark) => mark.x)], data.logX, 0);
      const yScale = makeScale(visible.flatMap((curve) => [...curve.y, ...(curve.low || []), ...(curve.high || [])]), data.logY, 0.05);
      const height = Math.round(Math.min(420, Math.max(260, width * 0.5)));
      const yTicks = yScale.ticks(height / 60);
      const left = 30 + Math.max(...yTicks.map((tick) => label(tick).length), 1) * CHARACTER;
      const right = width - 14;
      const x = (value) => left + xScale.place(value) * (right - left);
      const marks = layMarks(x, width);
      const top = 10 + LINE * (1 + Math.max(-1, ...marks.map((mark) => mark.row)));
      const bottom = height - 42;
      const y = (value) => bottom - yScale.place(value) * (bottom - top);
      geometry = { x, y, top, bottom };
      plot.setAttribute("height", height);
      plot.setAttribute("viewBox", `0 0 ${width} ${height}`);
      moving = svg("g");
      plot.replaceChildren(drawAxes(xScale, yTicks, { x, y, left, right, top, bottom, width }), drawMarks(marks), ...shown.map(drawCurve), moving);
      moveTo(current);
    }

    function drawAxes(xScale, yTicks, { x, y, left, right, top, bottom, width }) {
      const group = svg("g", { "aria-hidden": "true" });
      for (const tick of yTicks) {
        group.append(svg("path", { class: "grid", d: `M${left} ${y(tick)}H${right}` }));
        group.append(svg("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, label(tick)));
      }
      let free = -Infinity;
      for (const tick of xScale.ticks(Math.max(2, (right - left) / 80))) {
        const half = label(tick).length * CHARACTER / 2;
        group.append(svg("path", { class: "grid", d: `M${x(tick)} ${top}V${bottom}` }));
        const at = Math.min(x(tick), width - half - 1);
        if (at - half < free) continue;
        free = at + half + 8;
        group.append(svg("text", { x: at, y: bottom + 16, "text-anchor": "middle" }, label(tick)));
      }
      group.append(svg("path", { class: "frame", d: `M${left} ${top}V${bottom}H${right}` }));
      group.append(svg("text", { x: (left + right) / 2, y: bottom + 36, "text-anchor": "middle" }, data.xLabel));
      const middle = (top + bottom) / 2;
      group.append(svg("text", { x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` }, data.yLabel));
      return group;
    }

    function drawMarks(marks) { // the lines first, so that none crosses a name
      const group = svg("g");
      const placed = marks.map((mark) => ({ ...mark, at: geometry.x(mark.x), baseline: geometry.top - 4 - mark.row * LINE }));
      group.append(...placed.map(({ at, baseline }) => svg("path", { class: "mark", d: `M${at} ${baseline - 8}V${geometry.bottom}` })));
      group.append(...placed.map(({ left, baseline, name, short }) => {
        const text = svg("text", { class: "name", x: left, y: baseline }, short);
        if (short !== name) text.append(svg("title", {}, name));
        return text;
      }));
      return group;
    }

    function drawCurve(curve, number) {
      const group = svg("g", { class: `color-${curve.color % COLORS}${curve.points ? " points" : ""}` });
      const point = (index, values) => `${geometry.x(curve.x[index]).toFixed(1)} ${geometry.y(values[index]).toFixed(1)}`;
      if (curve.low) {
        for (const run of runsOf(curve.x.map((_, index) => curve.low[index] !== null && curve.high[index] !== null))) {
          const edges = [...run.map((index) => point(index, curve.high)), ...run.reverse().map((index) => point(index, curve.low))];
          group.append(svg("path", { class: "band", d: `M${edges.join("L")}Z` }));
        }
      }
      const known = runsOf(curve.y.map((value) => value !== null));
      const line = known.map((run) => `M${run.map((index) => point(index, curve.y)).join("L")}`).join("");
      if (line && !curve.points) group.append(svg("path", { class: curve.dashed ? "line dashed" : "line", d: line }));
      const every = curve.points ? 1 : Math.max(1, Math.floor(curve.x.length / MARKERS_ON_A_CURVE));
      const first = Math.floor(number * every / Math.max(curves.length, 1));
      known.flat().filter((index) => index % every === first % every).forEach((index) => {
        group.append(marker(curve.marker, geometry.x(curve.x[index]), geometry.y(curve.y[index])));
      });
      return group;
    }

    function runsOf(known) { // the indices of each stretch without a gap
      const runs = [];
      known.forEach((one, index) => {
        if (!one) return;
        if (index === 0 || !known[index - 1]) runs.push([]);
        runs.at(-1).push(index);
      });
      return runs;
    }

    function moveTo(place) {
      if (!places.length || place === null) return;
      current = Math.max(0, Math.min(places.length - 1, place));
      const value = places[current];
      const at = geometry.x(value);
      moving.replaceChildren(svg("path", { class: "crosshair", d: `M${at} ${geometry.top}V${geometry.bottom}` }));
      for (const curve of curves) {
        const index = nearest(curve.x, at, (one, pixel) => Math.abs(geometry.x(one) - pixel));
        const found = value < curve.ends[0] || value > curve.ends[1] ? null : curve.y[index];
        curve.value.textContent = show(found);
        if (found === null || !curve.shown) continue;
        const group = svg("g", { class: `color-${curve.color % COLORS}` });
        group.append(marker(curve.marker, geometry.x(curve.x[index]), geometry.y(found)));
        moving.append(group);
      }
      reading.textContent = `At ${data.xLabel} ${show(value)}:`;
    }

    function speak() {
      status.textContent = `${data.xLabel} ${show(places[current])}: ${curves.filter((curve) => curve.shown).map((curve) => `${curve.name} ${curve.value.textContent}`).join(", ")}`;
    }

    plot.onpointermove = plot.onpointerdown = (event) => {
      const at = event.clientX - plot.getBoundingClientRect().left;
      moveTo(nearest(places, at, (value, pointer) => Math.abs(geometry.x(value) - pointer)));
    };
    plot.onkeydown = (event) => {
      const page = Math.max(1, Math.round(places.length / 10));
      const from = current ?? -1;
      const moves = { ArrowLeft: from - 1, ArrowRight: from + 1, PageUp: from + page, PageDown: from - page };
      const place = { ...moves, Home: 0, End: places.length - 1 }[event.key];
      if (place === undefined) return;
      event.preventDefault();
      moveTo(place);
      speak();
    };
    let drawnWidth = 0;
    new ResizeObserver(() => {
      if (widthOf(plot) !== drawnWidth) {
        drawnWidth = widthOf(plot);
        draw();
      }
    }).observe(element);
    draw();
  }

  return drawChart;
})();
