"use strict";
{
const root = document.documentElement;
root.classList.add("scripts");
const byId = (id) => document.getElementById(id);
const STEPS = 480, BINS = 60, SHOWN = 200;
const TYPES = { csv: "text/csv", tsv: "text/csv", txt: "text/csv", json: "application/json", ndjson: "application/x-ndjson", jsonl: "application/x-ndjson", arrows: "application/vnd.apache.arrow.stream" };

const number = (value, digits = 4) => {
  const size = Math.abs(value);
  if (value !== 0 && !(size >= 1e-4 && size < 1e9)) return value.toExponential(digits - 2);
  return size >= 10 ** (digits - 1) ? Math.round(value).toLocaleString("en") : value === 0 ? "0" : value.toPrecision(digits);
};
const share = (value) => `${(100 * value).toFixed(1)}\u00a0%`;
const count = (value, noun) => `${value.toLocaleString("en")}${noun ? ` ${noun}${value === 1 ? "" : "s"}` : ""}`;
const cell = (name, text, kind = "") => {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
};

const models = new Map();
let loading = null; // the names of the models, on their way
let scored = null; // the rows of the last answer, and what is drawn of them

function say(text, wrong = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("alarm", wrong);
}

async function ask(address, options = {}) {
  const token = byId("token").value;
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const answer = await fetch(address, { ...options, headers }).catch(() => {
    throw new Error("The service does not answer.");
  });
  if (answer.status === 401) byId("token-field").hidden = false;
  if (answer.ok) return answer.json();
  const told = await answer.json().catch(() => ({ error: `status ${answer.status}` }));
  throw new Error(told.error.charAt(0).toUpperCase() + told.error.slice(1));
}

async function loadModels() {
  try {
    const { models: names } = await ask("/v1/models");
    byId("model").replaceChildren(...names.map((name) => new Option(name, name)));
    say("");
    await describe();
  } catch (error) {
    say(error.message, true);
  }
}

async function describe() {
  const name = byId("model").value;
  if (!models.has(name)) models.set(name, await ask(`/v1/models/${encodeURIComponent(name)}`));
  const columns = models.get(name).columns.map((column) => column.name);
  const shown = columns.slice(0, 12).join(", ");
  byId("expected").textContent = `Columns: ${shown}${columns.length > 12 ? ` and ${columns.length - 12} more` : ""}.`;
}

async function score(file) {
  await loading; // a file may come before the names of the models
  const name = byId("model").value;
  const type = TYPES[file.name.split(".").pop().toLowerCase()];
  if (!type) return say("This kind of file is not read here. Give CSV, JSON, NDJSON or an Arrow stream.", true);
  if (!name) return say("No model is known yet. Give the token first.", true);
  say(`Scoring ${file.name} …`);
  byId("result").hidden = true;
  try {
    const answer = await ask(`/v1/models/${encodeURIComponent(name)}/score?explain=3`, {
      method: "POST", body: file, headers: { "Content-Type": type, Accept: "application/json" },
    });
    await describe();
    show(answer, models.get(name).threshold.value, file.name);
  } catch (error) {
    say(error.message, true);
  }
}

function show(answer, threshold, name) {
  const rows = answer.rows.map((row, place) => ({ ...row, row: place }));
  const scores = rows.map((row) => row.anomaly_score);
  const positive = scores.filter((each) => each > 0).concat(threshold > 0 ? [threshold] : []);
  // Not spread as arguments, of which there may be too many.
  const least = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);
  const most = (values) => values.reduce((a, b) => Math.max(a, b), 0);
  const low = (positive.length ? least(positive) : 1) / 1.2;
  const high = (most(positive) || 2) * 1.2;
  const place = (value) => Math.log(Math.min(Math.max(value, low), high) / low) / Math.log(high / low);
  const bars = new Array(BINS).fill(0);
  for (const each of scores) bars[Math.min(BINS - 1, Math.floor(place(each) * BINS))] += 1;
  const top = most(bars);
  const path = bars.map((height, at) => height ? `M${(1000 * at) / BINS} 100v${(-100 * height) / top}h${1000 / BINS}V100z` : "").join("");
  for (const each of document.querySelectorAll(".ridge path")) each.setAttribute("d", path);
  rows.sort((a, b) => b.anomaly_score - a.anomaly_score || a.row - b.row);
  scored = { rows, low, high, place, threshold, model: threshold, name, drawn: null };
  for (const end of ["x1", "x2"]) document.querySelector(".marks .model").setAttribute(end, `${100 * place(threshold)}%`);
  byId("low").textContent = number(low);
  byId("high").textContent = number(high);
  byId("result").hidden = false;
  move(threshold);
  const unused = answer.unused_columns ?? [];
  say(`${count(rows.length, "row")} of ${name} scored.${unused.length ? ` Not used, since training did not have them: ${unused.join(", ")}.` : ""}`);
  byId("result-title").focus({ preventScroll: true });
  byId("result").scrollIntoView({ block: "start" });
}

