// Posts as elements. All text goes through textContent or `escape`: a message can never be markup of ours.

const escape = (text) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

function inline(text) {
  const codes = [];
  let html = escape(text).replace(/(`+)([^`](?:.*?[^`])?)\1(?!`)/g, (_, _ticks, code) => `\u0000${codes.push(code) - 1}\u0000`);
  html = html
    .replace(/\*\*(.+?)\*\*/g, "<strong>$1</strong>")
    .replace(/(^|[^\w*])\*([^*\s][^*]*?)\*/g, "$1<em>$2</em>")
    .replace(/(^|\W)_([^_\s][^_]*?)_(?=\W|$)/g, "$1<em>$2</em>")
    .replace(/\[([^\]]+)\]\((https?:[^)\s]+)\)/g, '<a href="$2" rel="noopener" target="_blank">$1</a>');
  return html.replace(/\u0000(\d+)\u0000/g, (_, index) => `<code>${codes[index]}</code>`);
}

function block(lines) {
  if (lines.length > 1 && /^\s*\|?[\s:|-]+\|[\s:|-]*$/.test(lines[1])) {
    const cells = (line, tag) => "<tr>" + line.replace(/^\s*\||\|\s*$/g, "").split("|").map((cell) => `<${tag}>${inline(cell.trim())}</${tag}>`).join("") + "</tr>";
    return `<table>${cells(lines[0], "th")}${lines.slice(2).map((line) => cells(line, "td")).join("")}</table>`;
  }
  if (lines.every((line) => /^\s*([-*•]|\d+\.)\s/.test(line))) {
    return `<ul>${lines.map((line) => `<li>${inline(line.replace(/^\s*([-*•]|\d+\.)\s/, ""))}</li>`).join("")}</ul>`;
  }
  if (lines.every((line) => line.startsWith(">"))) {
    return `<blockquote>${lines.map((line) => inline(line.slice(1))).join("<br>")}</blockquote>`;
  }
  const heading = lines.length === 1 && /^#{1,6} (.+)/.exec(lines[0]);
  if (heading) return `<p><strong>${inline(heading[1])}</strong></p>`;
  return `<p>${lines.map(inline).join("<br>")}</p>`;
}

export function markdown(text) {
  let html = "";
  let paragraph = [];
  let fence = null;
  const flush = () => { if (paragraph.length) html += block(paragraph); paragraph = []; };
  for (const line of text.split("\n")) {
    const mark = /^\s*(```+|~~~+)/.exec(line);
    if (fence) {
      if (mark && line.trim().startsWith(fence.mark)) { html += `<pre><code>${escape(fence.lines.join("\n"))}</code></pre>`; fence = null; }
      else fence.lines.push(line);
    } else if (mark) { flush(); fence = { mark: mark[1], lines: [] }; }
    else if (line.trim()) paragraph.push(line);
    else flush();
  }
  flush();
  if (fence) html += `<pre><code>${escape(fence.lines.join("\n"))}</code></pre>`;
  return html;
}

function element(tag, props = {}, ...children) {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children);
  return node;
}

function attachment(post, data, on) {
  const node = element("div", { className: "attachment" });
  if (data.title) node.append(element("strong", { textContent: data.title }));
  const text = data.text || data.fallback || "";
  if (text) { const body = element("div"); body.innerHTML = markdown(text); node.append(body); }
  const actions = element("div", { className: "actions" });
  for (const action of data.actions || []) {
    if (action.type === "select") {
      const select = element("select", { ariaLabel: action.name }, element("option", { value: "", textContent: action.name }));
      for (const option of action.options || []) select.append(element("option", { value: option.value, textContent: option.text }));
      select.onchange = () => select.value && on.press(post, action, select.value);
      actions.append(select);
    } else {
      const button = element("button", { type: "button", textContent: action.name });
      button.dataset.style = action.style || "default";
      button.dataset.action = action.id;
      button.onclick = () => { button.disabled = true; on.press(post, action).finally(() => { button.disabled = false; }); };
      actions.append(button);
    }
  }
  if (actions.children.length) node.append(actions);
  return node;
}

export function renderPost(post, { users, replies, inThread, on }) {
  const author = users.get(post.user_id) || { username: post.user_id };
  const node = element("li", { className: "post" });
  node.dataset.id = post.id;
  node.dataset.user = author.username;
  if (post.type?.startsWith("system_")) node.classList.add("system");
  if (post.type === "system_ephemeral") node.classList.add("ephemeral");
  const meta = element("div", { className: "meta" }, element("strong", { textContent: post.props?.override_username || author.username }));
  if (author.is_bot) meta.append(" ", element("span", { className: "bot", textContent: "BOT" }));
  meta.append(` ${new Date(post.create_at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}`);
  if (post.edit_at) meta.append(" (edited)");
  if (!inThread) meta.append(element("button", { className: "link", type: "button", textContent: "reply", onclick: () => on.thread(post) }));
  if (on.mine(post)) meta.append(element("button", { className: "link", type: "button", textContent: "delete", onclick: () => on.remove(post) }));
  const body = element("div", { className: "body" });
  body.innerHTML = markdown(post.message || "");
  node.append(meta, body);
  for (const data of post.props?.attachments || []) node.append(attachment(post, data, on));
  for (const file of post.metadata?.files || []) {
    node.append(element("div", {}, element("button", { className: "link", type: "button", textContent: `📎 ${file.name}`, onclick: () => on.download(file) })));
  }
  const reactions = post.metadata?.reactions || [];
  if (reactions.length) {
    node.append(element("div", { className: "reactions" }, ...reactions.map((reaction) => element("span", { textContent: `:${reaction.emoji_name}:` }))));
  }
  if (!inThread && replies) {
    node.append(element("button", { className: "replies", type: "button", textContent: `${replies} ${replies === 1 ? "reply" : "replies"}`, onclick: () => on.thread(post) }));
  }
  return node;
}
