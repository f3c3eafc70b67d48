// The shop, the inventory and the inbox. Everything shown that came from elsewhere goes in as text, never as markup;
// a mail's markup goes into a sandboxed frame where no script runs.

// `quantity` is the shop's opening stock: what is shown until the API knows of a first stock update.
const PRODUCTS = [
  { id: "iphone15", name: "iPhone 15", price: "€899", blurb: "128 GB, midnight.", quantity: 0 },
  { id: "moka-pot", name: "Moka pot", price: "€34", blurb: "Six cups, on any stove.", quantity: 12 },
  { id: "rangefinder", name: "Rangefinder camera", price: "€640", blurb: "35 mm film, all manual.", quantity: 0 },
  { id: "arc-lamp", name: "Arc lamp", price: "€129", blurb: "Bends where you read.", quantity: 4 },
  { id: "headphones", name: "Headphones", price: "€219", blurb: "Over the ear, thirty hours.", quantity: 0 },
  { id: "city-bike", name: "City bike", price: "€780", blurb: "Seven gears, dynamo light.", quantity: 2 },
];
const QUANTITY_WHEN_BACK = 10;
const SHOWN_MAILS = 100;
const POLL_MS = 2000;
const ANNOUNCE_MS = 800;
const SAID_MS = 5000;

const byId = (id) => document.getElementById(id);
const announcer = byId("announcer");
const announce = (text) => { announcer.textContent = text; };

// ---- The API

/** The answer as {ok, body}; a problem document (RFC 9457) or a failure to reach the API as {ok: false, problem}. */
async function call(method, path, body, cache = "default") {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: body ? { "content-type": "application/json" } : {},
      body: body && JSON.stringify(body),
      cache,
    });
  } catch {
    return { ok: false, problem: { title: "The API does not answer. Is notify-me still running?" } };
  }
  let content = {};
  try { content = await response.json(); } catch { /* an empty or foreign body is judged by its status */ }
  if (response.ok) return { ok: true, body: content };
  return { ok: false, problem: { title: `The API answered ${response.status}.`, ...content } };
}

function problemText(problem) {
  const accepted = Array.isArray(problem.accepted) ? problem.accepted.join(", ") : problem.accepted;
  const text = problem.detail || problem.title;
  return accepted ? `${text} Accepted: ${accepted}` : text;
}

// ---- Stock and subscriptions, as the API has them, whichever client changed them.

const known = new Map(PRODUCTS.map(({ id, quantity }) => [id, { quantity, waiting: 0, precision: "exact" }]));
/** What was just said to the API, which takes a moment to read it from Kafka: shown meanwhile. */
const said = new Map();

const inStock = ({ quantity }) => quantity !== 0;

async function look(product) {
  // Fresh, though it may be cached: this page is where its stock is changed.
  const answer = await call("GET", `/products/${encodeURIComponent(product.id)}`, undefined, "no-store");
  if (!answer.ok) return;
  const { inStock: available, quantity, waiting, precision } = answer.body;
  // Not in stock and without a quantity: no stock update was read yet. In stock without one: some.
  const stock = quantity ?? (available ? null : product.quantity);
  const own = said.get(product.id);
  if (own && own.quantity !== stock && Date.now() < own.until) return showKnown(product, own.quantity, waiting, precision);
  said.delete(product.id);
  showKnown(product, stock, waiting, precision);
}

/** Shows what is new of it, and leaves the rest of the page alone. */
function showKnown(product, quantity, waiting, precision) {
  const before = known.get(product.id);
  known.set(product.id, { quantity, waiting, precision });
  if (before.quantity !== quantity) {
    showRow(product);
    showStock(product);
  } else if (before.waiting !== waiting || before.precision !== precision) {
    showAvailability(product);
  }
}

const lookAtAll = () => Promise.all(PRODUCTS.flatMap((product) => [look(product), lookAhead(product)]));

async function keepLooking() {
  if (!document.hidden) await lookAtAll();
  setTimeout(keepLooking, POLL_MS);
}

// ---- Shop

const cards = new Map();

