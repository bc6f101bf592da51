// Draws status.json again and again; everything goes through textContent.
"use strict";
const EVERY = 2000;
const GOOD = ["live"], MILD = ["starting", "connecting", "catching_up", "reconnecting", "stopped"];
const $ = (id) => document.getElementById(id);

const ago = (now, at) => {
  if (!at) return "never";
  const seconds = Math.max(0, Math.round((now - at) / 1000));
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  return `${seconds} s ago`;
};
const words = (key) => key.replaceAll("_", " ").replace(/([A-Z])/g, " $1").toLowerCase();
const cell = (text, className = "") => Object.assign(document.createElement("td"), { textContent: text, className });
const tone = (state) => (GOOD.includes(state) ? "good" : MILD.includes(state) ? "mild" : "bad");

function row(account, now) {
  const node = document.createElement("tr");
  node.append(cell(account.account), cell(account.bot ? `@${account.bot}` : ""), cell(words(account.state), `state ${tone(account.state)}`),
    cell(ago(now, account.since)), cell(ago(now, account.last_live_at)), cell([account.detail, ...account.notes].filter(Boolean).join("; ")));
  return node;
}

function fact([key, value]) {
  const node = document.createElement("div");
  const shown = key === "size" ? `${(value / 1048576).toFixed(1)} MiB` : typeof value === "number" ? value.toLocaleString("en") : value;
  node.append(Object.assign(document.createElement("dt"), { textContent: words(key) }), Object.assign(document.createElement("dd"), { textContent: shown }));
  return node;
}

function draw(status) {
  $("version").textContent = status.version;
  $("phase").textContent = status.stuck.length ? `stuck: ${status.stuck.join(", ")}` : `${status.phase}${status.ready ? ", ready" : ", not ready"}`;
  $("phase").className = status.ready && !status.stuck.length ? "good" : "bad";
  $("uptime").textContent = `process ${status.pid}, started ${ago(status.now, status.startedAt)}`;
  $("accounts").tBodies[0].replaceChildren(...status.accounts.map((account) => row(account, status.now)));
  $("pauses").textContent = status.pauses.map((pause) => `not asked for ${pause.seconds} s: ${pause.what}`).join("; ");
  $("journal").replaceChildren(...Object.entries(status.journal).map(fact));
  $("stale").textContent = "";
}

async function refresh() {
  try { draw(await (await fetch("/status.json")).json()); }
  catch { $("phase").className = "bad"; $("phase").textContent = "no answer"; $("stale").textContent = "what is shown may be old"; }
  setTimeout(refresh, EVERY);
}
refresh();
