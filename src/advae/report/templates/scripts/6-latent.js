// The latent space.
const [frame, tip, halo] = [byId("latent-frame"), byId("tip"), byId("halo")];
const drawn = new Map(all("path[data-group]").map((path) => [path.dataset.group, path]));
for (const box of all("[data-points]")) {
  const paint = () => drawn.get(box.dataset.points).toggleAttribute("hidden", !box.checked);
  box.addEventListener("change", paint);
  paint();
}
frame?.addEventListener("pointermove", (event) => {
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
frame?.addEventListener("pointerleave", () => { tip.hidden = true; halo.setAttribute("d", ""); });
