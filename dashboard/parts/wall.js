// Shows pictures, changes only what changed, and opens one large; the markup comes escaped from the server.
export default function (component) {
  const { data, parentElement } = component;
  let root = parentElement.querySelector(":scope > .ew-root");
  if (!root) {
    root = document.createElement("div");
    root.className = "ew-root";
    parentElement.appendChild(root);
    root.addEventListener("click", onClick);
    root.addEventListener("keydown", onKey);
  }
  root.style.setProperty("--ew-page", pageColor());
  renew(root, data);
}

function pageColor() {
  return getComputedStyle(document.querySelector(".stApp")).backgroundColor;
}

// Replace single cells where the shape is the same, so that scroll, focus and drawn images stay.
function renew(root, markup) {
  if (root.ewMarkup === markup) return;
  const fresh = document.createElement("template");
  fresh.innerHTML = markup;
  const keyed = (node) => [...node.querySelectorAll("[data-key]")];
  const before = keyed(root), after = keyed(fresh.content);
  const place = root.querySelector(".ew-grid");
  const scroll = place ? [place.scrollLeft, place.scrollTop] : null;
  const same = before.length > 0 && before.length === after.length &&
    before.every((node, at) => node.dataset.key === after[at].dataset.key);
  if (same && skeleton(root) === skeleton(fresh.content)) {
    before.forEach((node, at) => {
      const now = after[at];
      if (node.outerHTML !== now.outerHTML) node.replaceWith(now);
    });
  } else {
    const kept = new Map(before.map((node) => [node.outerHTML, node]));
    after.forEach((node) => {
      const old = kept.get(node.outerHTML);
      if (old) { kept.delete(node.outerHTML); node.replaceWith(old); }
    });
    root.replaceChildren(fresh.content);
    const now = root.querySelector(".ew-grid");
    if (scroll && now) { now.scrollLeft = scroll[0]; now.scrollTop = scroll[1]; }
  }
  root.ewMarkup = markup;
}

function skeleton(node) {
  const copy = node.cloneNode(true);
  copy.querySelectorAll("[data-key]").forEach((each) => each.replaceWith("*"));
  const box = document.createElement("div");
  box.append(...copy.childNodes);
  return box.innerHTML;
}

function onClick(event) {
  const opener = event.target.closest("[data-open]");
  if (opener) { event.preventDefault(); enlarge(opener); }
}

function onKey(event) {
  const opener = event.target.closest("[data-open]");
  if (!opener) return;
  const next = neighbor(opener, event.key);
  if (next) { event.preventDefault(); next.focus(); next.scrollIntoView({ block: "nearest", inline: "nearest" }); }
}

// The picture beside, above or below: in a grid by row and column, on a wall in order.
function neighbor(opener, key) {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[key];
  if (!step) return null;
  const cell = opener.closest("td");
  if (!cell) {
    const all = [...opener.closest(".ew-root").querySelectorAll("[data-open]")];
    return all[all.indexOf(opener) + step[0] + step[1]] || null;
  }
  const rows = [...cell.closest("tbody").rows];
  let row = rows.indexOf(cell.parentElement), column = cell.cellIndex;
  for (;;) {
    row += step[0]; column += step[1];
    const there = rows[row] && rows[row].cells[column];
    if (!there) return null;
    const found = there.querySelector("[data-open]");
    if (found) return found;
  }
}

function enlarge(opener) {
  let box = document.querySelector("dialog.ew-light");
  if (!box) box = newBox();
  box.ewOpener = opener;
  box.style.setProperty("--ew-page", pageColor());
  box.style.color = getComputedStyle(document.querySelector(".stApp")).color;
  if (!box.open) box.showModal();
  fetchInto(box, opener.dataset.open);
}

function newBox() {
  const box = document.createElement("dialog");
  box.className = "ew-light";
  box.innerHTML = '<nav><span>Arrow keys: other epochs and prompts. Esc closes.</span>' +
    '<button type="button" data-go="ArrowLeft">previous</button>' +
    '<button type="button" data-go="ArrowRight">next</button>' +
    '<button type="button" data-go="close">close</button></nav><div class="ew-inside"></div>';
  const go = (key) => {
    if (key === "close") return box.close();
    const at = document.querySelector(`[data-open="${CSS.escape(box.ewOpener.dataset.open)}"]`) || box.ewOpener;
    const next = neighbor(at, key);
    if (next) enlarge(next);
  };
  box.addEventListener("click", (event) => {
    const button = event.target.closest("[data-go]");
    const wrong = event.target.closest("[data-wrong]");
    if (button) go(button.dataset.go);
    else if (wrong) object(box, wrong);
    else if (event.target === box) box.close();
  });
  box.addEventListener("keydown", (event) => {
    if (event.key.startsWith("Arrow") && event.target.tagName !== "INPUT") { event.preventDefault(); event.stopPropagation(); go(event.key); }
  });
  box.addEventListener("close", () => box.ewOpener && box.ewOpener.isConnected && box.ewOpener.focus());
  document.body.appendChild(box);
  return box;
}

async function fetchInto(box, address) {
  const inside = box.querySelector(".ew-inside");
  try {
    const answer = await fetch(address, { credentials: "same-origin" });
    const words = await answer.text();
    if (box.ewOpener.dataset.open !== address) return;
    if (answer.ok) { inside.innerHTML = words; signObjections(inside); }
    else inside.textContent = words;
  } catch {
    inside.textContent = "The dashboard does not answer.";
  }
}

const NAME = "epochwatch-judge";

function rememberedName() {
  try { return localStorage.getItem(NAME) || ""; } catch { return ""; }
}

// Put this browser's name into the close-up, and press the buttons of what it said before.
function signObjections(inside) {
  const wrong = inside.querySelector(".ew-wrong");
  if (!wrong) return;
  const name = wrong.querySelector("input");
  if (!name.readOnly) name.value = rememberedName() || name.value;
  const press = () => inside.querySelectorAll("[data-wrong]").forEach((button) => {
    const [score, direction] = button.dataset.wrong.split(" ");
    const mine = [...wrong.querySelectorAll("li")].some((line) => line.dataset.judge === name.value.trim() &&
      line.dataset.score === score && line.dataset.direction === direction);
    button.setAttribute("aria-pressed", mine);
  });
  name.addEventListener("change", () => {
    try { localStorage.setItem(NAME, name.value.trim()); } catch { /* a private window keeps no name */ }
    press();
  });
  press();
}

// One click calls a score wrong, another on the same button takes it back.
async function object(box, button) {
  const wrong = box.querySelector(".ew-wrong"), said = wrong.querySelector("[role=status]");
  const [score, direction] = button.dataset.wrong.split(" ");
  const taken = button.getAttribute("aria-pressed") === "true";
  button.disabled = true;
  try {
    const answer = await fetch(wrong.dataset.object, {
      method: "POST", credentials: "same-origin", headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ score, direction: taken ? "withdrawn" : direction, judge: wrong.querySelector("input").value }),
    });
    if (answer.ok) return void fetchInto(box, box.ewOpener.dataset.open);
    said.textContent = (await answer.json()).error || "Not stored.";
  } catch {
    said.textContent = "Not stored: the dashboard does not answer.";
  }
  button.disabled = false;
}