function addProduct(product) {
  const card = byId("product-template").content.firstElementChild.cloneNode(true);
  card.id = `product-${product.id}`;
  card.querySelector("img").src = pictureOf(product);
  card.querySelector("h2").textContent = product.name;
  card.querySelector("h2").id = `${card.id}-title`;
  card.setAttribute("aria-labelledby", `${card.id}-title`);
  card.querySelector(".price").textContent = product.price;
  card.querySelector(".blurb").textContent = product.blurb;
  card.querySelector(".product-name").textContent = ` when ${product.name} is back`;
  for (const label of card.querySelectorAll("label")) {
    label.htmlFor = `${card.id}-${label.dataset.for}`;
    // Six forms have an "Email": out of its card, a label must still say whose.
    label.append(hiddenText(` for ${product.name}`));
    const input = card.querySelector(`[name="${label.dataset.for}"]`);
    const problem = card.querySelector(`.problem[data-field="${label.dataset.for}"]`);
    input.id = label.htmlFor;
    problem.id = `${input.id}-problem`;
  }
  card.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    subscribe(product, card);
  });
  byId("products").append(card);
  cards.set(product.id, card);
}

function hiddenText(text) {
  const span = document.createElement("span");
  span.className = "visually-hidden";
  span.textContent = text;
  return span;
}

const pictureOf = (product) => `/page/pictures/${product.id}.svg`;

function showStock(product) {
  const card = cards.get(product.id);
  const available = inStock(known.get(product.id));
  card.classList.toggle("sold-out", !available);
  card.querySelector("form").hidden = available;
  if (available) card.querySelector(".status").textContent = "";
  showAvailability(product);
}

function showAvailability(product) {
  const { quantity, waiting, precision } = known.get(product.id);
  const place = cards.get(product.id).querySelector(".availability");
  if (quantity !== 0) {
    place.textContent = quantity === null ? "In stock" : `In stock, ${quantity} left`;
    return;
  }
  if (!(waiting > 0)) return place.replaceChildren("Sold out");
  const note = document.createElement("span");
  note.textContent = ` · ${precision === "atLeast" ? "at least " : ""}${waiting} waiting`;
  place.replaceChildren("Sold out", note);
}

function clearProblems(card) {
  for (const problem of card.querySelectorAll(".problem")) problem.hidden = true;
  for (const input of card.querySelectorAll("[aria-describedby]")) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
}

function showProblem(card, problem) {
  const field = card.querySelector(`[name="${CSS.escape(problem.field || "")}"]`);
  const place = card.querySelector(`.problem[data-field="${field ? field.name : ""}"]`);
  place.textContent = problemText(problem);
  place.hidden = false;
  if (field) {
    field.closest("details")?.setAttribute("open", "");
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", place.id);
    // Reading the field out reads the problem out with it.
    field.focus();
  } else {
    announce(place.textContent);
  }
}

/** An optional field that the API took as absent. */
function showIgnored(card, { field, problem, accepted }) {
  const place = card.querySelector(`.problem[data-field="${CSS.escape(field)}"]`);
  if (!place) return;
  place.textContent = `Left out, because it ${problem}. Accepted: ${accepted}`;
  place.hidden = false;
  place.closest("details")?.setAttribute("open", "");
  card.querySelector(`[name="${CSS.escape(field)}"]`)?.setAttribute("aria-describedby", place.id);
}

async function subscribe(product, card) {
  const button = card.querySelector("button");
  if (button.ariaDisabled === "true") return;
  const form = new FormData(card.querySelector("form"));
  const wish = { email: form.get("email"), locale: form.get("locale") };
  if (form.get("name")) wish.name = form.get("name");
  clearProblems(card);
  const status = card.querySelector(".status");
  status.textContent = "";
  button.ariaDisabled = "true";
  const answer = await call("POST", `/products/${encodeURIComponent(product.id)}/subscriptions`, wish);
  button.ariaDisabled = "false";
  if (!answer.ok) return showProblem(card, answer.problem);
  status.textContent = answer.body.message
    || (answer.body.status === "accepted" && "Check your inbox: if there is something left to do, an email says what.")
    || (answer.body.inStock ? `${product.name} is in stock right now.` : "You are on the list. We will email you once.");
  for (const ignored of answer.body.ignored || []) showIgnored(card, ignored);
  look(product);
}

// ---- Inventory

const rows = new Map();

