// The threshold.
const slider = byId("threshold");
const { low, high, steps, bins } = page.axis;
const place = (score) => Math.log(Math.min(Math.max(score, low), high) / low) / Math.log(high / low);
const group = (key) => page.groups.find((each) => each.key === key);
const say = (id, text) => { if (byId(id)) byId(id).textContent = text; };

function show(threshold, at, above) {
  say("now-threshold", number(threshold));
  for (const mark of [byId("mark")]) {
    mark.setAttribute("x1", `${100 * at}%`);
    mark.setAttribute("x2", `${100 * at}%`);
  }
  let flagged = 0;
  let total = 0;
  for (const each of page.groups) {
    // Whatever lies below the axis, a score of 0 for one, stands in its first bar.
    const red = at === 0 && above(each) < each.total ? 1000 / bins : 1000 * at;
    const clip = document.querySelector(`#clip-${each.key} rect`);
    clip.setAttribute("x", red);
    clip.setAttribute("width", 1000 - red);
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
