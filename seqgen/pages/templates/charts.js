"use strict";

for (const chart of JSON.parse(document.getElementById("data").textContent).charts) {
  const element = document.createElement("div");
  document.getElementById("charts").append(element);
  drawChart(element, chart);
}
