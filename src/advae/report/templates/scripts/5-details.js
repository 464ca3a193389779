// Details of a row.
function strip(bars, observed, expected) {
  const width = 100 / bars.length;
  const outline = bars.map((bar, i) => `M${i * width} 100V${100 - bar}h${width}V100`).join("");
  const made = drawing("svg", { class: "strip", viewBox: "0 -8 100 108", preserveAspectRatio: "none", "aria-hidden": "true" });
  made.append(drawing("path", { class: "bars", d: outline }));
  for (const [kind, at] of [["expected", expected], ["observed", observed]]) {
    if (at === null) continue;
    const x = 100 * Math.min(Math.max(at, 0), 1);
    // A value beyond the drawn range becomes an arrow head at its end.
    const beyond = at < 0 ? "M4 20L0 46L4 72" : at > 1 ? "M96 20L100 46L96 72" : `M${x} -8V100`;
    made.append(drawing("path", { class: kind, d: beyond }));
  }
  return made;
}
const cell = (kind, label, ...children) =>
  element("td", { role: "cell", class: kind, "data-label": label }, ...children);
const line = (title, ...cells) =>
  element("tr", { role: "row" }, element("th", { scope: "row", role: "rowheader" }, title), ...cells);
function explain(row, [column, observed, expected, contribution, at, wanted, direction, remark]) {
  const { name, bars } = page.columns[column];
  const words = [page.directions[direction], direction === "same" ? "" : remark].filter(Boolean).join("; ");
  return line(
    element("bdi", {}, name),
    cell("num", "Part of score", share(row.score ? contribution / row.score : 0)),
    cell("num", "Observed", element("bdi", { class: "key-observed" }, observed ?? "missing")),
    cell("num", "Expected", element("bdi", { class: "key-expected" }, expected ?? "missing")),
    cell("", "", strip(bars, at, wanted)),
    cell("words", "", words),
  );
}
function remedy({ changes, score, normal }) {
  const made = element("p", { class: "remedy" }, normal ? "Would not be flagged with " : "Would still be flagged, even with ");
  changes.forEach(([column, value], i) => {
    if (i) made.append(i === changes.length - 1 ? " and " : ", ");
    made.append(element("bdi", {}, page.columns[column].name), " ", element("bdi", { class: "key-expected" }, value ?? "missing"));
  });
  made.append(element("span", { class: "muted" }, ` (score ${number(score)})`));
  return made;
}
function detail(row, columns, id) {
  const head = (text, kind = "") => element("th", { scope: "col", role: "columnheader", class: kind }, text);
  const body = element("tbody", { role: "rowgroup" });
  body.append(...row.cells.slice(0, page.first).map((each) => explain(row, each)));
  const table = element("table", { role: "table", class: "stacks" },
    element("caption", { class: "hidden" }, `Row ${id}, column by column`),
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" },
      head("Column"), head("Part of score", "num"), head("Observed", "num key-observed"),
      head("Expected", "num key-expected"), head("Among training values"), head("In words"))),
    body);
  const holder = element("td", { role: "cell", colspan: columns });
  const copy = element("button", { type: "button", class: "quiet copy" }, "Copy this row");
  copy.addEventListener("click", () => copyText(asText(row, id), copy));
  if (row.remedy) holder.append(remedy(row.remedy));
  else if (row.flagged) {
    holder.append(element("p", { class: "remedy" }, "No change of a few columns lowers its score."));
  }
  holder.append(table, copy);
  const hidden = row.cells.slice(page.first);
  const rest = row.rest + hidden.reduce((sum, each) => sum + each[3], 0);
  const others = (columns) => `${columns} other column${columns === 1 ? "" : "s"}`;
  if (hidden.length + row.others) {
    const other = line(
      others(hidden.length + row.others),
      cell("num", "Part of score", share(row.score ? rest / row.score : 0)),
      element("td", { role: "cell", colspan: "4" }),
    );
    body.append(other);
    if (hidden.length) {
      const more = element("button", { type: "button", class: "quiet" }, `Show ${hidden.length} more`);
      more.addEventListener("click", () => {
        const shown = hidden.map((each) => explain(row, each));
        if (row.others) {
          other.cells[0].textContent = others(row.others);
          other.cells[1].textContent = share(row.score ? row.rest / row.score : 0);
          other.before(...shown);
        } else other.replaceWith(...shown);
        shown[0].cells[0].setAttribute("tabindex", "-1");
        shown[0].cells[0].focus();
        more.remove();
      });
      other.cells[2].append(more);
    }
  }
  return element("tr", { role: "row", class: "detail" }, holder);
}
function toggle(button, open) {
  const row = button.closest("tr");
  const details = row.nextElementSibling?.classList.contains("detail") ? row.nextElementSibling : null;
  button.setAttribute("aria-expanded", open);
  if (open && !details) row.after(detail(page.rows[button.dataset.row], row.cells.length, row.cells[0].dataset.value));
  if (!open && details) details.remove();
}
const openers = all(".open");
for (const button of openers) {
  button.addEventListener("click", () => toggle(button, button.getAttribute("aria-expanded") === "false"));
}
const openAll = byId("open-all");
openAll.removeAttribute("aria-pressed");
openAll.addEventListener("click", () => {
  const opening = openAll.textContent.startsWith("Open");
  all(".open").forEach((button, i) => { if (!opening || i < 10) toggle(button, opening); });
  openAll.textContent = opening ? "Close all" : "Open the first ten";
});
