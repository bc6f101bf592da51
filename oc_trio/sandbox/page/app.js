// The page's state and what happens to it: one channel, at most one thread, everything else on demand.

import { Api } from "./api.js";
import { avatar, renderPost } from "./render.js";

const $ = (id) => document.getElementById(id);
const api = new Api();
const state = { me: null, channels: [], channel: null, thread: null, posts: new Map(), users: new Map([["", { username: "system" }]]), unread: new Set(), typing: new Map() };

async function learnUsers(ids) {
  const missing = [...new Set(ids)].filter((id) => id && !state.users.has(id));
  if (!missing.length) return;
  for (const user of await api.post("/users/ids", missing)) state.users.set(user.id, user);
}

function title(channel) {
  if (channel.type !== "D") return channel.type === "G" ? channel.display_name : `# ${channel.display_name || channel.name}`;
  const other = channel.name.split("__").find((id) => id !== state.me.id) || state.me.id;
  return `@${state.users.get(other)?.username || other}`;
}

function drawSidebar() {
  for (const [list, isDirect] of [[$("channels"), false], [$("directs"), true]]) {
    const rows = state.channels.filter((channel) => "DG".includes(channel.type) === isDirect).map((channel) => {
      const button = Object.assign(document.createElement("button"), { textContent: title(channel), onclick: () => openChannel(channel) });
      button.ariaCurrent = channel.id === state.channel?.id;
      button.classList.toggle("unread", state.unread.has(channel.id));
      const row = document.createElement("li");
      row.append(button);
      return row;
    });
    list.replaceChildren(...rows);
  }
}

const handlers = {
  mine: (post) => post.user_id === state.me.id && post.type !== "system_ephemeral",
  thread: (post) => openThread(post.root_id || post.id),
  remove: (post) => api.delete(`/posts/${post.id}`).catch(complain),
  press: (post, action, selected) => api.post(`/posts/${post.id}/actions/${action.id}`, { selected_option: selected || "", cookie: action.cookie || "" }).catch(complain),
  download: async (file) => {
    const response = await fetch(`/api/v4/files/${file.id}`, { headers: { Authorization: `Bearer ${api.token}` } });
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(await response.blob()), download: file.name });
    link.click();
    URL.revokeObjectURL(link.href);
  },
};

function complain(error) {
  const now = Date.now();
  keep({ id: `local${now}`, channel_id: state.channel?.id, user_id: "", type: "system_ephemeral", create_at: now, message: error.message, root_id: state.thread || "" });
}

const NEAR = 5 * 60 * 1000; // posts of one author within this time share a head

// A post that has not changed keeps its element, and with it the reader's selection and focus.
function drawList(list, posts, inThread) {
  const stick = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  const old = new Map([...list.children].map((node) => [node.dataset.id, node]));
  const replies = new Map();
  if (!inThread) {
    for (const post of state.posts.values()) if (post.root_id) replies.set(post.root_id, [...(replies.get(post.root_id) || []), post]);
  }
  let before = null;
  const nodes = posts.sort(inOrder).map((post) => {
    const answers = (replies.get(post.id) || []).sort(inOrder);
    const newest = answers.at(-1);
    const last = newest ? `${state.users.get(newest.user_id)?.username || ""}: ${newest.message.replace(/\s+/g, " ").slice(0, 120)}` : "";
    const count = Math.max(answers.length, post.reply_count || 0);
    const follows = Boolean(before) && before.user_id === post.user_id && !before.type && !post.type && post.create_at - before.create_at < NEAR;
    const key = JSON.stringify([post, last, count, follows, state.users.has(post.user_id)]);
    before = post;
    const kept = old.get(post.id);
    if (kept?.key === key) return kept;
    const node = renderPost(post, { users: state.users, replies: count, last, inThread, follows, on: handlers });
    node.key = key;
    return node;
  });
  if (nodes.length !== list.children.length || nodes.some((node, at) => node !== list.children[at])) list.replaceChildren(...nodes);
  if (stick) list.scrollTop = list.scrollHeight;
}

const inOrder = (a, b) => a.create_at - b.create_at;