function addRow(product) {
  const row = byId("stock-template").content.firstElementChild.cloneNode(true);
  const input = row.querySelector("input");
  const toggle = row.querySelector("button");
  const problem = row.querySelector(".problem");
  row.querySelector(".name").textContent = product.name;
  row.querySelector("label span").textContent = `Quantity of ${product.name}`;
  problem.id = `stock-${product.id}-problem`;
  toggle.setAttribute("aria-label", `${product.name} in stock`);
  toggle.addEventListener("click", () => {
    const wanted = inStock(known.get(product.id)) ? 0 : Number(input.value) || QUANTITY_WHEN_BACK;
    setStock(product, wanted);
  });
  input.addEventListener("change", () => {
    // While sold out, the number is what the switch will bring back.
    if (inStock(known.get(product.id))) setStock(product, input.valueAsNumber);
  });
  const release = row.querySelector(".release");
  release.append(hiddenText(` ${product.name} to its subscribers`));
  release.addEventListener("click", () => releaseRestock(product));
  byId("stock").append(row);
  rows.set(product.id, row);
}

function showRow(product) {
  const { quantity } = known.get(product.id);
  const row = rows.get(product.id);
  const available = quantity !== 0;
  const input = row.querySelector("input");
  // Not while the shopper uses it.
  if (document.activeElement !== input) input.value = available ? quantity ?? "" : QUANTITY_WHEN_BACK;
  row.querySelector("button").setAttribute("aria-checked", String(available));
  row.querySelector(".state").textContent = available ? "In stock" : "Sold out";
}

// ---- What the rules of stock have in store

const comings = new Map();

/** A field of the rules as words; one without words of its own is named. */
const RULES = {
  minStock: (n) => `from ${n} in stock`,
  reserve: (n) => `${n} kept back`,
  perUnit: (n) => `${n} told per unit`,
  waveSize: (n) => `waves of ${n}`,
  waveEvery: (n) => `every ${n} s`,
  settle: (n) => `after ${n} s in stock`,
  window: ({ from, to, zone }) => `from ${from} to ${to} ${zone}`,
  release: (who) => (who === "manual" ? "released by hand" : "released by itself"),
};

const rulesText = (rules) => Object.entries(rules)
  .map(([name, value]) => (RULES[name] ? RULES[name](value) : `${name} ${value}`)).join(", ");

function nextText({ held, next }) {
  if (held === "release") return "Held until it is released";
  if (held === "plan") return `Begins ${clock(next.at)}`;
  if (next?.what === "wave") return `Next wave ${clock(next.at)}`;
  if (next?.what === "lanes") return `The others ${clock(next.at)}`;
  return next?.what === "end" ? "Subscribers are being told" : "";
}

async function lookAhead(product) {
  const answer = await call("GET", `/page/products/${encodeURIComponent(product.id)}`, undefined, "no-store");
  if (answer.ok) showComing(product, answer.body);
}

/** The rules in force, the wave and what comes next; nothing where no rules are. */
function showComing(product, coming) {
  const before = comings.get(product.id);
  comings.set(product.id, coming);
  if (JSON.stringify(before) === JSON.stringify(coming)) return;
  const row = rows.get(product.id);
  const { rules, held, wave } = coming;
  const parts = rules || wave ? [rules && `Rules: ${rulesText(rules)}`, wave && `Wave ${wave.number}`, nextText(coming)] : [];
  const place = row.querySelector(".coming");
  place.textContent = parts.filter(Boolean).join(" · ");
  place.hidden = place.textContent === "";
  const release = row.querySelector(".release");
  // A button that goes while it has the focus would leave a keyboard nowhere.
  if (held !== "release" && document.activeElement === release) row.querySelector("[role=switch]").focus();
  release.hidden = held !== "release";
}

async function releaseRestock(product) {
  const place = rows.get(product.id).querySelector(".problem");
  place.hidden = true;
  const { restockId } = comings.get(product.id);
  const answer = await call("POST", `/restocks/${encodeURIComponent(restockId)}/release`);
  if (answer.ok) {
    byId("stock-status").textContent = `${product.name}: released. The next sweep tells its subscribers.`;
  } else {
    place.textContent = problemText(answer.problem);
    place.hidden = false;
    announce(place.textContent);
  }
  await lookAhead(product);
}

