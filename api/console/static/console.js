// Live updates and the keyboard. Without this script every page works all the same.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

/* Time: the server's clock, because the reader's may be wrong. */

const skew = Date.parse(document.body.dataset.now) - Date.now();
const now = () => Date.now() + skew;
const UNITS = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];

function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const place = UNITS.findIndex(([size]) => whole >= size);
  if (place < 0) return "0s";
  const [size, unit] = UNITS[place];
  const rest = whole % size;
  const next = UNITS[place + 1];
  const finer = next && whole < 10 * size ? Math.floor(rest / next[0]) : 0;
  return `${Math.floor(whole / size)}${unit}${finer ? ` ${finer}${next[1]}` : ""}`;
}

function tell(time) {
  const seconds = (Date.parse(time.dateTime) - now()) / 1000;
  if (Number.isNaN(seconds)) return;
  const text = "until" in time.dataset
    ? (seconds > 0 ? `in ${span(seconds)}` : "due")
    : `${span(-seconds)} ago`;
  if (time.textContent !== text) time.textContent = text;
}

const tellAll = (root = document) => all("time[data-age], time[data-until]", root).forEach(tell);
tellAll();
setInterval(() => { tellAll(); settle(); }, 1000);

/* Patches: an element is replaced by the one that the server rendered, if it differs. */

const postponed = new Map();

function build(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content.firstElementChild;
}

// What somebody is using is left alone until they are done with it.
function inUse(element) {
  const field = document.activeElement;
  if (element.contains(field) && field.matches("input, select, textarea")) return true;
  const selection = getSelection();
  return !selection.isCollapsed && element.contains(selection.anchorNode);
}

function pathOf(link) {
  return link && link.matches("a[href], summary, button") ? link.getAttribute("href") || link.textContent : null;
}

function replace(old, fresh) {
  const focused = old.contains(document.activeElement) ? pathOf(document.activeElement) : null;
  for (const details of all("details[id]", fresh)) {
    const before = document.getElementById(details.id);
    if (before && old.contains(before)) details.open = before.open;
  }
  tellAll(fresh);
  fresh.classList.add("changed");
  old.replaceWith(fresh);
  if (focused !== null) {
    const again = all("a[href], summary, button", fresh).find((each) => pathOf(each) === focused);
    if (again) again.focus({ preventScroll: true });
  }
}

function apply(id, html) {
  const old = document.getElementById(id);
  if (!old) return null;
  const fresh = build(html);
  if (!fresh || old.dataset.digest === fresh.dataset.digest) return null;
  if (inUse(old)) {
    postponed.set(id, html);
    return null;
  }
  postponed.delete(id);
  replace(old, fresh);
  return fresh;
}

function settle() {
  for (const [id, html] of [...postponed]) {
    const old = document.getElementById(id);
    if (!old) postponed.delete(id);
    else if (!inUse(old)) apply(id, html);
  }
}

function arrange(listId, ids, regions) {
  const list = document.getElementById(listId);
  if (!list) return;
  const wanted = new Set(ids);
  const active = document.activeElement;
  for (const child of [...list.children]) if (!wanted.has(child.id)) child.remove();
  let place = list.firstElementChild;
  for (const id of ids) {
    let element = document.getElementById(id);
    if (!element && regions[id]) {
      element = build(regions[id]);
      tellAll(element);
      element.classList.add("changed");
    }
    if (!element) continue;
    if (element === place) place = place.nextElementSibling;
    else list.insertBefore(element, place);
  }
  // Moving an element takes the focus from it.
  if (active && active !== document.activeElement && list.contains(active)) active.focus({ preventScroll: true });
}

let announced = 0;

function announce(changed, rows) {
  const headline = changed.map((each) => each.dataset.announce).find(Boolean);
  const text = headline || (rows ? `${rows} ${rows === 1 ? "row" : "rows"} changed` : "");
  if (!text || now() - announced < 5000) return;
  announced = now();
  $("#announce").textContent = text;
}

function patch({ regions, lists }) {
  const changed = Object.entries(regions).map(([id, html]) => apply(id, html)).filter(Boolean);
  for (const [id, ids] of Object.entries(lists)) arrange(id, ids, regions);
  announce(changed, changed.filter((each) => each.matches("tr")).length);
}

