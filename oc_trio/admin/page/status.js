// Keeps the page that the server rendered up to date, from its events. Every text goes through textContent.
"use strict";
(() => {
  const AGAIN_MS = 10000;
  const $ = (id) => document.getElementById(id);
  const csrf = document.body.dataset.csrf;
  const plots = new Map();
  let offset = Number(document.body.dataset.now) - Date.now();

  const make = (tag, properties = {}, attributes = {}) => {
    const node = Object.assign(document.createElement(tag), properties);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  };
  const put = (node, text) => { if (node.textContent !== text) node.textContent = text; };
  const ago = (at) => {
    const now = Date.now() + offset, seconds = Math.floor(Math.abs(now - at) / 1000);
    const [unit, size] = [["d", 86400], ["h", 3600], ["min", 60]].find(([, size]) => seconds >= size) ?? ["s", 1];
    return at > now ? `in ${Math.floor(seconds / size)} ${unit}` : `${Math.floor(seconds / size)} ${unit} ago`;
  };
  const tick = () => document.querySelectorAll("time[data-at]").forEach((node) => put(node, ago(Number(node.dataset.at))));
  const say = (text, tone) => { put($("notice"), text); $("notice").className = tone; };

  // One cell: a text, a text with a tone, or a time.
  function fill(td, cell) {
    const was = td.firstElementChild;
    if (typeof cell === "string") { if (was || td.textContent !== cell) td.replaceChildren(cell); return; }
    if (cell.at) {
      if (was?.dataset.at !== String(cell.at)) td.replaceChildren(make("time", { textContent: ago(cell.at) }, { "data-at": cell.at }));
      return;
    }
    const shown = was?.classList.contains("state") ? was : make("span");
    shown.className = `state ${cell.tone}`;
    put(shown, cell.text);
    if (shown !== was) td.replaceChildren(shown);
  }

  function form(action) {
    const node = make("form", { method: "post", action: `/actions/${action.name}` });
    for (const [name, value] of Object.entries({ csrf, ...action.fields })) node.append(make("input", { type: "hidden", name, value }));
    node.append(make("button", { textContent: action.label }, { "aria-label": `${action.label}: ${action.about}` }));
    for (const [name, label] of action.options) {
      const box = make("label");
      box.append(make("input", { type: "checkbox", name, value: "yes" }), ` ${label}`);
      node.append(" ", box);
    }
    return node;
  }

  // A row that is there already is changed and not made anew: it may have the keyboard's focus.
  function row(tr, data, columns) {
    columns.forEach((column, at) => {
      if (!tr.cells[at]) tr.append(make("td", {}, { role: "cell", "data-label": column }));
      fill(tr.cells[at], data.cells[at]);
    });
    const wanted = JSON.stringify(data.actions);
    if (tr.dataset.actions === wanted || (!tr.dataset.actions && tr.cells[columns.length] && data.actions.length)) { tr.dataset.actions = wanted; return; }
    tr.dataset.actions = wanted;
    tr.cells[columns.length]?.remove();
    if (!data.actions.length) return;
    const td = make("td", { className: "actions" }, { role: "cell", "data-label": "Action" });
    td.append(...data.actions.map(form));
    tr.append(td);
  }

  function drawTable(part) {
    let section = $(part.id);
    if (!section) {
      section = make("section", { id: part.id, className: part.areFacts ? "facts" : "" }, { "aria-labelledby": `${part.id}-title` });
      const table = make("table", {}, { role: "table", "aria-labelledby": `${part.id}-title` });
      const head = table.createTHead(), body = table.createTBody();
      head.setAttribute("role", "rowgroup"); body.setAttribute("role", "rowgroup");
      head.insertRow().setAttribute("role", "row");
      section.append(make("h2", { id: `${part.id}-title` }), table, make("p", { className: "empty" }));
      $("tables").append(section);
    }
    put(section.querySelector("h2"), part.title);
    const table = section.querySelector("table"), body = table.tBodies[0], empty = section.querySelector(".empty");
    const heads = [...part.columns, ...(part.rows.some((data) => data.actions.length) ? ["Action"] : [])];
    const head = table.tHead.rows[0];
    if ([...head.cells].map((cell) => cell.textContent).join("\n") !== heads.join("\n"))
      head.replaceChildren(...heads.map((textContent) => make("th", { textContent, scope: "col" }, { role: "columnheader" })));
    const known = new Map([...body.rows].filter((tr) => tr.dataset.key !== undefined).map((tr) => [tr.dataset.key, tr]));
    const texts = new Map([...body.rows].filter((tr) => tr.dataset.text !== undefined).map((tr) => [tr.dataset.text, tr]));
    const wanted = [];
    for (const data of part.rows) {
      const tr = known.get(data.key) ?? make("tr", {}, { role: "row", "data-key": data.key });
      row(tr, data, part.columns);
      wanted.push(tr);
      if (!data.hasText) continue;
      const text = texts.get(data.key) ?? make("tr", { className: "text" }, { role: "row", "data-text": data.key });
      if (!text.cells.length) {
        const td = make("td", {}, { role: "cell", colspan: heads.length });
        td.append(make("pre", { tabIndex: 0 }, { role: "region", "aria-label": "The answer so far" }));
        text.append(td);
      }
      wanted.push(text);
    }
    const keep = new Set(wanted);
    [...body.rows].forEach((tr) => keep.has(tr) || tr.remove());
    wanted.forEach((tr, at) => { if (body.rows[at] !== tr) body.insertBefore(tr, body.rows[at] ?? null); });
    table.hidden = !part.rows.length;
    empty.hidden = Boolean(part.rows.length);
    put(empty, part.empty);
  }

  function drawText(key, { text, append }) {
    const cut = key.indexOf("/"), rows = $(key.slice(0, cut))?.querySelectorAll("tr[data-text]") ?? [];
    const pre = [...rows].find((tr) => tr.dataset.text === key.slice(cut + 1))?.querySelector("pre");
    if (!pre) return;
    const isAtEnd = pre.scrollTop + pre.clientHeight >= pre.scrollHeight - 4;
    if (append === undefined) put(pre, text); else pre.append(append);
    if (isAtEnd) pre.scrollTop = pre.scrollHeight;
  }

  function drawChart(part) {
    const box = $(part.id)?.querySelector(".plot");
    if (!box) return;
    put($(part.id).querySelector(".summary"), part.summary);
    const data = [part.times, ...part.series.map((series) => series.values)];
    const old = plots.get(part.id);
    if (old) { old.part = part; old.plot.setData(data); return; }
    const probe = make("span");
    box.append(probe);
    const paint = (name) => { probe.className = name; return getComputedStyle(probe).color; };
    const strokes = part.areCounts ? ["good", "bad"] : ["good", "mild"];
    const soft = getComputedStyle($("process")).color, bars = uPlot.paths.bars({ size: [0.6, 12] });
    const axis = { stroke: soft, grid: { stroke: soft, width: 0.15 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const plot = new uPlot({
      width: box.clientWidth || 240, height: 110, legend: { show: false }, cursor: { show: false }, padding: [8, 18, 0, 0],
      scales: { x: { range: (_plot, low, high) => [low - 40, high + 40] }, y: { range: (_plot, _low, high) => [0, Math.max(high || 0, part.areCounts ? 4 : 1) * 1.1] } },
      axes: [{ ...axis, size: 22, values: (_plot, times) => times.map((at) => new Date(at * 1000).toTimeString().slice(0, 5)), space: 60 }, { ...axis, size: 32, space: 24, incrs: part.areCounts ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10000] : undefined }],
      series: [{}, ...part.series.map((series, at) => ({
        label: series.label, stroke: paint(strokes[at]), fill: part.areCounts ? paint(strokes[at]) : undefined, width: part.areCounts ? 0 : 1.5,
        paths: part.areCounts ? bars : undefined, points: { show: !part.areCounts, size: 4 }, spanGaps: false,
      }))],
    }, data, box);
    probe.remove();
    plots.set(part.id, { plot, part });
  }

  const redraw = () => {
    const parts = [...plots.values()].map(({ plot, part }) => { plot.destroy(); return part; });
    plots.clear();
    parts.forEach(drawChart);
  };

  function drawHeadline(part) {
    put($("version"), part.version);
    put($("phase"), part.phase);
    $("phase").className = part.tone;
    put($("process").firstChild, `process ${part.pid}, started `);
    const time = $("process").querySelector("time");
    time.dataset.at = part.startedAt;
    put(time, ago(part.startedAt));
  }
  const draw = (part) => ({ table: drawTable, chart: drawChart, headline: drawHeadline })[part.kind]?.(part);

  function snapshot(data) {
    offset = data.now - Date.now();
    const names = new Set(data.parts.map((part) => part.id));
    document.querySelectorAll("#tables > section").forEach((section) => names.has(section.id) || section.remove());
    if (csrf && !names.has("turns")) {
      $("charts")?.remove();
      say("You are not logged in any more: the gateway was started anew, or the login is too old. Load this page again.", "bad");
    }
    data.parts.forEach(draw);
    Object.entries(data.texts).forEach(([key, text]) => drawText(key, { text }));
  }

  function connect() {
    const source = new EventSource("/events");
    const on = (name, work) => source.addEventListener(name, (event) => { document.body.dataset.live = name; work(JSON.parse(event.data)); });
    on("snapshot", snapshot);
    on("gone", ({ ids }) => ids.forEach((id) => $(id)?.remove()));
    on("parts", (data) => data.parts.forEach(draw));
    on("text", (data) => drawText(data.row, data));
    source.addEventListener("error", () => {
      delete document.body.dataset.live;
      $("phase").className = "bad";
      put($("phase"), "no answer: what is shown may be old");
      // The browser tries again by itself, but where the answer was a refusal.
      if (source.readyState === EventSource.CLOSED) { source.close(); setTimeout(connect, AGAIN_MS); }
    });
  }

  document.addEventListener("submit", async (event) => {
    const sent = event.target;
    if (!sent.action.includes("/actions/")) return;
    event.preventDefault();
    const button = sent.querySelector("button");
    button.disabled = true;
    try {
      const answer = await fetch(sent.action, { method: "POST", headers: { accept: "application/json" }, body: new URLSearchParams(new FormData(sent)) });
      if (answer.headers.get("content-type")?.includes("json")) {
        const { ok, text } = await answer.json();
        say(text, ok ? "good" : "bad");
      } else say(`${(await answer.text()).trim()}. Load this page again.`, "bad");
    } catch { say("no answer: nothing may have been done", "bad"); }
    button.disabled = false;
  });

  let width = 0;
  new ResizeObserver(() => { const now = $("charts")?.clientWidth ?? 0; if (now !== width) { width = now; redraw(); } }).observe(document.body);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  setInterval(tick, 1000);
  connect();
})();
