"use strict";
(() => {
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const page = JSON.parse(byId("payload").textContent);
  root.classList.add("scripts");

  // Numbers as the page writes them elsewhere; see text.py.
  const number = (value, digits = 4) => {
    const size = Math.abs(value);
    if (value !== 0 && !(size >= 1e-4 && size < 1e9)) return value.toExponential(digits - 2);
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

  // Light and dark.
  const theme = byId("theme");
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches);
  const nameTheme = () => {
    theme.textContent = isDark() ? "Light" : "Dark";
    theme.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
  };
  theme.removeAttribute("aria-pressed");
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    nameTheme();
  });
  prefersDark.addEventListener("change", nameTheme);
  nameTheme();

  // The section being read, marked in the navigation.
  const links = new Map(all(".bar nav a").map((link) => [link.hash.slice(1), link]));
  const reading = new IntersectionObserver(
    (entries) => {
      for (const entry of entries.filter((each) => each.isIntersecting)) {
        for (const [id, link] of links) {
          if (id === entry.target.id) link.setAttribute("aria-current", "true");
          else link.removeAttribute("aria-current");
        }
      }
    },
    { rootMargin: "-20% 0px -75% 0px" },
  );
  all("main > section").forEach((section) => reading.observe(section));

  // The threshold.
  const slider = byId("threshold");
  const { low, high, steps } = page.axis;
  const place = (score) => Math.log(Math.min(Math.max(score, low), high) / low) / Math.log(high / low);
  const group = (key) => page.groups.find((each) => each.key === key);
  const say = (id, text) => { if (byId(id)) byId(id).textContent = text; };

  function show(threshold, at, above) {
    say("now-threshold", number(threshold));
    for (const mark of [byId("mark")]) {
      mark.setAttribute("x1", `${100 * at}%`);
      mark.setAttribute("x2", `${100 * at}%`);
    }
    for (const clip of all(".clip")) {
      clip.setAttribute("x", 1000 * at);
      clip.setAttribute("width", 1000 * (1 - at));
    }
    let flagged = 0;
    let total = 0;
    for (const each of page.groups) {
      say(`above-${each.key}`, share(above(each) / each.total));
      if (!["training", "calibration"].includes(each.key)) {
        flagged += above(each);
        total += each.total;
      }
    }
    say("now-flagged", count(flagged));
    say("now-share", share(flagged / total));
    let words = `${number(threshold)}: ${count(flagged)} of ${count(total)} rows flagged`;
    const [anomaly, normal] = [group("anomaly"), group("normal")];
    if (anomaly && normal) words += compare(threshold, above(anomaly), above(normal));
    slider.setAttribute("aria-valuetext", words);
  }

  function compare(threshold, hits, alarms) {
    const [positives, negatives] = [group("anomaly").total, group("normal").total];
    const precision = hits / Math.max(hits + alarms, 1);
    const recall = hits / positives;
    say("now-precision", precision.toFixed(3));
    say("now-recall", recall.toFixed(3));
    say("now-f1", ((2 * hits) / Math.max(hits + alarms + positives, 1)).toFixed(3));
    say("confusion-threshold", number(threshold));
    say("hits", count(hits));
    say("misses", count(positives - hits));
    say("alarms", count(alarms));
    say("rest", count(negatives - alarms));
    const point = (id, x, y) => byId(id)?.setAttribute("d", `M${1000 * x} ${1000 * (1 - y)}h0`);
    point("point-roc", alarms / negatives, recall);
    point("point-precision-recall", recall, precision);
    return `, precision ${precision.toFixed(2)}, recall ${recall.toFixed(2)}`;
  }

  // The model's own threshold exactly; others at the nearest step of the table.
  function move(threshold) {
    slider.value = place(threshold) * steps;
    if (threshold === page.threshold) show(threshold, place(threshold), (each) => each.flagged);
    else moveTo(Math.round(place(threshold) * steps));
  }
  function moveTo(step) {
    show(low * (high / low) ** (step / steps), step / steps, (each) => each.above[step]);
  }
  slider.addEventListener("input", () => moveTo(Math.round(slider.value)));
  slider.addEventListener("keydown", (event) => {
    const change = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -24, PageUp: 24 }[event.key];
    if (!change) return;
    event.preventDefault();
    const step = Math.round(slider.value) + change;
    slider.value = Math.min(Math.max(step, 0), steps);
    moveTo(Math.round(slider.value));
  });
  byId("reset").addEventListener("click", () => move(page.threshold));
  for (const button of all("[data-threshold]")) {
    button.addEventListener("click", () => {
      move(Number(button.dataset.threshold));
      byId("readout").scrollIntoView({ block: "nearest" });
    });
  }
  move(page.threshold);

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
    const words = direction === "same" ? page.directions.same : `${page.directions[direction]}; ${remark}`;
    return line(
      element("bdi", {}, name),
      cell("num", "Part of score", share(row.score ? contribution / row.score : 0)),
      cell("num", "Observed", element("bdi", { class: "key-observed" }, observed ?? "missing")),
      cell("num", "Expected", element("bdi", { class: "key-expected" }, expected ?? "missing")),
      cell("", "", strip(bars, at, wanted)),
      cell("words", "", words),
    );
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
    const holder = element("td", { role: "cell", colspan: columns }, table);
    const hidden = row.cells.slice(page.first);
    const rest = row.rest + hidden.reduce((sum, each) => sum + each[3], 0);
    if (hidden.length + row.others) {
      const other = line(
        `${hidden.length + row.others} other columns`,
        cell("num", "Part of score", share(row.score ? rest / row.score : 0)),
        element("td", { role: "cell", colspan: "4" }),
      );
      body.append(other);
      if (hidden.length) {
        const more = element("button", { type: "button", class: "quiet" }, `Show ${hidden.length} more`);
        more.addEventListener("click", () => {
          const shown = hidden.map((each) => explain(row, each));
          if (row.others) {
            other.cells[0].textContent = `${row.others} other columns`;
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

  // The latent space.
  const [frame, tip, halo] = [byId("latent-frame"), byId("tip"), byId("halo")];
  const drawn = new Map(all("path[data-group]").map((path) => [path.dataset.group, path]));
  for (const box of all("[data-points]")) {
    const paint = () => drawn.get(box.dataset.points).toggleAttribute("hidden", !box.checked);
    box.addEventListener("change", paint);
    paint();
  }
  frame.addEventListener("pointermove", (event) => {
    const area = frame.getBoundingClientRect();
    let nearest = null;
    let least = 20 ** 2;
    for (const each of page.latent) {
      if (drawn.get(each.key).hasAttribute("hidden")) continue;
      each.rows.forEach((row, i) => {
        const [dx, dy] = [each.x[i] * area.width, (1 - each.y[i]) * area.height];
        const distance = (dx - event.clientX + area.left) ** 2 + (dy - event.clientY + area.top) ** 2;
        if (distance < least) [nearest, least] = [{ row, score: each.scores[i], x: each.x[i], y: each.y[i] }, distance];
      });
    }
    tip.hidden = nearest === null;
    halo.setAttribute("d", nearest ? `M${1000 * nearest.x} ${1000 * (1 - nearest.y)}h0` : "");
    if (nearest) {
      tip.textContent = `Row ${nearest.row}, score ${number(nearest.score)}`;
      tip.style.left = `${Math.min(Math.max(nearest.x * area.width, 80), area.width - 80)}px`;
      tip.style.top = `${(1 - nearest.y) * area.height}px`;
    }
  });
  frame.addEventListener("pointerleave", () => { tip.hidden = true; halo.setAttribute("d", ""); });
})();
