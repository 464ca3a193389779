// Sorting, by the headings.
function sort(table, heading) {
  const descending = heading.getAttribute("aria-sort") !== "descending";
  const [column, sign] = [heading.cellIndex, descending ? -1 : 1];
  const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
  const order = heading.dataset.sort === "number"
    ? (a, b) => Number(value(a)) - Number(value(b))
    : (a, b) => value(a).localeCompare(value(b), "en", { numeric: true });
  const body = table.tBodies[0];
  const rows = [...body.rows].filter((row) => !row.classList.contains("detail"));
  const details = new Map(rows.map((row) => [row, row.nextElementSibling]));
  rows.sort((a, b) => sign * order(a, b));
  for (const row of rows) {
    const next = details.get(row);
    body.append(row);
    if (next?.classList.contains("detail")) body.append(next);
  }
  all("th", table.tHead).forEach((each) => each.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
}
for (const table of all("table.sortable")) {
  for (const heading of all("th[data-sort]", table.tHead)) {
    const button = element("button", { type: "button", class: "sort" }, ...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sort(table, heading));
  }
}
