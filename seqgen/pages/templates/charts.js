for (const chart of data.charts) {
  const element = document.createElement("div");
  byId("charts").append(element);
  drawChart(element, chart);
}
