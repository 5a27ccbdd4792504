// What the report and the browser share. Everything that was read from a checkpoint
// becomes a text node: nothing here parses HTML, and nothing asks the network.
"use strict";
const wreg = {};
{
  // el makes an element: attributes, then children. Text is text, whatever is in it.
  wreg.el = (tag, attrs, ...children) => fill(document.createElement(tag), attrs, children);
  wreg.svg = (tag, attrs, ...children) => fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attrs, children);

  function fill(e, attrs, children) {
    for (const [name, value] of Object.entries(attrs || {})) {
      if (value === undefined || value === null || value === false && !name.startsWith("aria-")) continue;
      if (typeof value === "function") e.addEventListener(name, value);
      else e.setAttribute(name, value === true && !name.startsWith("aria-") ? "" : value);
    }
    for (const child of children.flat()) {
      if (child !== undefined && child !== null && child !== false) e.append(child);
    }
    return e;
  }

  // path is a dotted name that may break after its dots.
  wreg.path = (text) => {
    const e = wreg.el("span", { class: "mono" });
    for (const part of text.split(/(?<=[./])/)) e.append(part, document.createElement("wbr"));
    return e;
  };

  // count is a number with its thousands apart; a noun beside it agrees with it.
  wreg.count = (n, noun) => {
    const s = Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, ",");
    return noun ? s + " " + noun + (n === 1 ? "" : "s") : s;
  };

  // size is bytes as people read them, and as the command line prints them.
  wreg.size = (n) => {
    if (n < 1024) return n + " B";
    let unit = "";
    for (unit of ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]) if ((n /= 1024) < 999.5) break;
    return Number(n.toPrecision(3)) + " " + unit;
  };

  // params is a count of parameters, as models are called by it: 7.24 B.
  wreg.params = (n) => {
    for (const [from, unit] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "K"]]) {
      if (n / from >= 0.99995) return Number((n / from).toPrecision(4)) + " " + unit;
    }
    return String(n);
  };

  // value is a number of a tensor, to four digits.
  wreg.value = (x) => {
    if (x === 0) return "0";
    const a = Math.abs(x);
    if (a >= 1e6 || a < 1e-4) return x.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e");
    return String(Number(x.toPrecision(4)));
  };

  // percent never calls a little nothing, or nearly all of it all.
  wreg.percent = (part, whole) => {
    const p = whole > 0 ? 100 * part / whole : 0;
    if (p > 0 && p < 0.01) return "<0.01 %";
    const s = Number(p.toPrecision(3)) + " %"; // as words.Percent says it
    return p < 100 && s === "100 %" ? ">99.9 %" : s;
  };

  // list joins words: a, b and c.
  wreg.list = (words) => words.length < 2 ? words.join("") : words.slice(0, -1).join(", ") + " and " + words.at(-1);

  // word quotes one word for a shell.
  wreg.word = (s) => /^[A-Za-z0-9_@%+:,./-]+$/.test(s) ? s : "'" + s.replaceAll("'", "'\\''") + "'";

  // command is a line that one can copy.
  wreg.command = (line) => {
    const code = wreg.el("code", {}, line);
    const button = wreg.el("button", { type: "button", "aria-label": "Copy " + line, class: "no-print", click: copy }, "copy");
    async function copy() {
      try {
        await navigator.clipboard.writeText(line);
        button.textContent = "copied";
      } catch { // not allowed: it is selected, for the keyboard
        getSelection().selectAllChildren(code);
      }
    }
    return wreg.el("span", { class: "command" }, code, button);
  };

  // What is copied out of a table may be pasted into a spreadsheet, which would run a formula:
  // such a cell gets the quote that it has in CSV. What is copied for a terminal stays.
  document.addEventListener("copy", (e) => {
    if (e.target.closest?.("input, textarea, code, pre")) return;
    const text = String(getSelection());
    const safe = text.replace(/(^|[\t\n])( *[=+\-@'＝＋－＠＇][^\t\n]*)/g, (all, before, cell) => /^ *-[\d.,]+(e[-+]?\d+)?$/i.test(cell) ? all : before + "'" + cell);
    if (safe === text) return;
    e.clipboardData.setData("text/plain", safe);
    e.preventDefault();
  });

  // segments lets one choose one of a few, with a mouse, Tab or arrows.
  wreg.segments = (label, choices, chosen, choose) => {
    const buttons = choices.map(([key, text]) => wreg.el("button",
      { type: "button", role: "radio", "data-key": key, click: () => set(key, true) }, text));
    function set(key, tell) {
      for (const b of buttons) {
        b.setAttribute("aria-checked", b.dataset.key === key);
        b.tabIndex = b.dataset.key === key ? 0 : -1;
      }
      if (tell) choose(key);
    }
    const e = wreg.el("div", { class: "segments", role: "radiogroup", "aria-label": label, keydown: (event) => {
      const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!by) return;
      const to = buttons[(buttons.indexOf(document.activeElement) + by + buttons.length) % buttons.length];
      event.preventDefault();
      set(to.dataset.key, true);
      to.focus();
    } }, buttons);
    set(chosen, false);
    return e;
  };

  // theme is a switch between what the system says, light and dark. Where nothing
  // can be kept (a file, often), the choice lasts as long as the page.
  wreg.theme = () => {
    const kept = () => { try { return localStorage.getItem("wreg-theme"); } catch { return null; } };
    const keep = (t) => { try { localStorage.setItem("wreg-theme", t); } catch { /* for this page only */ } };
    const use = (t) => {
      if (t === "light" || t === "dark") document.documentElement.dataset.theme = t;
      else delete document.documentElement.dataset.theme;
    };
    use(kept());
    return wreg.segments("Theme", [["auto", "Auto"], ["light", "Light"], ["dark", "Dark"]],
      document.documentElement.dataset.theme || "auto", (t) => { use(t); keep(t); });
  };

  // table is a table of a few rows. A column is {name, num, of(row)}.
  wreg.table = (columns, rows, label) => wreg.el("div", { class: "scroll" }, wreg.el("table", { class: "plain", "aria-label": label },
    wreg.el("thead", {}, wreg.el("tr", {}, columns.map((c) => wreg.el("th", { scope: "col", class: c.num && "num" }, c.name)))),
    wreg.el("tbody", {}, rows.map((r) => wreg.el("tr", {}, columns.map((c) => wreg.el("td", { class: c.num && "num" }, c.of(r))))))));

  // shares draws what each part has of a whole, the largest first.
  wreg.shares = (label, list) => {
    const total = list.reduce((sum, s) => sum + s.bytes, 0);
    const bar = wreg.el("div", { class: "shares-bar", "aria-hidden": "true" });
    const rows = list.map((s, i) => {
      const kind = "cat" + Math.min(i, 7);
      if (s.bytes > 0) {
        const part = wreg.el("span", { class: kind, title: s.name + " " + wreg.percent(s.bytes, total) });
        part.style.flex = s.bytes / total + " 0 0";
        bar.append(part);
      }
      return wreg.el("li", {},
        wreg.el("span", {}, wreg.el("i", { class: "swatch " + kind, "aria-hidden": "true" }), s.name),
        wreg.el("span", { class: "num soft" }, wreg.count(s.tensors, "tensor") + " · " + wreg.size(s.bytes)),
        wreg.el("span", { class: "num" }, wreg.percent(s.bytes, total)));
    });
    return wreg.el("figure", { "aria-label": label }, wreg.el("h3", {}, label), bar, wreg.el("ul", { class: "shares" }, rows));
  };
}