async function setStock(product, quantity) {
  const row = rows.get(product.id);
  const input = row.querySelector("input");
  const place = row.querySelector(".problem");
  const status = byId("stock-status");
  place.hidden = true;
  input.removeAttribute("aria-invalid");
  input.removeAttribute("aria-describedby");
  const { name, price } = product;
  const url = `${location.origin}/#product-${product.id}`;
  const imageUrl = location.origin + pictureOf(product);
  const answer = await call("PUT", `/products/${encodeURIComponent(product.id)}/stock`, {
    quantity: Number.isNaN(quantity) ? null : quantity,
    product: { name, url, imageUrl, price },
  });
  if (!answer.ok) {
    place.textContent = problemText(answer.problem);
    place.hidden = false;
    input.setAttribute("aria-describedby", place.id);
    if (answer.problem.field === "quantity") {
      input.setAttribute("aria-invalid", "true");
      input.focus();
    } else {
      announce(place.textContent);
    }
    return;
  }
  said.set(product.id, { quantity, until: Date.now() + SAID_MS });
  const { waiting, precision } = known.get(product.id);
  showKnown(product, quantity, waiting, precision);
  const { partition, offset } = answer.body;
  const where = partition === undefined ? "" : ` Written to partition ${partition} at offset ${offset}.`;
  status.textContent = quantity > 0
    ? `${name}: ${quantity} in stock.${where}`
    : `${name}: sold out.${where}`;
}

// ---- Inbox

const shown = new Map(); // id → list item, newest first in the page
let arrived = [];
let unannounced = 0;
let frame = 0;
let lastTold = null;

