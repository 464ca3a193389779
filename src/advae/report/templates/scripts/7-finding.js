// Finding rows and columns, and taking rows along.
const told = (found, total, noun) => (found === total ? "" : `${count(found)} of ${count(total)} ${noun}`);
const has = (text, words) => words.every((word) => text.includes(word));
const words = (input) => input.value.toLowerCase().split(/\s+/).filter(Boolean);

const [findRows, byColumn] = [byId("find-rows"), byId("by-column")];
const topRows = openers.map((button) => button.closest("tr"));
const driving = new Set(all("[data-column]").map((reason) => Number(reason.dataset.column)));
for (const column of [...driving].sort((a, b) => a - b)) {
  byColumn.append(element("option", { value: column }, page.columns[column].name));
}
function filterRows() {
  const wanted = words(findRows);
  let found = 0;
  for (const row of topRows) {
    const driven = !byColumn.value || row.querySelector(`[data-column="${byColumn.value}"]`);
    row.hidden = !(driven && has(row.textContent.toLowerCase(), wanted));
    const next = row.nextElementSibling;
    if (next?.classList.contains("detail")) next.hidden = row.hidden;
    found += !row.hidden;
  }
  byId("found-rows").textContent = told(found, topRows.length, "rows");
}
findRows.addEventListener("input", filterRows);
byColumn.addEventListener("change", filterRows);

const findColumns = byId("find-columns");
const columnRows = all(".columns > tbody > tr");
findColumns.addEventListener("input", () => {
  const wanted = words(findColumns);
  for (const row of columnRows) row.hidden = !has(row.cells[0].textContent.toLowerCase(), wanted);
  const found = columnRows.filter((row) => !row.hidden).length;
  byId("found-columns").textContent = told(found, columnRows.length, "columns");
});

// A spreadsheet takes what begins with one of these signs for a formula, unless it is a number.
const harmless = (value) => {
  const text = String(value);
  return /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
};
const csvCell = (value) => {
  const text = harmless(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
byId("download")?.addEventListener("click", () => {
  const { file, headings, rows } = page.listed;
  const lines = [headings, ...rows].map((each) => each.map(csvCell).join(","));
  const address = URL.createObjectURL(new Blob([`${lines.join("\r\n")}\r\n`], { type: "text/csv" }));
  const link = element("a", { href: address, download: file });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
});

function asText(row, id) {
  const cells = [...topRows.find((each) => each.cells[0].dataset.value === id).cells].slice(1, -1);
  const kept = cells.map((each) => `${each.dataset.label}\t${each.textContent.trim()}`);
  const values = row.cells.map(([column, observed, expected]) =>
    [page.columns[column].name, observed ?? "missing", expected ?? "missing"].map(harmless).join("\t"));
  return [`Row\t${id}`, ...kept, "", "Column\tObserved\tExpected", ...values].join("\n");
}
async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = element("textarea", {}, text);
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy this row"; }, 2000);
}

// A link into what is folded away opens it.
function unfold() {
  const target = byId(decodeURIComponent(location.hash.slice(1)));
  const folded = target?.closest("details");
  if (folded && !folded.open) {
    folded.open = true;
    target.scrollIntoView();
  }
}
addEventListener("hashchange", unfold);
unfold();
