// Posts as elements. All text goes through textContent or `escape`: a message can never be markup of ours.

const escape = (text) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

function inline(text) {
  const codes = [];
  let html = escape(text).replace(/(`+)([^`](?:.*?[^`])?)\1(?!`)/g, (_, _ticks, code) => `\u0000${codes.push(code) - 1}\u0000`);
  html = html
    .replace(/\*\*(.+?)\*\*/g, "<strong>$1</strong>")
    .replace(/(^|[^\w*])\*([^*\s][^*]*?)\*/g, "$1<em>$2</em>")
    .replace(/(^|\W)_([^_\s][^_]*?)_(?=\W|$)/g, "$1<em>$2</em>")
    .replace(/\[([^\]]+)\]\((https?:[^)\s]+)\)/g, '<a href="$2" rel="noopener" target="_blank">$1</a>')
    .replace(/(^|\s)(@[a-z][\w.-]*)/gi, '$1<span class="at">$2</span>');
  return html.replace(/\u0000(\d+)\u0000/g, (_, index) => `<code>${codes[index]}</code>`);
}

const ITEM = /^\s*([-*•]|\d+\.)\s/;

function block(lines) {
  if (lines.length > 1 && /^\s*\|?[\s:|-]+\|[\s:|-]*$/.test(lines[1])) {
    const cells = (line, tag) => "<tr>" + line.replace(/^\s*\||\|\s*$/g, "").split("|").map((cell) => `<${tag}>${inline(cell.trim())}</${tag}>`).join("") + "</tr>";
    return `<table>${cells(lines[0], "th")}${lines.slice(2).map((line) => cells(line, "td")).join("")}</table>`;
  }
  if (lines.every((line) => ITEM.test(line))) {
    const first = /^\s*(\d+)\./.exec(lines[0]);
    const items = lines.map((line) => `<li>${inline(line.replace(ITEM, ""))}</li>`).join("");
    return first ? `<ol start="${first[1]}">${items}</ol>` : `<ul>${items}</ul>`;
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
  const kind = (text) => (ITEM.test(text) ? "item" : text.startsWith(">") ? "quote" : text.startsWith("#") ? "heading" : "text");
  for (const line of text.split("\n")) {
    const mark = /^\s*(```+|~~~+)/.exec(line);
    if (fence) {
      if (mark && line.trim().startsWith(fence.mark)) { html += `<pre><code>${escape(fence.lines.join("\n"))}</code></pre>`; fence = null; }
      else fence.lines.push(line);
    } else if (mark) { flush(); fence = { mark: mark[1], lines: [] }; }
    else if (!line.trim()) flush();
    else {
      if (paragraph.length && kind(paragraph[0]) !== kind(line)) flush();
      paragraph.push(line);
    }
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

export function avatar(name, isBot) {
  const node = element("span", { className: isBot ? "avatar bot" : "avatar", textContent: name.slice(0, 1), ariaHidden: "true" });
  let hue = 0;
  for (const char of name) hue = (hue * 31 + char.charCodeAt(0)) % 360;
  node.style.setProperty("--hue", hue);
  return node;
}

function attachment(post, data, on) {
  const node = element("div", { className: "attachment" });
  if (data.title) node.append(element("strong", { textContent: data.title }));
  const text = data.text || "";
  if (text) { const body = element("div"); body.innerHTML = markdown(text); node.append(body); }
  const actions = element("div", { className: "actions" });
  for (const action of data.actions || []) actions.append(action.type === "select" ? menu(post, action, on) : button(post, action, on));
  if (actions.children.length) node.append(actions);
  return node;
}

function menu(post, action, on) {
  const select = element("select", { ariaLabel: action.name }, element("option", { value: "", textContent: action.name }));
  for (const option of action.options || []) select.append(element("option", { value: option.value, textContent: option.text }));
  select.onchange = () => select.value && on.press(post, action, select.value);
  return select;
}

const STYLES = { primary: "primary", good: "primary", success: "primary", danger: "danger" };

function button(post, action, on) {
  const node = element("button", { type: "button", className: `button ${STYLES[action.style] || ""}`, textContent: action.name });
  node.dataset.action = action.id;
  node.onclick = () => { node.disabled = true; on.press(post, action).finally(() => { node.disabled = false; }); };
  return node;
}

function meta(post, author) {
  const name = post.props?.override_username || author.username;
  const node = element("div", { className: "meta" }, element("strong", { textContent: name }));
  if (author.is_bot) node.append(" ", element("span", { className: "tag", textContent: "BOT" }));
  node.append(` ${new Date(post.create_at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}`);
  if (post.type === "system_ephemeral") node.append(" (only you see this)");
  else if (post.edit_at) node.append(" (edited)");
  return node;
}

function tools(post, inThread, on) {
  const node = element("div", { className: "tools" });
  const tool = (textContent, onclick) => node.append(element("button", { className: "button", type: "button", textContent, onclick }));
  if (!inThread) tool("reply", () => on.thread(post));
  if (on.mine(post)) tool("delete", () => on.remove(post));
  return node;
}

// `replies` is how many there are, `last` the newest of them as one line; `follows` hides a repeated author.
export function renderPost(post, { users, replies, last, inThread, follows, on }) {
  const isEphemeral = post.type === "system_ephemeral";
  const author = users.get(isEphemeral ? "" : post.user_id) || { username: post.user_id };
  const node = element("li", { className: "post" });
  node.dataset.id = post.id;
  node.dataset.user = author.username;
  if (post.type?.startsWith("system_") && !isEphemeral) {
    node.classList.add("system");
    node.textContent = post.message;
    return node;
  }
  node.classList.toggle("ephemeral", isEphemeral);
  node.classList.toggle("follows", follows);
  const body = element("div", { className: "body" });
  body.innerHTML = markdown(post.message || "");
  const main = element("div", { className: "main" }, meta(post, author), body);
  for (const data of post.props?.attachments || []) main.append(attachment(post, data, on));
  for (const file of post.metadata?.files || []) {
    main.append(element("button", { className: "file", type: "button", textContent: `\u{1F4CE} ${file.name}`, onclick: () => on.download(file) }));
  }
  const reactions = post.metadata?.reactions || [];
  if (reactions.length) {
    main.append(element("div", { className: "reactions" }, ...reactions.map((reaction) => element("span", { textContent: `:${reaction.emoji_name}:` }))));
  }
  if (!inThread && replies) {
    const count = element("b", { textContent: `${replies} ${replies === 1 ? "reply" : "replies"}` });
    main.append(element("button", { className: "replies", type: "button", onclick: () => on.thread(post) }, count, element("span", { textContent: last })));
  }
  node.append(avatar(author.username, author.is_bot), main);
  if (!isEphemeral) node.append(tools(post, inThread, on));
  return node;
}
