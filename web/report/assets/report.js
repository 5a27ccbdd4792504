// The report: reads the data that stands in the page and shows it, section by section.
"use strict";
(async () => {
  const { el, count, size, value, command, word } = wreg;
  const text = (id) => document.getElementById(id).textContent;
  const data = JSON.parse(text("data"));
  const { model, left } = data, verdict = model.verdict, ref = word(model.model);
  const main = document.getElementById("main");
  const links = [];
  main.replaceChildren();
  document.title = model.model + " · wreg report";

  // section begins one, with the command that says the same.
  function section(id, title, line, ...children) {
    const short = id[0].toUpperCase() + id.slice(1);
    const e = el("section", { id, "aria-labelledby": id + "-title" },
      el("div", { class: "section-head" }, el("h2", { id: id + "-title" }, title), line && command(line)), children);
    links.push([id, short]);
    main.append(e);
    return e;
  }
  const more = (n, line) => n ? el("p", { class: "soft" }, "and " + count(n) + " more: ", command(line)) : null;
  const facts = (pairs) => el("dl", { class: "facts" }, pairs.filter(([, v]) => v !== undefined && v !== null && v !== "")
    .map(([name, v]) => el("div", {}, el("dt", {}, name), el("dd", {}, v))));
  const sentence = (s) => /^[a-z]+ /.test(s) ? s[0].toUpperCase() + s.slice(1) : s; // a name stays as it is
  const plain = (s) => !/[\\'"]/.test(s); // else it is shown otherwise than one would type it
  const words = (list) => list.filter(Boolean).join(" · ");

  const failed = data.checks.filter((c) => c.result !== "pass").length;
  const values = model.values;
  const known = verdict.state !== "unknown"; // what the model should hold
  const content = { // by how it is known; the rest is told by whether there are hashes
    header: "not known: headers alone were read",
    inherited: "SHA-256 of every tensor is that of a file with the same digest",
    verified: "SHA-256 of every tensor is recorded, and each file has the digest that is declared of it",
  };
  const bad = (n) => n > 0 ? "bad" : "good";

  // Overview.
  {
    const kinds = wreg.list(["missing", "changed", "extra"].filter((k) => verdict[k]).map((k) => count(verdict[k]) + " " + k));
    const [kind, title, about] = {
      whole: ["good", "Whole", "The checkpoint matches the " + model.arch + " architecture: nothing is missing, changed or extra."],
      gaps: ["bad", count(verdict.gaps, "gap"), "The checkpoint does not match the " + model.arch + " architecture" + (kinds ? ": " + kinds + "." : ".")],
      unknown: ["warn", "Not checked", sentence(model.problem || "there is no architecture to ask")],
    }[verdict.state];
    const also = [verdict.findings && count(verdict.findings, "finding") + " while it was read", failed && count(failed, "check") + " failed",
      values && values.nans + values.infs && "values that are not finite"].filter(Boolean);
    const shown = also.length && kind === "good" ? "warn" : kind;
    const dtype = model.dtypes.length ? model.dtypes[0].name : "";
    const checks = [
      [verdict.state === "whole" ? "good" : verdict.state === "gaps" ? "bad" : "none", "Architecture",
        verdict.state === "unknown" ? "not checked" : verdict.gaps ? count(verdict.gaps, "gap") + " against " + model.arch : "matches " + model.arch],
      [bad(verdict.findings), "Reading the files", verdict.findings ? count(verdict.findings, "finding") : "no findings"],
      values ? [bad(values.nans + values.infs), "Values", values.nans + values.infs ? count(values.nans) + " NaN, " + count(values.infs) + " infinite" : "no NaN, no Inf in " + count(values.tensors, "tensor")]
        : ["none", "Values", "no statistics were recorded"],
      [data.hashed ? "good" : "none", "Content", content[model.trust] || (data.hashed ? "SHA-256 of every tensor is recorded" : "no hashes were recorded")],
      verdict.export && [verdict.gaps ? "bad" : "good", "Export to MLX", verdict.export],
      data.checks.length && [bad(failed), "Checks", failed ? count(failed) + " of " + count(data.checks.length) + " failed" : "all " + count(data.checks.length) + " passed"],
      data.receipt && [data.receipt.sealed && !data.receipt.fault ? "good" : "bad", "Receipt", data.receipt.fault || (data.receipt.sealed ? "the seal fits; wreg verify reads the files" : "the seal does not fit: it was changed")],
    ].filter(Boolean);
    const e = section("overview", "Overview", "wreg show " + ref);
    e.querySelector("h2").replaceWith(el("div", {}, el("h1", { id: "overview-title" }, model.model),
      el("p", { class: "soft" }, words([model.arch, model.layout && model.layout + " layout", dtype, data.against && "compared with " + data.against]))));
    e.append(
      el("div", { class: "verdict " + shown, role: "status" }, el("strong", {}, title), el("span", {}, about),
        also.length ? el("span", {}, "Also: " + wreg.list(also) + ".") : ""),
      facts([["Parameters", wreg.params(model.params)], ["Tensors", count(model.tensors)], ["Size", size(model.bytes) + (model.shards > 1 ? " in " + count(model.shards) + " shards" : "")],
        ["Bits a parameter", model.bits ? Number(model.bits.toFixed(2)) : null], ["Layers", model.layers ? count(model.layers) : null], ["Experts", model.experts ? count(model.experts) : null],
        ["At 4 bits", model.at_4_bits && "≈ " + size(model.at_4_bits.bytes)], ["Largest magnitude", values && values.absmax_at && value(values.absmax)]]),
      el("div", { class: "columns" },
        el("div", {}, el("h3", {}, "What was checked"), el("ul", { class: "checks" }, checks.map(([k, name, what]) =>
          el("li", { class: k }, el("span", { class: "mark", role: "img", "aria-label": { good: "passed", bad: "failed", none: "not checked" }[k] }, { good: "✓", bad: "✗", none: "–" }[k]), el("span", {}, name), el("span", { class: "soft" }, what))))),
        el("div", { class: "figures" }, wreg.shares("Dtypes", model.dtypes), wreg.shares("Components", model.components))));
    if (verdict.note) e.querySelector(".verdict").append(el("span", {}, sentence(verdict.note)));
    if (verdict.next && verdict.next.length) e.append(el("p", { class: "next no-print" }, "Next: ", verdict.next.map((n) => command(n))));
  }

  // The map; what it chooses is looked up in the tensors.
  let table = null;
  const able = typeof DecompressionStream !== "undefined";
  const { map: cover, ranges, against } = able ? JSON.parse(new TextDecoder().decode(await wreg.inflate(text("layer-data")))) : {};
  {
    const e = section("map", "Map", known && "wreg coverage " + ref);
    if (cover && cover.rows.length) {
      e.append(el("p", { class: "soft" }, (cover.note && sentence(cover.note)) || "Layers from left to right, components from top to bottom" + (known ? "." : ": what is there. Nothing says what should be.")));
      wreg.map(e, cover, { labels: known ? {} : { there: "there", hollow: "none" }, dtypes: model.dtypes.map((d) => d.name),
        pick: (row, layer) => table && table.find((layer === null ? "" : "layer=" + layer + " ") + row.component) });
    } else {
      e.append(el("p", { class: "soft" }, "There is no map: " + (data.map_fault || (able ? "there are no tensors." : "this browser cannot unpack it."))));
    }
  }

  // Gaps, folded, as lines that differ in numbers or a word of their path.
  const lines = (list) => el("ul", { class: "gaps" }, list.map((g) => el("li", {},
    el("div", { class: "gap-head" }, el("span", { class: "badge " + { missing: "bad", changed: "warn", extra: "none" }[g.status] }, g.status), wreg.path(g.path),
      g.tensors > 1 ? el("span", { class: "soft" }, count(g.tensors, "tensor")) : ""),
    el("p", {}, g.reason), g.remedy ? el("p", { class: "remedy" }, g.remedy) : "")));
  if (verdict.state === "gaps") {
    section("gaps", "Gaps", "wreg query gaps -m " + ref, lines(verdict.lines || []), more(left.gaps, "wreg query gaps -m " + ref));
  }
  if (against) {
    const line = "wreg diff " + word(against.a) + " " + ref, total = against.total, relative = (x) => x === undefined || x === null ? "" : value(100 * x) + " %";
    const e = section("against", "Compared with " + against.a, line + (against.values ? " --values" : ""),
      el("p", { class: "soft" }, "What is missing, extra or changed here, relative to " + against.a + "."),
      facts([["Changed", count(against.changed)], ["Missing", count(against.missing)], ["Extra", count(against.extra)], ["Equal", count(against.equal)],
        against.not_compared ? ["Not compared", count(against.not_compared)] : ["", ""], ["Change, by norm", total && relative(total.relative)], ["Largest change", total && total.max !== null ? value(total.max) : ""],
        ["Bits a weight", against.bits_a && against.bits_a !== against.bits_b ? Number(against.bits_a.toPrecision(3)) + " → " + Number(against.bits_b.toPrecision(3)) : ""]]));
    const rows = against.components.filter((p) => p.layers || p.outside);
    if (rows.length) wreg.map(e, wreg.differences({ ...against, components: rows }), { first: "Difference", labels: { there: "equal", hollow: "none" } });
    e.append(lines(against.lines), more(left.against, line) || "");
    const shown = against.tensors.filter((t) => t.change).slice(0, 10);
    if (shown.length) {
      e.append(el("h3", {}, "What changed most"), wreg.table([{ name: "Tensor", of: (t) => wreg.path(t.path) }, { name: "Change, by norm", num: true, of: (t) => relative(t.change.relative) },
        { name: "Largest", num: true, of: (t) => t.change.max === null ? "" : value(t.change.max) }, { name: "Elements", num: true, of: (t) => wreg.percent(t.change.elements_changed, t.change.elements) },
        { name: "Stored", of: (t) => t.a === t.b ? t.a : t.a + " → " + t.b }], shown, "What changed most"));
    } else if (against.changed || against.not_compared) {
      e.append(el("p", { class: "soft no-print" }, "By how much: ", command(line + " --values")));
    }
    e.append(...against.notes.map((n) => el("p", { class: "soft" }, n)));
  } else if (data.against) {
    section("against", "Compared with " + data.against, "wreg diff " + word(data.against) + " " + ref, el("p", { class: "soft" }, "This browser cannot unpack the comparison."));
  }

  // Values by layer.
  if (values) {
    const e = section("values", "Values", "wreg stats " + ref);
    e.append(facts([["Largest magnitude", values.absmax_at ? [value(values.absmax), el("span", { class: "soft" }, " in ", wreg.path(values.absmax_at))] : "none"],
      ["NaN", count(values.nans)], ["Infinite", count(values.infs)], ["All zero", count(values.zero, "tensor")]]));
    if (ranges) {
      const rows = ranges.components.filter((b) => b.layers).map((b) => ({ name: b.component, stands: b.stands_out,
        values: b.layers.map((s) => s ? s.absmax : null), faults: b.layers.map((s) => s ? s.nans + s.infs : 0) }));
      const figure = el("figure");
      if (rows.length && wreg.lines(figure, ranges.layers, rows, "Absmax by layer")) {
        e.append(el("h3", {}, "Absmax by layer, on one logarithmic scale"), figure);
      }
      const { overflow, vanish } = ranges.float16, reaches = (list, more) => list.length ? el("ul", { class: "reaches" },
        list.slice(0, 5).map((r) => el("li", {}, wreg.path(r.path), " ", el("span", { class: "soft" }, value(r.absmax)))),
        list.length + more > 5 ? el("li", { class: "soft" }, "and " + count(list.length + more - 5) + " more") : "") : "";
      e.append(el("h3", {}, "A cast to float16"), el("p", {}, overflow.length + vanish.length === 0
        ? "No tensor has a value beyond 65504, and none would be left with zeros alone."
        : [overflow.length ? count(overflow.length + (left.overflow || 0), "tensor") + " would overflow to infinity. " : "",
          vanish.length ? count(vanish.length + (left.vanish || 0), "tensor") + " would be left with zeros alone." : ""].join("")),
      reaches(overflow, left.overflow || 0), reaches(vanish, left.vanish || 0));
      if (ranges.more_bits.length) {
        const shown = ranges.more_bits.slice(0, 8);
        e.append(el("h3", {}, "What may deserve more bits"), el("p", { class: "soft" }, "Modules that reach much further in one layer than in those beside it, and the option of wreg export -q for each."),
          wreg.table([{ name: "Module", of: (m) => wreg.path(m.module) }, { name: "Absmax", num: true, of: (m) => value(m.absmax) }, { name: "Beside it", num: true, of: (m) => value(m.beside) },
            { name: "Times", num: true, of: (m) => Number(m.times.toPrecision(2)) }, { name: "Option", of: (m) => plain(m.q_override) && el("code", {}, "--q-override " + word(m.q_override)) }], shown, "More bits"),
          more(ranges.more_bits.length - shown.length, "wreg stats " + ref));
      }
    } else if (data.ranges_fault) e.append(el("p", { class: "soft" }, "There are no plots: " + data.ranges_fault));
  }

  // Tensors.
  {
    const e = section("tensors", "Tensors", "");
    if (!able) {
      e.append(el("p", { class: "soft" }, "This browser cannot unpack the list. ", command("wreg query 'find *' -m " + ref)));
    } else {
      table = wreg.tensors(e, wreg.unpack(await wreg.inflate(text("tensor-data"))), model.model);
      e.append(el("p", { class: "print-only" }, "The list is in the file, and not printed."));
    }
  }

  // Checks and findings.
  if (data.checks.length) {
    section("checks", "Checks", "", wreg.table([
      { name: "Check", of: (c) => c.name },
      { name: "Result", of: (c) => el("span", { class: "badge " + (c.result === "pass" ? "good" : "bad") }, c.result) },
      { name: "Expected", of: (c) => c.expected }, { name: "", of: (c) => c.message }], data.checks, "Checks"));
  }
  if (model.findings.length) {
    section("findings", "Findings", plain(model.root) && "wreg lint " + word(model.root), wreg.table([
      { name: "Rule", of: (f) => el("span", { class: "badge " + (f.note ? "" : "bad") }, f.rule) },
      { name: "Where", of: (f) => wreg.path(f.tensor || f.file || "") }, { name: "What", of: (f) => f.message }], model.findings, "Findings"),
      more(left.findings, "wreg show " + ref + " --json"));
  }

  // Where it comes from.
  {
    const created = model.created && !model.created.startsWith("0001") ? model.created.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC") : "";
    section("provenance", "Provenance", "", facts([["Root", wreg.path(model.root)], ["Ingested", created], ["By", model.tool],
      ["Exported from", model.source], ["Names", data.names && el("code", {}, data.names)]]),
    data.files.length > 0 && wreg.table([{ name: "File", of: (f) => wreg.path(f.name) }, { name: "Format", of: (f) => f.format }, { name: "Size", num: true, of: (f) => size(f.size) },
      { name: "Modified", of: (f) => f.modified.replace("T", " ").replace("Z", "") }], data.files, "Files"),
    more(left.files, "wreg show " + ref));
  }
  if (data.receipt) {
    const r = data.receipt;
    section("receipt", "Receipt", "wreg verify " + ref, r.fault ? el("p", {}, "It cannot be read: " + r.fault) : facts([
      ["Made by", r.tool], ["From", r.model], ["Source folder", wreg.path(r.root)], ["Architecture", r.architecture], ["Target", words([r.target, r.dtype])],
      ["Tensors written", count(r.tensors) + " in " + count(r.shards, "shard")], ["Source tensors", count(r.sources) + ": " + count(r.copied) + " used, " + count(r.dropped) + " left out by a rule"],
      ["Proof", r.prove], ["Plan", wreg.path(r.plan)], ["Seal", r.sealed ? "fits" : "does not fit: the receipt was changed"]]));
  }

  // How to get the same from a terminal.
  section("commands", "The same on a terminal", "", wreg.table([{ name: "", of: (r) => r[0] }, { name: "", of: (r) => command(r[1]) }], [
    ["This report", "wreg report " + ref + (data.against ? " --against " + word(data.against) + (against?.values ? " --values" : "") : "") + " -o report.html"],
    ["At a glance", "wreg show " + ref], known && ["The map", "wreg coverage " + ref], known && ["What is missing, extra or changed", "wreg query gaps -m " + ref],
    ["Every tensor", "wreg query 'find *' -m " + ref], data.against && ["The comparison", "wreg diff " + word(data.against) + " " + ref],
    data.receipt && ["The proof", "wreg verify " + ref]].filter(Boolean), "Commands"));

  const badge = el("span", { class: "badge " + ({ whole: failed || verdict.findings ? "warn" : "good", gaps: "bad", unknown: "warn" })[verdict.state] },
    { whole: "whole", gaps: count(verdict.gaps, "gap"), unknown: "not checked" }[verdict.state]);
  document.getElementById("bar").append(el("div", { class: "bar-inner" }, el("span", { class: "brand" }, "wreg"), el("a", { href: "#overview", class: "bar-model" }, model.model), badge,
    el("nav", { "aria-label": "Sections" }, links.slice(1).map(([id, title]) => el("a", { href: "#" + id }, title))), el("span", { class: "no-print" }, wreg.theme())));
  document.getElementById("footer").append(el("p", { class: "soft" }, words([data.wreg, data.generated && "written " + data.generated.replace("T", " ").replace("Z", " UTC"),
    "loads nothing from the network"])));
  document.documentElement.dataset.ready = "yes";
})().catch((err) => {
  document.getElementById("main").append(wreg.el("p", { role: "alert", class: "verdict bad" }, "This report cannot be shown: " + err));
  console.error(err);
  document.documentElement.dataset.ready = "no";
});