/* The stream: closed while nobody looks, resumed where it was. */

const live = $("#live");
let source = null;
let seen = null;
let over = false;

function say(state, text) {
  if (!live) return;
  live.dataset.state = state;
  $("[data-text]", live).textContent = text;
}

function end(text) {
  over = true;
  source.close();
  say("ended", text);
  $("#announce").textContent = text;
}

function listen() {
  const address = document.body.dataset.stream;
  if (!address || over || source || document.hidden) return;
  const url = new URL(address, location.href);
  if (seen) url.searchParams.set("at", seen);
  source = new EventSource(url);
  say("lost", "Connecting");
  source.addEventListener("open", () => say("on", "Live"));
  source.addEventListener("patch", (event) => {
    seen = event.lastEventId;
    patch(JSON.parse(event.data));
  });
  source.addEventListener("end", () => end("Your session has ended: sign in again"));
  source.addEventListener("again", () => say("lost", "The server is starting again"));
  source.addEventListener("error", () => {
    if (over) return;
    say("lost", "Connecting again");
    if (source.readyState !== EventSource.CLOSED) return;
    // Refused, by a proxy or because there are too many: the browser gives up, but we do not.
    source = null;
    setTimeout(listen, 5000);
  });
}

function hush() {
  if (!source || over) return;
  source.close();
  source = null;
  say("off", "Paused");
}

listen();
document.addEventListener("visibilitychange", () => (document.hidden ? hush() : listen()));
addEventListener("pagehide", hush);
addEventListener("pageshow", listen);

/* The keyboard. */

const keys = $("#keys");
const PLACES = { f: "", w: "/workspaces", d: "/devenvs", v: "/vpses", s: "/sessions", m: "/machines", a: "/accounts", r: "/routes", p: "/platforms" };
let going = 0;

const showKeys = () => keys && !keys.open && keys.showModal();
for (const button of all("[data-keys]")) {
  button.hidden = false;
  button.addEventListener("click", showKeys);
}

function step(by) {
  const links = all("[data-rows] a[data-open]");
  if (!links.length) return;
  const row = document.activeElement.closest("[data-rows] > *");
  const place = links.findIndex((link) => row && row.contains(link));
  const next = links[place < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, place + by))];
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

const ACTIONS = {
  "/": () => { const field = $("main [data-search]") || $("[data-search]"); field.focus(); field.select(); },
  "?": showKeys,
  j: () => step(1),
  k: () => step(-1),
  ArrowDown: () => step(1),
  ArrowUp: () => step(-1),
  e: () => { const link = $("a[data-edit]"); if (link) link.click(); },
  g: () => { going = Date.now(); },
};

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const typing = event.target.matches("input, textarea, select");
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    all("details.menu[open]").forEach((menu) => { menu.open = false; });
    return;
  }
  if (typing || (keys && keys.open)) return;
  // Arrows scroll, unless somebody walks through rows already.
  const inRows = document.activeElement.closest("[data-rows]");
  if (event.key.startsWith("Arrow") && !inRows) return;
  if (Date.now() - going < 1500 && event.key in PLACES && $(".kinds")) {
    going = 0;
    event.preventDefault();
    location.assign($(".brand").getAttribute("href") + PLACES[event.key]);
    return;
  }
  const action = ACTIONS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

document.addEventListener("click", (event) => {
  all("details.menu[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
});

/* Forms: filters apply as they are chosen, and typed text is not lost by a slip. */

for (const form of all("form.filters")) {
  form.addEventListener("change", (event) => { if (event.target.matches("select, [type=checkbox]")) form.requestSubmit(); });
  form.addEventListener("submit", () => {
    // Short addresses: what says nothing is left out.
    all("input, select", form).forEach((field) => { if (!field.value || (field.type === "checkbox" && !field.checked)) field.disabled = true; });
  });
}
addEventListener("pageshow", () => all("form.filters :disabled").forEach((field) => { field.disabled = false; }));

for (const field of all("textarea[data-warn]")) {
  let sent = false;
  field.form.addEventListener("submit", () => { sent = true; });
  addEventListener("beforeunload", (event) => { if (!sent && field.value !== field.defaultValue) event.preventDefault(); });
}
