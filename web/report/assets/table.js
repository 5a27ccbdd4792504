// The list of tensors: columns of numbers, unpacked once, and a table that has rows
// only where one looks.
"use strict";
{
  // inflate undoes deflate and base64.
  wreg.inflate = async (text) => {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };

  // unpack reads what pack.go wrote.
  wreg.unpack = (bytes) => {
    let at = bytes.indexOf(10);
    const head = JSON.parse(new TextDecoder().decode(bytes.subarray(0, at++)));
    const n = head.rows;
    const uvarint = () => {
      let x = 0, unit = 1, b;
      do {
        b = bytes[at++];
        x += (b & 127) * unit;
        unit *= 128;
      } while (b > 127);
      return x;
    };
    const column = () => {
      const c = new Uint32Array(n);
      for (let i = 0; i < n; i++) c[i] = uvarint();
      return c;
    };
    const template = column(), kind = column(), file = column();
    const templates = head.templates.map((t) => ({ parts: t.slice(0, -2), layer: t.at(-2), expert: t.at(-1) }));

    const start = new Uint32Array(n), numbers = [], last = [];
    for (let i = 0; i < n; i++) {
      start[i] = numbers.length;
      for (let k = 0; k < templates[template[i]].parts.length - 1; k++) {
        const z = uvarint();
        last[k] = (last[k] || 0) + (z % 2 ? -(z + 1) / 2 : z / 2);
        numbers.push(last[k]);
      }
    }
    const taken = new Int32Array(n).fill(-1), nans = new Float64Array(n), infs = new Float64Array(n), zeros = new Float64Array(n);
    let stats = 0;
    for (let i = 0; i < n; i++) {
      const first = uvarint();
      if (!first) continue;
      taken[i] = stats++;
      nans[i] = first - 1;
      infs[i] = uvarint();
      zeros[i] = uvarint();
    }
    const width = head.wide ? 8 : 4, plain = new Uint8Array(stats * width);
    for (let b = 0; b < width; b++) for (let i = 0; i < stats; i++) plain[i * width + b] = bytes[at++];
    const view = new DataView(plain.buffer);
    const hashes = at;

    const number = (i, slot) => slot < 0 ? null : numbers[start[i] + slot];
    return {
      rows: n, files: head.files, dtypes: [...new Set(head.kinds.map((k) => k.dtype))],
      path: (i) => {
        const { parts } = templates[template[i]];
        let s = parts[0];
        for (let k = 1; k < parts.length; k++) s += numbers[start[i] + k - 1] + parts[k];
        return s;
      },
      layer: (i) => number(i, templates[template[i]].layer),
      expert: (i) => number(i, templates[template[i]].expert),
      dtype: (i) => head.kinds[kind[i]].dtype,
      shape: (i) => head.kinds[kind[i]].shape,
      bytes: (i) => head.kinds[kind[i]].bytes,
      file: (i) => head.files[file[i]],
      absmax: (i) => taken[i] < 0 ? null : head.wide ? view.getFloat64(taken[i] * 8, true) : view.getFloat32(taken[i] * 4, true),
      nans: (i) => taken[i] < 0 ? null : nans[i],
      infs: (i) => taken[i] < 0 ? null : infs[i],
      zeros: (i) => taken[i] < 0 ? null : zeros[i],
      hash: (i) => {
        let s = "", any = 0;
        for (let k = 0; k < head.hash; k++) {
          const b = bytes[hashes + i * head.hash + k];
          any |= b;
          s += b.toString(16).padStart(2, "0");
        }
        return any ? s : "";
      },
    };
  };

  const numel = (shape) => shape.reduce((a, b) => a * b, 1);
  const SHAPE = (t, i) => "[" + t.shape(i).join(", ") + "]";

  // columns are {name, key, of: what is shown, by: what is sorted by}. A column that a
  // model has nothing for is left out.
  const columns = [
    { name: "Tensor", key: "path", wide: true },
    { name: "Dtype", key: "dtype", of: (t, i) => t.dtype(i) },
    { name: "Shape", key: "shape", of: SHAPE, by: (t, i) => numel(t.shape(i)) },
    { name: "Size", key: "bytes", num: true, of: (t, i) => wreg.size(t.bytes(i)), by: (t, i) => t.bytes(i) },
    { name: "Absmax", key: "absmax", num: true, of: (t, i) => t.absmax(i) === null ? "" : wreg.value(t.absmax(i)), by: (t, i) => t.absmax(i) },
    { name: "NaN, Inf", key: "faults", num: true, of: (t, i) => t.nans(i) + t.infs(i) ? wreg.count(t.nans(i)) + ", " + wreg.count(t.infs(i)) : "", by: (t, i) => t.nans(i) + t.infs(i) },
    { name: "Zeros", key: "zeros", num: true, of: (t, i) => t.zeros(i) === null ? "" : wreg.percent(t.zeros(i), numel(t.shape(i))), by: (t, i) => t.zeros(i) / (numel(t.shape(i)) || 1) },
    { name: "File", key: "file", of: (t, i) => t.file(i) },
    { name: "SHA-256", key: "hash", of: (t, i) => t.hash(i) },
  ];

  const asked = /^(layer|expert|bytes|absmax|nans|infs|zeros|rank|numel)(<=|>=|!=|=|<|>)(-?[\d.]+(?:e[+-]?\d+)?)$/i;
  const named = /^(dtype|file)(!?=)(\S+)$/i;
  const compare = { "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b, "=": (a, b) => a === b, "!=": (a, b) => a !== b };

  // condition reads a search: words that a path holds, and comparisons as in queries.
  // command is the query that gives the same, where there is one.
  wreg.search = (text, t, model) => {
    const words = [], tests = [], where = [];
    for (const token of text.trim().split(/\s+/).filter(Boolean)) {
      let m = asked.exec(token);
      if (m) {
        const key = m[1].toLowerCase(), test = compare[m[2]], want = Number(m[3]);
        const of = key === "rank" ? (i) => t.shape(i).length : key === "numel" ? (i) => numel(t.shape(i)) : t[key];
        tests.push((i) => { const v = of(i); return v !== null && test(v, want); });
        where.push(key + " " + m[2] + " " + m[3]);
        continue;
      }
      if ((m = named.exec(token))) {
        const key = m[1].toLowerCase(), same = m[2] === "=", want = key === "dtype" ? m[3].toLowerCase() : m[3];
        tests.push((i) => (t[key](i) === want) === same);
        where.push(key + " " + m[2] + ' "' + want + '"');
        continue;
      }
      words.push(token);
    }
    const plain = words.every((w) => /^[A-Za-z0-9_.-]+$/.test(w)) && where.every((w) => !/[\\']/.test(w));
    const pattern = words.length ? "*" + words[0] + "*.**" : "*";
    return {
      words, tests,
      command: words.length < 2 && plain ? "wreg query " + wreg.word("find " + pattern + (where.length ? " where " + where.join(" and ") : "")) + " -m " + wreg.word(model) : "",
    };
  };

  const HIGH = 28;         // of a row, as in the style sheet
  const MOST = 8_000_000;  // pixels that every browser scrolls through

  // tensors draws the table into host.
  wreg.tensors = (host, t, model) => {
    const shown = columns.filter((c) => c.key === "path" || c.key === "dtype" || c.key === "shape" || c.key === "bytes" ||
      some((i) => c.key === "faults" ? t.nans(i) + t.infs(i) > 0 : c.key === "file" ? t.files.length > 1 : c.key === "zeros" ? t.zeros(i) > 0 : c.of(t, i) !== ""));
    function some(f) { for (let i = 0; i < t.rows; i++) if (f(i)) return true; return false; }

    let paths = null, list = Uint32Array.from({ length: t.rows }, (_, i) => i), order = { key: "path", down: false }, active = 0;
    const input = wreg.el("input", { class: "field", type: "search", id: "search", spellcheck: "false", autocomplete: "off",
      placeholder: "Search: q_proj  layer=3  dtype=bf16  absmax>10", "aria-label": "Search tensors; press / to get here", "aria-keyshortcuts": "/", input: filter });
    const status = wreg.el("p", { class: "soft tensors-status", role: "status", "aria-live": "polite" });
    const command = wreg.el("p", { class: "tensors-command no-print" });
    const head = wreg.el("div", { class: "tensors-row tensors-names", role: "row", "aria-rowindex": 1 }, shown.map((c) => wreg.el("div", { role: "columnheader", class: c.num && "num", "data-key": c.key },
      wreg.el("button", { type: "button", click: () => sort(c.key) }, c.name))));
    const window_ = wreg.el("div", { class: "tensors-window", role: "rowgroup" });
    const space = wreg.el("div", { class: "tensors-space", role: "presentation" }, window_);
    const box = wreg.el("div", { class: "tensors-box", role: "grid", tabindex: 0, "aria-label": "Tensors. Arrow keys move, Enter shows one.", "aria-colcount": shown.length,
      scroll: draw, keydown, click: (e) => { const row = e.target.closest("[data-at]"); if (row) choose(Number(row.dataset.at)); } }, head, space);
    const detail = wreg.el("div", { class: "tensors-detail", "aria-live": "polite" });
    host.append(wreg.el("div", { class: "tensors-head no-print" }, input), status, wreg.el("div", { class: "no-print" }, box), detail, command);
    box.style.setProperty("--columns", shown.map((c) => c.wide ? "minmax(17rem, 1fr)" : { dtype: "4.4rem", shape: "8.5rem", bytes: "5rem", file: "10.5rem", hash: "7rem" }[c.key] || "4.6rem").join(" "));

    function filter() {
      const q = wreg.search(input.value, t, model);
      if (q.words.length && !paths) paths = Array.from({ length: t.rows }, (_, i) => t.path(i));
      const kept = [];
      next: for (let i = 0; i < t.rows; i++) {
        for (const f of q.tests) if (!f(i)) continue next;
        for (const w of q.words) if (!paths[i].includes(w)) continue next;
        kept.push(i);
      }
      list = Uint32Array.from(kept);
      command.replaceChildren(q.command ? wreg.command(q.command) : "");
      arrange();
    }

    function arrange() {
      const { key, down } = order, c = columns.find((c) => c.key === key);
      if (key === "path") list.sort((a, b) => a - b); // the order they came in
      else {
        const of = c.by || c.of, keys = new Map();
        for (const i of list) { const k = of(t, i); keys.set(i, k === null || k === "" ? undefined : k); }
        list.sort((a, b) => { // what has no value comes last, either way
          const x = keys.get(a), y = keys.get(b);
          if (x === undefined || y === undefined) return (x === undefined) - (y === undefined) || a - b;
          return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1) || a - b;
        });
      }
      if (key === "path" && down) list.reverse();
      for (const h of head.children) h.setAttribute("aria-sort", h.dataset.key === key ? down ? "descending" : "ascending" : "none");
      let bytes = 0;
      for (const i of list) bytes += t.bytes(i);
      status.textContent = list.length === t.rows ? wreg.count(t.rows, "tensor") + " · " + wreg.size(bytes)
        : wreg.count(list.length) + " of " + wreg.count(t.rows, "tensor") + " · " + wreg.size(bytes);
      active = 0;
      box.scrollTop = 0;
      box.setAttribute("aria-rowcount", list.length + 1);
      space.style.height = Math.min(MOST, list.length * HIGH) + "px";
      draw();
    }

    function sort(key) {
      order = { key, down: order.key === key ? !order.down : key !== "path" && key !== "dtype" && key !== "file" && key !== "hash" };
      arrange();
    }

    const room = () => Math.max(HIGH, box.clientHeight - HIGH);
    const far = () => Math.max(0, list.length * HIGH - room()); // how far the list would scroll
    const real = () => Math.max(1, Math.min(MOST, list.length * HIGH) - room());
    const ratio = () => list.length * HIGH > MOST ? far() / real() : 1; // a list that is longer than browsers scroll moves faster

    function draw() {
      const above = box.scrollTop * ratio();
      const first = Math.max(0, Math.floor(above / HIGH) - 4), end = Math.min(list.length, Math.ceil((above + room()) / HIGH) + 4);
      window_.style.transform = `translateY(${box.scrollTop - above + first * HIGH}px)`;
      const rows = [];
      for (let k = first; k < end; k++) {
        const i = list[k];
        rows.push(wreg.el("div", { class: "tensors-row", role: "row", "data-at": k, "aria-rowindex": k + 2, "aria-selected": k === active, id: "tensor-" + k }, shown.map((c) => {
          const text = c.key === "path" ? t.path(i) : c.of(t, i);
          return wreg.el("div", { role: "gridcell", class: c.num ? "num" : c.key === "path" || c.key === "hash" ? "mono" : null, title: text.length > 12 ? text : null }, text);
        })));
      }
      window_.replaceChildren(...rows);
      if (!rows.length) window_.replaceChildren(wreg.el("p", { class: "soft tensors-none" }, t.rows ? "No tensor matches." : "There are no tensors."));
      if (list.length) box.setAttribute("aria-activedescendant", "tensor-" + active);
    }

    function move(to) {
      active = Math.max(0, Math.min(list.length - 1, to));
      const y = active * HIGH, above = box.scrollTop * ratio();
      if (y < above) box.scrollTop = y / ratio();
      else if (y + HIGH > above + room()) box.scrollTop = Math.ceil((y + HIGH - room()) / ratio());
      draw();
    }

    function choose(k) {
      move(k);
      const i = list[active], path = t.path(i), facts = [t.dtype(i), SHAPE(t, i), wreg.size(t.bytes(i)), t.file(i)];
      if (t.absmax(i) !== null) facts.push("absmax " + wreg.value(t.absmax(i)), wreg.count(t.nans(i)) + " NaN", wreg.count(t.infs(i)) + " Inf", wreg.percent(t.zeros(i), numel(t.shape(i))) + " zeros");
      detail.replaceChildren(wreg.el("p", {}, wreg.el("strong", {}, wreg.path(path))), wreg.el("p", { class: "soft" }, facts.filter(Boolean).join(" · ")),
        /^[A-Za-z0-9_.\/-]+$/.test(path) ? wreg.el("p", { class: "no-print" }, wreg.command("wreg show " + wreg.word(model) + " " + path)) : "");
    }

    function keydown(e) {
      if (e.target !== box || e.ctrlKey || e.metaKey || e.altKey || !list.length) return;
      const page = Math.max(1, Math.floor(room() / HIGH) - 1);
      const to = { ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + page, PageUp: active - page, Home: 0, End: list.length - 1 }[e.key];
      if (to !== undefined) move(to);
      else if (e.key === "Enter") choose(active);
      else return;
      e.preventDefault();
    }

    document.addEventListener("keydown", (e) => {
      if (e.key === "/" && !e.ctrlKey && !e.metaKey && !e.altKey && !/^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName)) {
        e.preventDefault();
        input.focus();
        input.select();
      } else if (e.key === "Escape" && e.target === input) {
        input.value = "";
        filter();
        box.focus();
      }
    });
    new ResizeObserver(draw).observe(box);
    filter();
    return { find: (text) => { input.value = text; filter(); host.closest("section").scrollIntoView(); box.focus({ preventScroll: true }); } };
  };
}