// Several events of one frame are drawn once.
let drawing = false;
function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    if (!state.channel) return;
    const here = [...state.posts.values()].filter((post) => post.channel_id === state.channel.id);
    drawList($("posts"), here.filter((post) => !post.root_id), false);
    $("thread-pane").hidden = !state.thread;
    if (state.thread) drawList($("replies"), here.filter((post) => (post.root_id || post.id) === state.thread), true);
    drawTyping();
  });
}

function drawTyping() {
  const now = Date.now();
  const names = { "": [], thread: [] };
  for (const [key, { until, user, channel, parent }] of state.typing) {
    if (until < now) state.typing.delete(key);
    else if (channel === state.channel?.id) names[parent && parent === state.thread ? "thread" : ""].push(state.users.get(user)?.username || "someone");
  }
  const line = (list) => (list.length ? `${list.join(", ")} ${list.length > 1 ? "are" : "is"} typing…` : "");
  $("typing").textContent = line(names[""]);
  $("thread-typing").textContent = line(names.thread);
}

function keep(post) { state.posts.set(post.id, post); draw(); }

async function load(path) {
  const page = await api.get(path);
  const posts = Object.values(page.posts);
  await learnUsers(posts.map((post) => post.user_id));
  for (const post of posts) state.posts.set(post.id, post);
}

async function openChannel(channel) {
  state.channel = channel;
  state.thread = null;
  state.unread.delete(channel.id);
  $("channel-title").textContent = title(channel);
  drawSidebar();
  await load(`/channels/${channel.id}/posts?per_page=100`);
  draw();
  $("posts").scrollTop = $("posts").scrollHeight;
  $("channel-composer").message.focus();
}

async function openThread(rootId) {
  state.thread = rootId;
  await load(`/posts/${rootId}/thread`);
  draw();
  $("thread-composer").message.focus();
}

async function loadChannels() {
  const team = (await api.get("/users/me/teams"))[0];
  state.team = team;
  state.channels = team ? await api.get(`/users/me/teams/${team.id}/channels`) : [];
  const people = (await api.get(`/users?in_team=${team.id}&per_page=50`).catch(() => [])) || [];
  for (const user of people) state.users.set(user.id, user);
  for (const bot of people.filter((user) => user.is_bot && user.id !== state.me.id)) {
    const direct = await api.post("/channels/direct", [state.me.id, bot.id]);
    if (!state.channels.some((channel) => channel.id === direct.id)) state.channels.push(direct);
  }
  await learnUsers(state.channels.filter((channel) => channel.type === "D").flatMap((channel) => channel.name.split("__")));
  state.channels = state.channels.filter((channel) => channel.delete_at === 0);
}

async function onEvent(frame) {
  const data = frame.data;
  switch (frame.event) {
    case "posted": case "post_edited": case "ephemeral_message": {
      const post = JSON.parse(data.post);
      await learnUsers([post.user_id]);
      for (const [key, typing] of state.typing) if (typing.user === post.user_id) state.typing.delete(key);
      if (post.channel_id !== state.channel?.id && frame.event === "posted") { state.unread.add(post.channel_id); drawSidebar(); }
      keep({ ...state.posts.get(post.id), ...post });
      break;
    }
    case "post_deleted": {
      const gone = JSON.parse(data.post).id;
      for (const post of [...state.posts.values()]) if (post.id === gone || post.root_id === gone) state.posts.delete(post.id);
      if (state.thread === gone) state.thread = null;
      draw();
      break;
    }
    case "reaction_added": case "reaction_removed": {
      const reaction = JSON.parse(data.reaction);
      const post = state.posts.get(reaction.post_id);
      if (!post) break;
      const others = (post.metadata?.reactions || []).filter((other) => other.user_id !== reaction.user_id || other.emoji_name !== reaction.emoji_name);
      keep({ ...post, metadata: { ...post.metadata, reactions: frame.event === "reaction_added" ? [...others, reaction] : others } });
      break;
    }
    case "typing":
      await learnUsers([data.user_id]);
      state.typing.set(data.user_id + data.parent_id, { until: Date.now() + 5000, user: data.user_id, channel: frame.broadcast.channel_id, parent: data.parent_id });
      drawTyping();
      setTimeout(drawTyping, 5100);
      break;
    case "open_dialog": openDialog(JSON.parse(data.dialog)); break;
    case "direct_added": case "group_added": case "channel_created": case "user_added": case "user_removed":
      await loadChannels(); drawSidebar(); break;
  }
}

