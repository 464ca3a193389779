// What the other scripts share.
const root = document.documentElement;
const byId = (id) => document.getElementById(id);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const page = JSON.parse(byId("payload").textContent);
root.classList.add("scripts");

// Numbers as the page writes them elsewhere; see text.py.
const number = (value, digits = 4) => {
  const size = Math.abs(value);
  if (value !== 0 && !(size >= 1e-4 && size < 1e9)) {
    return value.toExponential(digits - 2).replace(/(?<=e[+-])(?=\d$)/, "0");
  }
  if (size >= 10 ** (digits - 1)) return Math.round(value).toLocaleString("en");
  return value === 0 ? "0" : value.toPrecision(digits);
};
const share = (value) => {
  if (value > 0 && value < 0.001) return "< 0.1\u00a0%";
  if (value > 0.999 && value < 1) return "> 99.9\u00a0%";
  return `${(100 * value).toFixed(1)}\u00a0%`;
};
const count = (value) => value.toLocaleString("en");

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
function drawing(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