function move(threshold) {
  byId("threshold").value = scored.place(threshold) * STEPS;
  flag(threshold);
}

function flag(threshold) {
  scored.threshold = threshold;
  const at = scored.place(threshold);
  // Scores descend: the first that is not above the threshold ends those that are.
  let first = 0, last = scored.rows.length;
  while (first < last) {
    const middle = (first + last) >> 1;
    if (scored.rows[middle].anomaly_score > threshold) first = middle + 1;
    else last = middle;
  }
  const total = scored.rows.length;
  const clip = document.querySelector("#clip rect");
  clip.setAttribute("x", 1000 * at);
  clip.setAttribute("width", 1000 - 1000 * at);
  for (const end of ["x1", "x2"]) document.querySelector(".marks .current").setAttribute(end, `${100 * at}%`);
  byId("now-threshold").textContent = number(threshold);
  byId("now-flagged").textContent = count(first);
  byId("now-share").textContent = share(first / total);
  byId("result-title").textContent = `${count(first)} of ${count(total, "row")} flagged`;
  byId("threshold").setAttribute("aria-valuetext", `${number(threshold)}: ${count(first)} of ${count(total, "row")} flagged`);
  draw(first);
}

function draw(flagged) {
  const shown = Math.min(flagged, SHOWN);
  byId("rows-caption").textContent = flagged > shown
    ? `The ${count(shown)} flagged rows with the highest scores; the download has all`
    : flagged ? "The flagged rows; numbers begin at 0" : "No row is flagged";
  if (scored.drawn === shown) return;
  scored.drawn = shown;
  byId("rows").replaceChildren(...scored.rows.slice(0, shown).map((row) => {
    const line = document.createElement("tr");
    line.className = "flagged";
    const head = cell("th", row.row);
    head.scope = "row";
    const why = cell("td", "", "why");
    for (const reason of row.reasons ?? []) {
      if (!(reason.contribution > 0)) continue;
      const told = cell("div", "", "reason");
      // What is as expected by itself is odd in another way.
      const odd = reason.expected === null && reason.kind || `expected ${reason.expected ?? "missing"}`;
      told.append(cell("span", reason.column, "strong"), ` ${reason.observed ?? "missing"} `,
        cell("span", `${odd}, ${share(reason.contribution / row.anomaly_score)}`, "muted"));
      why.append(told);
    }
    const cells = [cell("td", number(row.anomaly_score), "num"), cell("td", number(row.p_value, 2), "num"), why];
    ["Score", "p-value", ""].forEach((label, at) => { cells[at].dataset.label = label; });
    line.append(head, ...cells);
    return line;
  }));
}

// A cell that a spreadsheet would take for a formula gets a quote before it.
const field = (value) => {
  if (value === null || value === undefined) return "";
  if (typeof value !== "string") return String(value);
  const safe = /^[=+@\t\r]|^-(?![\d.])/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

function download() {
  const heads = ["row", "anomaly_score", "is_anomaly", "p_value"];
  const reasons = scored.rows[0]?.reasons?.length ?? 0;
  const parts = ["", "_contribution", "_observed", "_expected"];
  for (let k = 1; k <= reasons; k += 1) heads.push(...parts.map((part) => `reason_${k}${part}`));
  const lines = [...scored.rows].sort((a, b) => a.row - b.row).map((row) => [
    row.row, row.anomaly_score, row.anomaly_score > scored.threshold, row.p_value,
    ...(row.reasons ?? []).flatMap((each) => [each.column, each.contribution, each.observed, each.expected]),
  ].map(field).join(","));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([[heads.join(","), ...lines, ""].join("\n")], { type: "text/csv" }));
  link.download = `${scored.name.replace(/\.\w+$/, "")}-scores.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const drop = byId("drop");
byId("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) score(file);
  event.target.value = ""; // so that the same file can be chosen again
});
for (const kind of ["dragenter", "dragover"]) addEventListener(kind, (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
addEventListener("dragleave", () => drop.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) score(file);
});
byId("threshold").addEventListener("input", (event) => {
  flag(scored.low * (scored.high / scored.low) ** (event.target.value / STEPS));
});
byId("threshold").addEventListener("keydown", (event) => {
  const change = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -24, PageUp: 24 }[event.key];
  if (!change) return;
  event.preventDefault();
  const slider = event.target;
  slider.value = Math.min(Math.max(Math.round(slider.value) + change, 0), STEPS);
  slider.dispatchEvent(new Event("input"));
});
byId("reset").addEventListener("click", () => move(scored.model));
byId("download").addEventListener("click", download);
byId("model").addEventListener("change", () => describe().catch((error) => say(error.message, true)));
byId("token").addEventListener("change", () => { loading = loadModels(); });
loading = loadModels();
}