function openDialog({ dialog, url, dialog: { callback_id, state: dialogState } }) {
  const form = $("dialog-form");
  const fields = (dialog.elements || []).map((field) => {
    const tag = field.type === "select" ? "select" : field.type === "textarea" ? "textarea" : "input";
    const input = Object.assign(document.createElement(tag), { name: field.name, required: !field.optional });
    for (const option of field.options || []) input.append(Object.assign(document.createElement("option"), { value: option.value, textContent: option.text }));
    input.value = field.default || input.value;
    const label = document.createElement("label");
    label.append(field.display_name, input);
    return label;
  });
  const heading = Object.assign(document.createElement("h1"), { textContent: dialog.title });
  const buttons = ["submit", "cancel"].map((value) => Object.assign(document.createElement("button"), { value, className: value === "submit" ? "button primary" : "button", formNoValidate: value === "cancel", textContent: value === "cancel" ? "Cancel" : dialog.submit_label || "Submit" }));
  form.replaceChildren(heading, ...fields, ...buttons);
  $("dialog").onclose = () => {
    const cancelled = $("dialog").returnValue !== "submit";
    const submission = cancelled ? {} : Object.fromEntries(new FormData(form));
    api.post("/actions/dialogs/submit", { url, callback_id, state: dialogState, channel_id: state.channel.id, team_id: state.team?.id || "", submission, cancelled }).catch(complain);
  };
  $("dialog").showModal();
}

async function send(form, rootId) {
  const message = form.message.value;
  const files = form.files ? [...form.files.files] : [];
  if (!message.trim() && !files.length) return;
  form.reset();
  try {
    if (message.startsWith("/")) {
      await api.post("/commands/execute", { channel_id: state.channel.id, team_id: state.team?.id || "", command: message, root_id: rootId });
      return;
    }
    let file_ids = [];
    if (files.length) {
      const body = new FormData();
      body.append("channel_id", state.channel.id);
      for (const file of files) body.append("files", file);
      file_ids = (await api.post("/files", body)).file_infos.map((info) => info.id);
    }
    keep(await api.post("/posts", { channel_id: state.channel.id, root_id: rootId, message, file_ids }));
  } catch (error) { form.message.value = message; complain(error); }
}

function composer(id, root) {
  const form = $(id);
  form.onsubmit = (event) => { event.preventDefault(); send(form, root()); };
  form.message.onkeydown = (event) => { if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); } };
}

async function start() {
  state.me = await api.get("/users/me");
  state.users.set(state.me.id, state.me);
  $("login").hidden = true;
  $("chat").hidden = false;
  $("me").textContent = state.me.username;
  await loadChannels();
  const wanted = state.channels.find((channel) => channel.name === "town-square") || state.channels[0];
  if (wanted) await openChannel(wanted);
  api.listen((frame) => onEvent(frame).catch(console.error), (live) => {
    $("connection").classList.toggle("live", live);
    $("connection").title = live ? "connected" : "not connected";
    if (live && state.channel) load(`/channels/${state.channel.id}/posts?per_page=100`).then(draw);
  });
}

async function login(user, password) {
  $("login-error").textContent = "";
  try { await api.login(user, password); await start(); } catch (error) { $("login-error").textContent = error.message; }
}

for (const button of document.querySelectorAll("[data-user]")) {
  button.prepend(avatar(button.dataset.user));
  button.onclick = () => login(button.dataset.user, "Passw0rd!x");
}
$("login-form").onsubmit = (event) => { event.preventDefault(); login(event.target.user.value, event.target.password.value); };
$("logout").onclick = () => { api.logout(); location.reload(); };
$("close-thread").onclick = () => { state.thread = null; draw(); };
const attach = $("channel-composer").files;
const showFiles = () => { attach.nextElementSibling.textContent = [...attach.files].map((file) => file.name).join(", ") || "Attach files"; };
attach.onchange = showFiles;
$("channel-composer").onreset = () => setTimeout(showFiles);
composer("channel-composer", () => "");
composer("thread-composer", () => state.thread || "");
if (api.token) start().catch(() => api.logout());
