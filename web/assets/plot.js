// Lines by layer: a row for each component, all on one logarithmic scale, so that
// what stands out in one row stands out on the page.
"use strict";
{
  const W = 600, H = 34;
  const FLOAT16 = 65504; // the greatest number of float16

  // lines draws rows = [{name, values}], a value for each of layers or null; stands is
  // the layer that stands out, faults how many values of a layer are not finite.
  wreg.lines = (host, layers, rows, label) => {
    const all = rows.flatMap((r) => r.values).filter((v) => v > 0);
    if (!all.length) return false;
    let lo = Math.log(all.reduce((a, b) => Math.min(a, b))), hi = Math.log(all.reduce((a, b) => Math.max(a, b)));
    if (hi - lo < 1) [lo, hi] = [(lo + hi - 1) / 2, (lo + hi + 1) / 2]; // what hardly differs is not drawn as a mountain
    const y = (v) => H - 2 - (H - 4) * (Math.log(v) - lo) / (hi - lo);
    const x = (i) => layers.length > 1 ? i * W / (layers.length - 1) : W / 2;
    const dot = (i, v) => wreg.svg("path", { class: "dot", d: `M${x(i).toFixed(1)} ${y(v).toFixed(1)}h.01` });
    const list = wreg.el("ul", { class: "lines", "aria-label": label },
      wreg.el("li", { class: "head" }, wreg.el("span"), wreg.el("span", {}, "layer " + layers[0] + " to " + layers.at(-1)),
        wreg.el("span", { class: "num low" }, "least"), wreg.el("span", { class: "num" }, "greatest")));
    for (const row of rows) {
      const there = row.values.map((v, i) => [v, i]).filter(([v]) => v !== null && v !== undefined);
      if (!there.length) continue;
      const values = there.map(([v]) => v).sort((a, b) => a - b);
      const most = there.reduce((a, b) => b[0] > a[0] ? b : a);
      const out = row.stands && layers.indexOf(row.stands.layer);
      const svg = wreg.svg("svg", { viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", "aria-hidden": "true" });
      for (const run of runs(there.filter(([v]) => v > 0))) {
        const d = run.map(([v, i], k) => (k ? "L" : "M") + x(i).toFixed(1) + " " + y(v).toFixed(1)).join("");
        svg.append(wreg.svg("path", { class: "area", d: d + `L${x(run.at(-1)[1]).toFixed(1)} ${H}L${x(run[0][1]).toFixed(1)} ${H}z` }),
          wreg.svg("path", { class: run.length > 1 ? "line" : "line point", d: run.length > 1 ? d : d + "h.01" }));
      }
      if (hi > Math.log(FLOAT16)) svg.append(wreg.svg("path", { class: "limit", d: `M0 ${y(FLOAT16).toFixed(1)}H${W}` }));
      if (out >= 0) svg.append(dot(out, row.values[out]));
      (row.faults || []).forEach((n, i) => n && svg.append(dot(i, row.values[i] || Math.exp(lo))));
      const text = `least ${wreg.value(values[0])}, greatest ${wreg.value(most[0])} in layer ${layers[most[1]]}`;
      list.append(wreg.el("li", { title: row.name + ": " + text },
        wreg.el("span", { class: "name" }, row.name), svg, wreg.el("span", { class: "num low soft" }, wreg.value(values[0])),
        wreg.el("span", { class: "num" }, wreg.value(most[0]), out >= 0 ? wreg.el("span", { class: "badge warn" }, "layer " + row.stands.layer) : "",
          (row.faults || []).some((n) => n) ? wreg.el("span", { class: "badge bad" }, "NaN, Inf") : "",
          wreg.el("span", { class: "unseen" }, " in layer " + layers[most[1]]))));
    }
    host.append(list);
    return true;
  };

  // runs are the stretches of neighbouring layers.
  function runs(points) {
    const list = [];
    for (const p of points) {
      if (list.length && list.at(-1).at(-1)[1] === p[1] - 1) list.at(-1).push(p);
      else list.push([p]);
    }
    return list;
  }
}
