"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

function make(name, content, properties = {}) { // content: text, an element, or a list of them
  const element = Object.assign(document.createElement(name), properties);
  element.append(...[content].flat());
  return element;
}
