// The map of layers × components: an SVG with one path for each colour, whatever the
// number of cells, so that themes and print are the style sheet's business.
"use strict";
{
  const PITCH = 22, TALL = 19, TOP = 20, APART = 10, STEPS = 7;

  // state is what a cell is coloured by when one asks what is there.
  const state = (c) => c.missing ? "missing" : c.changed ? "changed" : c.extra ? "extra" : c.unknown ? "unknown"
    : c.tensors || c.expected ? "there" : "hollow";

  // states are those of the legend, each by its mark.
  const states = [["there", "all there"], ["all", "all missing"], ["missing", "some missing"], ["changed", "changed"], ["extra", "extra"], ["unknown", "not compared"], ["hollow", "none expected"]];

  // strokes are drawn over a cell of 12 by 12, for those who do not see its colour: a
  // cross where all is missing, a stroke where some is.
  const strokes = {
    all: "M3 3l6 6m0-6l-6 6", missing: "M3.5 8.5l5-5", changed: "M3 6h6", extra: "M3 6h6m-3-3v6", unknown: "M6 6h.01",
  };
  const mark = (c) => {
    const s = state(c);
    return s === "missing" && c.missing >= c.expected ? "all" : s;
  };

  // quantities are what else a map can be coloured by, where cells have it.
  const quantities = {
    absmax: { label: "Absmax", of: (c) => c.absmax, text: wreg.value, about: "greatest magnitude of a finite value" },
    bytes: { label: "Bytes", of: (c) => c.bytes || undefined, text: wreg.size, about: "stored bytes" },
    change: { label: "Change", of: (c) => c.change, text: (x) => wreg.value(100 * x) + " %", about: "norm of the change, relative" },
    error: { label: "Error", of: (c) => c.error, text: (x) => wreg.value(100 * x) + " %", about: "relative error of quantization" },
  };

  // scale puts values into steps of equal ratio.
  function scale(values) {
    let lo = Infinity, hi = 0;
    for (const v of values) if (v > 0) { lo = Math.min(lo, v); hi = Math.max(hi, v); }
    const span = Math.log(hi / lo);
    return {
      lo, hi, empty: hi === 0,
      step: (v) => !(v > 0) ? 0 : !(span > 0) ? STEPS >> 1 : Math.min(STEPS - 1, Math.floor(STEPS * Math.log(v / lo) / span)),
      edge: (i) => lo * Math.exp(span * i / STEPS),
    };
  }

  // about says of one cell what there is to say, most urgent first.
  wreg.cellText = (c) => {
    if (!c.tensors && !c.expected && !c.extra) return "none expected here, none there";
    const parts = [];
    const of = c.expected ? " of " + wreg.count(c.expected, "tensor") : "";
    if (c.missing) parts.push(wreg.count(c.missing) + of + " missing");
    if (c.changed) parts.push(wreg.count(c.changed) + (c.missing ? "" : of) + " changed");
    if (c.extra) parts.push(wreg.count(c.extra) + " extra");
    if (c.unknown) parts.push(wreg.count(c.unknown) + of + " not compared");
    if (!parts.length && c.equal) parts.push(wreg.count(c.equal, "tensor") + " equal");
    if (!parts.length) parts.push(wreg.count(c.tensors, "tensor") + (c.expected ? ", all there" : ""));
    if (c.bytes) parts.push(wreg.size(c.bytes));
    if (c.dtype) parts.push(c.dtype);
    if (c.absmax !== undefined && c.absmax !== null) parts.push("absmax " + wreg.value(c.absmax));
    if (c.change !== undefined && c.change !== null) parts.push("changed by " + quantities.change.text(c.change));
    if (c.bits_b) parts.push(Number(c.bits_b.toPrecision(3)) + " bits a weight" + (c.bits_a && c.bits_a !== c.bits_b ? ", were " + Number(c.bits_a.toPrecision(3)) : ""));
    if (c.error !== undefined && c.error !== null) parts.push("error " + quantities.error.text(c.error));
    return parts.join(" · ");
  };

  // differences is a comparison as a map: what of B is equal is there.
  wreg.differences = (c) => {
    const cell = (p) => p ? { ...p, expected: (p.changed || 0) + (p.missing || 0) + (p.equal || 0) + (p.not_compared || 0), unknown: p.not_compared,
      tensors: (p.changed || 0) + (p.extra || 0) + (p.equal || 0) + (p.not_compared || 0), bytes: 0, change: p.change?.relative } : { expected: 0, tensors: 0, bytes: 0 };
    return { layers: c.layers, rows: c.components.map((p) => p.layers ? { component: p.component, cells: p.layers.map(cell) } : { component: p.component, outside: cell(p.outside || p.total) }) };
  };

  // map draws data = {layers, rows} into host. dtypes are those of the legend, in
  // order; pick(row, layer) is called when a cell is chosen, layer null outside.
  wreg.map = (host, data, { dtypes = [], pick, pickLabel = "Show its tensors", first = "There", labels = {} } = {}) => {
    const layers = data.layers || [], noun = data.by || "layer";
    const rows = [ // what has both, in layers and outside, has a row for each
      ...data.rows.filter((r) => r.cells?.length).map((r) => ({ component: r.component, cells: r.cells })),
      ...data.rows.filter((r) => r.outside).map((r) => ({ component: r.component, outside: r.outside })),
    ];
    const at = (r, l) => rows[r].outside ? (l === 0 ? rows[r].outside : null) : rows[r].cells[l];
    const all = rows.flatMap((r) => r.outside ? [r.outside] : r.cells);
    const width = (r) => rows[r].outside ? 1 : layers.length;
    const firstApart = rows.findIndex((r) => r.outside);
    const top = (r) => TOP + r * PITCH + (firstApart > 0 && r >= firstApart ? APART : 0);

    const modes = [["state", first]];
    const scales = {};
    for (const [key, q] of Object.entries(quantities)) {
      scales[key] = scale(all.map(q.of));
      if (!scales[key].empty) modes.push([key, q.label]);
    }
    if (all.some((c) => c.dtype)) modes.splice(1 + !scales.absmax.empty + !scales.bytes.empty, 0, ["dtype", "Dtype"]);
    const kinds = [...dtypes];
    for (const c of all) if (c.dtype && !kinds.includes(c.dtype)) kinds.push(c.dtype);

    let mode = "state", here = null, pitch = PITCH;
    const colour = (c) => {
      if (mode === "state") return state(c);
      if (mode === "dtype") return c.dtype ? "cat" + Math.min(7, kinds.indexOf(c.dtype)) : "hollow";
      const v = quantities[mode].of(c);
      return v === undefined || v === null ? "hollow" : "seq" + scales[mode].step(v);
    };

    const svg = wreg.svg("svg", { "aria-hidden": "true" });
    const cells = wreg.el("div", { class: "map-cells", tabindex: 0, role: "application", "aria-roledescription": "map",
      "aria-label": "Map of " + wreg.count(layers.length, noun) + " and " + wreg.count(rows.length, "component") + ". Arrow keys move, Enter chooses.",
      keydown, click: (e) => point(e, true), pointermove: (e) => point(e, false), focus: () => here || move(0, 0) }, svg);
    const readout = wreg.el("p", { class: "map-readout", "aria-live": "polite" });
    const legend = wreg.el("ul", { class: "legend", "aria-label": "Legend" });
    const asTable = wreg.el("button", { type: "button", class: "button no-print", "aria-pressed": "false", click: toggle }, "As a table");
    const apart = (r) => rows[r].outside && r === firstApart && r > 0 ? "apart" : null;
    const picture = wreg.el("div", { class: "map" },
      wreg.el("ul", { class: "map-names", "aria-hidden": "true" }, rows.map((r, i) => wreg.el("li", { class: apart(i), title: r.component }, r.component))),
      cells,
      wreg.el("ul", { class: "map-notes", "aria-hidden": "true" }, rows.map((r, i) => wreg.el("li", { class: apart(i) }, note(r)))));
    const table = wreg.el("div", { hidden: true });
    picture.style.setProperty("--cells", Math.max(layers.length, 1) * PITCH + 2 + "px"); // no wider than it can be
    host.append(wreg.el("div", { class: "map-head" }, modes.length > 1 && wreg.segments("What the map shows", modes, mode, (m) => { mode = m; draw(); }), legend, asTable),
      picture, table, readout);
    readout.append(wreg.el("span", { class: "soft" }, "Point at a cell, or focus the map and use the arrow keys."));

    function note(row) {
      const bad = (row.cells || [row.outside]).map((c, i) => [c, i]).filter(([c]) => c.missing || c.changed || c.extra);
      if (!bad.length) return "";
      if (row.outside) return "← " + state(row.outside);
      if (bad.length > 2 && bad.length === row.cells.filter((c) => state(c) !== "hollow").length) return "← every " + noun;
      const names = bad.slice(0, 2).map(([, i]) => layers[i]);
      return "← " + noun + (bad.length > 1 ? "s " : " ") + names.join(", ") + (bad.length > 2 ? " and " + (bad.length - 2) + " more" : "");
    }

    function draw() {
      const room = cells.clientWidth || 640;
      pitch = Math.max(5, Math.min(PITCH, Math.floor(room / Math.max(1, layers.length))));
      const wide = pitch - (pitch > 11 ? 3 : 1), round = Math.min(3, wide / 4);
      const paths = new Map(), marks = new Map();
      rows.forEach((_, r) => {
        for (let l = 0; l < width(r); l++) {
          const c = at(r, l), x = l * pitch, y = top(r), w = rows[r].outside ? TALL : wide;
          const kind = colour(c);
          if (!paths.has(kind)) paths.set(kind, []);
          paths.get(kind).push(`M${x + round} ${y}h${w - 2 * round}a${round} ${round} 0 0 1 ${round} ${round}v${TALL - 2 * round}` +
            `a${round} ${round} 0 0 1 ${-round} ${round}h${2 * round - w}a${round} ${round} 0 0 1 ${-round} ${-round}v${2 * round - TALL}a${round} ${round} 0 0 1 ${round} ${-round}z`);
          const m = mode === "state" && strokes[mark(c)];
          if (m) marks.set(m, (marks.get(m) || "") + m.replace(/^M([\d.]+) ([\d.]+)/, (_, a, b) => `M${x + w / 2 - 6 + Number(a)} ${y + TALL / 2 - 6 + Number(b)}`));
        }
      });
      const high = rows.length ? top(rows.length - 1) + PITCH : TOP;
      const long = Math.max(layers.length * pitch, TALL) + 2;
      svg.setAttribute("width", long);
      svg.setAttribute("height", high);
      svg.setAttribute("viewBox", `0 0 ${long} ${high}`);
      const every = pitch * 5 >= 34 ? 5 : pitch * 10 >= 34 ? 10 : 50;
      svg.replaceChildren(
        ...layers.map((n, l) => n % every === 0 && wreg.svg("text", { x: l * pitch + wide / 2, y: 12, "text-anchor": l ? "middle" : "start" }, String(n))).filter(Boolean),
        ...[...paths].map(([kind, d]) => wreg.svg("path", { class: kind, d: d.join("") })),
        ...[...marks.values()].map((d) => wreg.svg("path", { class: "marks", d })));
      if (here) outline();
      explain();
    }

    function explain() {
      if (mode === "state") {
        const used = new Set(all.map(mark));
        legend.replaceChildren(...states.filter(([m]) => used.has(m)).map(([m, text]) => wreg.el("li", {}, swatch(m === "all" ? "missing" : m, m), labels[m] || text)));
      } else if (mode === "dtype") {
        legend.replaceChildren(...kinds.map((k, i) => wreg.el("li", {}, swatch("cat" + Math.min(7, i)), k)));
      } else {
        const q = quantities[mode], s = scales[mode];
        const steps = Array.from({ length: STEPS }, (_, i) => wreg.el("i", { class: "swatch seq" + i, title: q.text(s.edge(i)) + " to " + q.text(s.edge(i + 1)) }));
        legend.replaceChildren(wreg.el("li", { class: "ramp" }, q.text(s.lo), wreg.el("span", {}, steps), q.text(s.hi)), wreg.el("li", {}, q.about + ", steps of equal ratio"));
      }
    }

    function swatch(kind, m) {
      return wreg.svg("svg", { viewBox: "0 0 12 12", "aria-hidden": "true" }, wreg.svg("rect", { class: kind, width: 12, height: 12, rx: 2 }),
        strokes[m] && wreg.svg("path", { d: strokes[m] }));
    }

    function outline() {
      svg.querySelector(".at")?.remove();
      const [r, l] = here, w = rows[r].outside ? TALL : pitch - (pitch > 11 ? 3 : 1);
      svg.append(wreg.svg("rect", { class: "at", x: l * pitch + (l ? -1 : 1), y: top(r) - 1, width: w + (l ? 2 : 0), height: TALL + 2, rx: 3 }));
    }

    function move(r, l, scroll = true) {
      if (!rows.length) return;
      r = Math.max(0, Math.min(rows.length - 1, r));
      l = Math.max(0, Math.min(width(r) - 1, l));
      here = [r, l];
      outline();
      const c = at(r, l);
      readout.replaceChildren(wreg.el("strong", {}, (rows[r].outside ? "" : noun + " " + layers[l] + " · ") + rows[r].component),
        wreg.el("span", {}, wreg.cellText(c)),
        pick ? wreg.el("button", { type: "button", class: "button", tabindex: -1, click: () => choose() }, pickLabel) : "");
      if (scroll) { // sideways only: the page stays where it is
        const x = l * pitch;
        if (x < cells.scrollLeft) cells.scrollLeft = x;
        else if (x + pitch > cells.scrollLeft + cells.clientWidth) cells.scrollLeft = x + pitch - cells.clientWidth;
      }
    }

    const choose = () => here && pick && pick(rows[here[0]], rows[here[0]].outside ? null : layers[here[1]]);

    function keydown(e) {
      if (e.ctrlKey || e.metaKey || e.altKey || !here) return;
      const [r, l] = here;
      switch (e.key) {
        case "ArrowLeft": move(r, l - 1); break;
        case "ArrowRight": move(r, l + 1); break;
        case "ArrowUp": move(r - 1, l); break;
        case "ArrowDown": move(r + 1, l); break;
        case "Home": move(e.shiftKey ? 0 : r, 0); break;
        case "End": move(e.shiftKey ? rows.length - 1 : r, layers.length - 1); break;
        case "Enter": choose(); break;
        default: return;
      }
      e.preventDefault();
    }

    function point(e, pressed) {
      const box = svg.getBoundingClientRect(), l = Math.floor((e.clientX - box.left) / pitch), y = e.clientY - box.top;
      const r = rows.findIndex((_, i) => y >= top(i) && y < top(i) + PITCH);
      if (r < 0 || l < 0 || l >= width(r) || !pressed && here && here[0] === r && here[1] === l) return;
      move(r, l, false);
    }

    function toggle() {
      const shown = asTable.getAttribute("aria-pressed") !== "true";
      asTable.setAttribute("aria-pressed", shown);
      asTable.textContent = shown ? "As a picture" : "As a table";
      if (shown && !table.firstChild) table.append(tableOf());
      table.hidden = !shown;
      picture.hidden = readout.hidden = shown;
    }

    // tableOf is the map in words, for those who do not see it.
    function tableOf() {
      const inside = rows.filter((r) => !r.outside), outside = rows.filter((r) => r.outside);
      const e = wreg.el("div");
      if (inside.length) {
        e.append(wreg.table([{ name: noun[0].toUpperCase() + noun.slice(1), of: (l) => String(layers[l]) },
          ...inside.map((r) => ({ name: r.component, of: (l) => wreg.cellText(r.cells[l]) }))], layers.map((_, l) => l), "Layers and components"));
      }
      if (outside.length) {
        e.append(wreg.table([{ name: "Outside of the layers", of: (r) => r.component }, { name: "", of: (r) => wreg.cellText(r.outside) }], outside, "Outside of the layers"));
      }
      return e;
    }

    draw();
    new ResizeObserver(draw).observe(cells);
    return { move, modes: modes.map(([m]) => m) };
  };
}