function clock(timestamp) {
  return new Date(timestamp).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

const summary = (mail) => ({
  id: mail.Id,
  to: [...(mail.Destination.ToAddresses || []), ...(mail.Destination.CcAddresses || []), ...(mail.Destination.BccAddresses || [])],
  subject: mail.Subject,
  timestamp: mail.Timestamp,
  simulated: mail.simulated,
  failed: mail.RenderingFailure !== undefined,
  became: mail.became,
});

function addMails(mails, isNew) {
  arrived.push(...mails.map((mail) => ({ ...mail, isNew })));
  // A fan-out brings thousands: they are put in the page once a frame.
  frame ||= requestAnimationFrame(showArrived);
}

function showArrived() {
  frame = 0;
  const list = byId("mails");
  const fresh = arrived.filter((mail) => !shown.has(mail.id)).sort((one, other) => (one.id < other.id ? -1 : 1));
  arrived = [];
  const added = fresh.filter((mail) => mail.isNew).length;
  for (const mail of fresh.slice(-SHOWN_MAILS)) {
    if (shown.has(mail.id)) continue;
    const item = mailItem(mail);
    const before = [...list.children].find((other) => other.dataset.id < mail.id) || null;
    list.insertBefore(item, before);
    shown.set(mail.id, item);
  }
  while (list.children.length > SHOWN_MAILS && !list.lastElementChild.contains(document.activeElement)) {
    shown.delete(list.lastElementChild.dataset.id);
    list.lastElementChild.remove();
  }
  byId("inbox-empty").hidden = shown.size > 0;
  if (added > 0) {
    announceMails(added, fresh[fresh.length - 1]);
    lookAtAll();
  }
}

// What became of an email, in words; nothing is said of one that arrived.
const BECAME = {
  bounced: "Bounced.",
  bouncedForNow: "Bounced for now.",
  onSuppressionList: "Not sent: the address is on SES's suppression list.",
  complained: "Reported as spam.",
  notSpam: "Taken out of the spam folder.",
  rejected: "Not sent: SES rejected the content.",
  delayed: "Delayed.",
};

function mailItem(mail) {
  const item = document.createElement("li");
  item.dataset.id = mail.id;
  item.classList.toggle("new", mail.isNew);
  const button = document.createElement("button");
  button.type = "button";
  const part = (kind, text) => {
    const span = document.createElement("span");
    span.className = kind;
    span.textContent = text;
    button.append(span, " ");
  };
  part("to", mail.to.join(", "));
  part("when", clock(mail.timestamp));
  part("subject", mail.failed ? "(could not be rendered)" : mail.subject || "(no subject)");
  if (mail.failed) part("flag", "SES would have accepted this email and never delivered it.");
  if (mail.simulated) part("flag", `Simulates: ${mail.simulated}`);
  if (BECAME[mail.became]) part("flag", BECAME[mail.became]);
  button.addEventListener("click", () => openMail(mail.id));
  item.append(button);
  return item;
}

function announceMails(count, newest) {
  unannounced += count;
  clearTimeout(lastTold);
  lastTold = setTimeout(() => {
    announce(unannounced === 1 ? `New email to ${newest.to.join(", ")}: ${newest.subject}` : `${unannounced} new emails`);
    unannounced = 0;
  }, ANNOUNCE_MS);
}

let loaded = false;

async function loadMails() {
  const answer = await call("GET", `/_aws/ses?last=${SHOWN_MAILS}`);
  if (!answer.ok) return false;
  addMails(answer.body.messages.map(summary), loaded);
  loaded = true;
  return true;
}

function connection(state, text) {
  const place = byId("connection");
  if (place.dataset.state === state) return;
  place.dataset.state = state;
  place.textContent = text;
}

let polling = 0;

function poll() {
  if (polling) return;
  const once = async () => {
    const reached = await loadMails();
    if (!polling) return;
    connection(reached ? "polling" : "away", reached ? "looking every 2 s" : "not reachable");
    polling = setTimeout(once, POLL_MS);
  };
  polling = setTimeout(once, 0);
}

function listen() {
  if (!window.EventSource) return poll();
  const events = new EventSource("/_aws/ses/events");
  events.addEventListener("open", () => {
    clearTimeout(polling);
    polling = 0;
    connection("live", "live");
    // What came before the stream was open.
    loadMails();
  });
  events.addEventListener("mail", (event) => addMails([JSON.parse(event.data)], true));
  events.addEventListener("resync", loadMails);
  events.addEventListener("error", () => {
    poll();
    // Refused rather than broken: the browser will not try again by itself.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 5 * POLL_MS);
  });
}

// ---- One mail

async function openMail(id) {
  const answer = await call("GET", `/_aws/ses?id=${encodeURIComponent(id)}`);
  const mail = answer.ok && answer.body.messages[0];
  if (!mail) return announce("This email is no longer in the inbox.");
  const { html_part: html, text_part: text } = mail.Body;
  byId("mail-subject").textContent = mail.Subject || "(no subject)";
  byId("mail-to").textContent = summary(mail).to.join(", ");
  byId("mail-from").textContent = mail.Source;
  byId("mail-time").textContent = new Date(mail.Timestamp).toLocaleString();
  byId("mail-time").dateTime = mail.Timestamp;
  const note = byId("mail-note");
  note.hidden = mail.RenderingFailure === undefined;
  note.textContent = note.hidden ? "" : `Accepted by SES, but never delivered: ${mail.RenderingFailure}`;
  // Links of a mail open beside the page, not in the frame.
  byId("mail-html").srcdoc = `<!doctype html><base target="_blank">${html ?? ""}`;
  byId("mail-text").textContent = text ?? mail.RawData ?? "";
  const headers = byId("mail-headers");
  headers.replaceChildren();
  const rowsOf = (label, pairs) => pairs.map(({ Name, Value }) => [label + Name, Value]);
  const all = [...rowsOf("", mail.Headers), ...rowsOf("Tag ", mail.Tags), ["Message-ID", mail.Id]];
  if (mail.ConfigurationSet) all.push(["Configuration set", mail.ConfigurationSet]);
  for (const [name, value] of all) {
    const row = document.createElement("div");
    const [term, detail] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    detail.textContent = value;
    row.append(term, detail);
    headers.append(row);
  }
  show(html === null ? "text" : "html");
  byId("mail").showModal();
}

function show(view) {
  for (const button of document.querySelectorAll("[data-view]")) {
    button.setAttribute("aria-pressed", String(button.dataset.view === view));
  }
  byId("mail-html").hidden = view !== "html";
  byId("mail-text").hidden = view !== "text";
  byId("mail-headers").hidden = view !== "headers";
}

// ---- Start

for (const product of PRODUCTS) {
  addProduct(product);
  addRow(product);
  showRow(product);
  showStock(product);
}
await lookAtAll();
byId("origin").textContent = location.origin;
byId("mail-close").addEventListener("click", () => byId("mail").close());
for (const button of document.querySelectorAll("[data-view]")) {
  button.addEventListener("click", () => show(button.dataset.view));
}
listen();
setTimeout(keepLooking, POLL_MS);
// The link of a mail points at a product; it was not there yet when the browser looked.
const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
if (target) {
  location.replace(location.hash);
  target.focus();
}
