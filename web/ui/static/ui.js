// What the pages of wreg ui do beside showing: copying, completion, keys, and the map and
// plots that web has. Pages are swapped by htmx, so everything is found again after a swap;
// whatever comes from a checkpoint is text.
"use strict";
{
  const $ = (id) => document.getElementById(id);
  const data = (id) => JSON.parse($(id).textContent);

  // ready makes a page work; what was made already is left alone.
  function ready() {
    const theme = $("theme");
    if (theme && !theme.firstChild) theme.append(wreg.theme());
    for (const e of document.querySelectorAll("[data-shares]:empty")) {
      e.append(wreg.shares(e.dataset.shares, JSON.parse(e.nextElementSibling.textContent) || []));
    }
    for (const e of document.querySelectorAll("[data-lines]:empty")) {
      const d = JSON.parse(e.nextElementSibling.textContent);
      wreg.lines(e, d.layers, d.rows, e.dataset.lines);
    }
    for (const e of document.querySelectorAll("[data-differences]:empty")) {
      wreg.map(e, wreg.differences(JSON.parse(e.nextElementSibling.textContent)), { first: "Difference", labels: { there: "equal", hollow: "none" } });
    }
    map();
    const again = document.querySelector("[data-again]");
    if (again) setTimeout(() => again.isConnected && location.reload(), 1000 * again.dataset.again);
    const fault = document.querySelector("[data-column]"), q = $("q");
    if (fault && q && !fault.dataset.told) {
      fault.dataset.told = "yes";
      q.setAttribute("aria-invalid", "true");
      q.focus();
      if (fault.dataset.column > 0) q.setSelectionRange(fault.dataset.column - 1, fault.dataset.column - 1);
    }
  }

  // map draws the map; a cell that is chosen is shown below, under an address of its own.
  function map() {
    const host = $("map");
    if (!host || host.firstChild) return;
    const d = data("map-data");
    wreg.map(host, d, {
      pickLabel: "Show gaps and tensors",
      pick: (row, column) => {
        const to = new URL(host.dataset.link, location.href);
        for (const name of ["by", "of"]) {
          const value = new URLSearchParams(location.search).get(name);
          if (value) to.searchParams.set(name, value);
        }
        to.searchParams.set("component", row.component);
        if (column !== null) to.searchParams.set("column", column);
        open(to.pathname + to.search, "#cell");
      },
    });
  }

  // open puts a part of another page in the place of the same part here.
  const open = (path, part) => htmx.ajax("GET", path, { target: part, select: part, swap: "outerHTML", push: path });

  document.addEventListener("click", async (e) => {
    const button = e.target.closest?.("[data-copy]");
    if (!button) return;
    const code = button.previousElementSibling;
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "copied";
      setTimeout(() => button.textContent = "copy", 1500);
    } catch { // not allowed: it is selected, for the keyboard
      getSelection().selectAllChildren(code);
    }
  });

  // Keys: / goes to the query.
  document.addEventListener("keydown", (e) => {
    if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey || e.target.closest?.("input, textarea, select")) return;
    e.preventDefault();
    $("q")?.focus();
    $("q")?.select();
  });

  // Completion: what the text before the caret may go on as.
  const hints = { of: "", at: -1, list: [], timer: 0, request: null };

  function close() {
    hints.list = [];
    hints.at = -1;
    const list = $("hints");
    if (!list) return;
    list.hidden = true;
    list.replaceChildren();
    $("q").setAttribute("aria-expanded", "false");
    $("q").removeAttribute("aria-activedescendant");
  }

  // cancel forgets what is still asked for: what comes late would lie over another page.
  function cancel() {
    clearTimeout(hints.timer);
    hints.request?.abort();
    close();
  }

  async function suggest() {
    const q = $("q"), text = q.value.slice(0, q.selectionStart);
    hints.request?.abort();
    const request = hints.request = new AbortController();
    try {
      const model = q.form.elements.model?.value || "";
      const url = "/complete?" + new URLSearchParams({ q: text, model });
      const answer = await fetch(url, { signal: request.signal, credentials: "same-origin" });
      const list = answer.ok ? await answer.json() : [];
      if (request.signal.aborted || document.activeElement !== q) return; // q may be of a page that is gone
      show(text, list.filter((s) => s.text !== text));
    } catch { /* aborted, or the server has ended: typing goes on */ }
  }

  function show(text, list) {
    close();
    if (!list.length) return;
    hints.of = text;
    hints.list = list;
    const from = Math.max(text.search(/[^\s,(]*$/), 0);
    $("hints").append(...list.map((s, i) => wreg.el("li", { id: "hint" + i, role: "option", "aria-selected": "false",
      mousedown: (e) => { e.preventDefault(); take(i); } }, wreg.el("span", { class: "mono" }, s.text.slice(from)), s.about && wreg.el("span", { class: "soft" }, s.about))));
    $("hints").hidden = false;
    $("q").setAttribute("aria-expanded", "true");
  }

  function choose(at) {
    hints.at = (at + hints.list.length) % hints.list.length;
    [...$("hints").children].forEach((li, i) => li.setAttribute("aria-selected", i === hints.at));
    $("hint" + hints.at).scrollIntoView({ block: "nearest" });
    $("q").setAttribute("aria-activedescendant", "hint" + hints.at);
  }

  function take(i) {
    const q = $("q"), text = hints.list[i].text, rest = q.value.slice(hints.of.length);
    q.value = text + rest;
    q.setSelectionRange(text.length, text.length);
    close();
  }

  document.addEventListener("input", (e) => {
    if (e.target.id !== "q") return;
    e.target.removeAttribute("aria-invalid");
    clearTimeout(hints.timer);
    hints.timer = setTimeout(suggest, 60);
  });
  document.addEventListener("focusout", (e) => { if (e.target.id === "q") cancel(); });
  document.addEventListener("submit", cancel);
  document.addEventListener("keydown", (e) => {
    if (e.target.id !== "q") return;
    if (e.key === "Escape") {
      if (hints.list.length) { cancel(); e.preventDefault(); } else e.target.blur();
      return;
    }
    if (e.key === "ArrowDown" && !hints.list.length) { suggest(); e.preventDefault(); return; }
    if (!hints.list.length) return;
    switch (e.key) {
      case "ArrowDown": choose(hints.at + 1); break;
      case "ArrowUp": choose(hints.at < 0 ? hints.list.length - 1 : hints.at - 1); break;
      case "Tab": if (e.shiftKey) return; take(Math.max(hints.at, 0)); break;
      case "Enter": if (hints.at < 0) { cancel(); return; } take(hints.at); break;
      default: return;
    }
    e.preventDefault();
  });

  // A server that has ended says nothing: the page must.
  document.addEventListener("htmx:error", () => {
    if ($("gone")) return;
    document.body.prepend(wreg.el("p", { id: "gone", role: "alert" }, "wreg ui does not answer: it has ended. Start it again, and open the address it prints."));
  });

  document.addEventListener("htmx:after:swap", ready);
  document.addEventListener("htmx:after:settle", ready);
  ready();
}
