// The ballot: shows pairs before they are asked for, takes an answer at once and sends it until it is stored.
// It knows servings by their random names only; which slot stands where is known to the server.
const GUARD_MS = 250; // a second click of a double click must not answer the pair that has just come
const WAIT_MS = 3000;

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const before = parentElement.ewBallot;
  if (before && before.key === data.key) {
    before.onEnd = () => setTriggerValue("ended", Date.now());
    return;
  }
  if (before) before.stop();
  parentElement.ewBallot = start(parentElement, data, () => setTriggerValue("ended", Date.now()));
  // A rerun of the page may call this again at once: only a ballot that left the page is stopped.
  return () => setTimeout(() => {
    const ballot = parentElement.ewBallot;
    if (ballot && !parentElement.isConnected) { ballot.stop(); parentElement.ewBallot = null; }
  }, 0);
}

const BARE = `
<div class="ewb-top"><span class="ewb-meter"><i></i></span><span class="ewb-count"></span>
  <span class="ewb-more"></span>
  <span class="ewb-views" role="group" aria-label="View">
    <button type="button" data-view="side">side by side</button><button type="button" data-view="flip">flip <kbd>f</kbd></button><button type="button" data-view="slider">slider <kbd>d</kbd></button><button type="button" data-do="zoom">zoom <kbd>z</kbd></button>
  </span></div>
<p class="ewb-prompt"></p>
<div class="ewb-stage" data-view="side"></div>
<div class="ewb-slide" hidden><input type="range" min="0" max="100" value="50" aria-label="How much of each image"></div>
<div class="ewb-bar">
  <button type="button" data-vote="left" class="ewb-side-vote"><kbd>&larr;</kbd> left is better</button>
  <button type="button" data-vote="tie">tie <kbd>space</kbd></button>
  <button type="button" data-vote="both_bad">both bad <kbd>b</kbd></button>
  <button type="button" data-vote="skip">skip <kbd>s</kbd></button>
  <button type="button" data-do="undo">undo <kbd>u</kbd></button>
  <button type="button" data-do="note">note <kbd>n</kbd></button>
  <button type="button" data-vote="right" class="ewb-side-vote">right is better <kbd>&rarr;</kbd></button>
</div>
<form class="ewb-note" hidden><input type="text" maxlength="2000" aria-label="Note on this pair"
  placeholder="What decides it? Better colors, more detail, too blurry ... Enter keeps it."><button>keep</button></form>
<p class="ewb-said" role="status" aria-live="polite"></p>
<div class="ewb-over" hidden><p></p><button type="button" data-do="end"></button></div>
<p class="ewb-foot"><button type="button" data-do="end"></button></p>`;

function start(root, data, onEnd) {
  const box = document.createElement("div");
  box.className = "ewb";
  box.innerHTML = BARE;
  root.querySelectorAll(":scope > .ewb").forEach((each) => each.remove());
  root.append(box);
  const find = (selector) => box.querySelector(selector);
  const stage = find(".ewb-stage"), said = find(".ewb-said"), note = find(".ewb-note");
  const field = note.querySelector("input"), range = find(".ewb-slide input");
  const me = { key: data.key, onEnd, stop, box };
  const shelf = "ew-ballot-" + data.key;
  let queue = [], current = null, shownAt = 0, acted = 0, desk = null, unsent = read(), done = new Map();
  let sending = false, stopped = false, order = [], view = "side", flipped = 0, timer = null, turn = 0;
  const history = [];
  box.querySelectorAll("[data-do=end]").forEach((each) => { each.textContent = data.endWords; });
  if (data.ways > 2) box.classList.add("ewb-ranked");

  function read() {
    try { return JSON.parse(localStorage.getItem("ew-ballot-" + data.key)) || []; } catch { return []; }
  }
  function keep() {
    try {
      if (unsent.length) localStorage.setItem(shelf, JSON.stringify(unsent));
      else localStorage.removeItem(shelf);
    } catch { /* private windows have no storage: then a reload loses what was not acknowledged */ }
  }

  async function ask(what, body) {
    const answer = await fetch(data.base + "/" + what, {
      method: "POST", credentials: "same-origin", keepalive: true, signal: AbortSignal.timeout(15000),
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ session: data.session, ticket: data.ticket, ways: data.ways, ...body }),
    });
    if (answer.status >= 500 || answer.status === 429) throw new Error("away");  // kept, and sent again
    return { ok: answer.ok, ...(await answer.json()) };
  }

  // ---- what the server says
  function take(found) {
    if (!found.desk) return;
    desk = found.desk;
    const waiting = new Set(unsent.map((each) => each.serving));
    const known = new Map(queue.concat(current ? [current] : []).map((each) => [each.id, each]));
    const fresh = desk.servings.filter((each) => !waiting.has(each.id) && (done.get(each.id) ?? -1) < each.revision);
    queue = fresh.filter((each) => !current || each.id !== current.id).map((each) => known.get(each.id) || each);
    queue.forEach(fetchPictures);
    if (!current) next();
    tell();
  }

  async function load() {
    clearTimeout(timer);
    if (stopped) return;
    try {
      const found = await ask("next", {});
      if (found.ok) { take(found); if (!sending && !unsent.length) say(""); } else { say(found.error, "bad"); return; }
    } catch {
      say("No connection: trying again.", "bad");
      timer = setTimeout(load, 1500);
      return;
    }
    if (!current && !queue.length && desk.waiting) timer = setTimeout(load, WAIT_MS);
  }

  async function send() {
    if (sending) return;
    sending = true;
    let pause = 400;
    while (unsent.length && !stopped) {
      const mine = unsent[0];
      try {
        const found = await ask("answer", mine);
        unsent.shift(); keep(); pause = 400;
        if (!found.ok) say(found.error, "bad");
        else if (!found.accepted) say("This pair was answered in another tab already: " + found.choice.replace("_", " ") + ".", "bad");
        else if (said.dataset.tone === "bad") say("Saved.");
        take(found);
      } catch {
        say(unsent.length + (unsent.length > 1 ? " answers are" : " answer is") + " not saved yet: no connection. Trying again.", "bad");
        await new Promise((resolve) => setTimeout(resolve, pause));
        pause = Math.min(5000, pause * 2);
      }
    }
    sending = false;
    if (!current && !stopped) load();
  }

  // ---- pictures
  function fetchPictures(serving) {
    if (serving.ready) return serving.ready;
    const get = async (address) => {
      for (let pause = 300; ; pause = Math.min(4000, pause * 2)) {
        try {
          const answer = await fetch(address, { credentials: "same-origin" });
          if (answer.ok) {
            const image = new Image();
            image.src = URL.createObjectURL(await answer.blob());
            await image.decode();
            return image;
          }
          if (answer.status < 500) throw new Error("gone");
        } catch (trouble) { if (trouble.message === "gone") throw trouble; }
        if (stopped) throw new Error("stopped");
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    };
    serving.ready = Promise.all([...serving.pictures, ...serving.small].map(get));
    serving.ready.catch(() => {});
    return serving.ready;
  }

  async function next() {
    current = queue.shift() || null;
    order = []; shownAt = 0; flipped = 0; field.value = ""; note.hidden = true;
    if (!current) { stage.replaceChildren(); find(".ewb-prompt").textContent = ""; tell(); return; }
    const mine = ++turn, serving = current;
    tell();
    let images;
    try { images = await fetchPictures(serving); } catch {
      if (!stopped && mine === turn) { say("An image of this pair cannot be shown; it is skipped.", "bad"); shownAt = 1; vote("skip"); }
      return;
    }
    if (stopped || mine !== turn || current !== serving) return;
    draw(serving, images);
    requestAnimationFrame(() => { if (mine === turn) { shownAt = performance.now(); box.dataset.shown = serving.id; } });
  }

  function draw(serving, images) {
    const n = serving.pictures.length;
    stage.dataset.ways = n;
    stage.replaceChildren(...serving.pictures.map((_, place) => {
      const figure = document.createElement("figure");
      const button = document.createElement("button");
      button.type = "button"; button.className = "ewb-pic"; button.dataset.place = place;
      button.setAttribute("aria-label", n > 2 ? "image " + (place + 1) : place ? "right image" : "left image");
      const large = images[place]; large.alt = "";
      button.append(large);
      const badge = document.createElement("b"); badge.className = "ewb-rank"; button.append(badge);
      const caption = document.createElement("figcaption");
      const small = images[n + place]; small.alt = ""; small.className = "ewb-24";
      const bigger = small.cloneNode(); bigger.className = "ewb-72";
      caption.append(small, bigger);
      if (serving.names) { const name = document.createElement("span"); name.textContent = serving.names[place]; caption.append(name); }
      figure.append(button, caption);
      return figure;
    }));
    find(".ewb-prompt").textContent = serving.prompt;
    look();
  }

  function look() {
    const two = stage.dataset.ways === "2";
    stage.dataset.view = two ? view : "side";
    stage.dataset.flip = flipped;
    find(".ewb-slide").hidden = !(two && view === "slider" && current);
    stage.style.setProperty("--cut", range.value + "%");
    box.querySelectorAll("[data-view]").forEach((each) => {
      if (each !== stage) each.setAttribute("aria-pressed", String(each.dataset.view === stage.dataset.view));
    });
    find("[data-do=zoom]").setAttribute("aria-pressed", String(box.classList.contains("ewb-zoomed")));
  }

  // ---- answers
  // A hand is judged by when it moved: on a busy page its event comes late, and was still meant for the pair before.
  function ready() { return current && shownAt && acted - shownAt >= GUARD_MS; }

  function vote(choice, ranking) {
    if (!current || !shownAt || (choice !== "skip" && !ready())) return;
    if (current.pictures.length > 2 && (choice === "left" || choice === "right")) return;
    const serving = current;
    unsent.push({
      serving: serving.id, revision: serving.revision, choice, ranking: ranking || null,
      note: field.value, milliseconds: Math.max(0, Math.round(acted - shownAt)),
    });
    keep();
    done.set(serving.id, serving.revision);
    history.push({ ...serving, revision: serving.revision + 1, ready: null });
    if (serving.ready) serving.ready.then((images) => images.forEach((each) => URL.revokeObjectURL(each.src)), () => {});
    next();
    send();
  }

  function undo() {
    if (order.length) { order.pop(); ranks(); return; }
    const last = history.pop() || (desk && desk.last && !unsent.length ? { ...desk.last } : null);
    if (!last) { say("There is nothing to undo."); return; }
    unsent.push({ serving: last.id, revision: last.revision, choice: "undone", ranking: null, note: "", milliseconds: null });
    keep();
    done.set(last.id, last.revision);
    if (desk) desk.last = null;
    const back = { ...last, revision: last.revision + 1 };
    if (current) queue.unshift(current);
    queue.unshift(back);
    current = null;
    say("Undone: answer it again.");
    next();
    send();
  }

  function ranks() {
    stage.querySelectorAll(".ewb-pic").forEach((each) => {
      const at = order.indexOf(Number(each.dataset.place));
      each.querySelector(".ewb-rank").textContent = at < 0 ? "" : at + 1;
    });
  }

  function pick(place) {
    if (!ready()) return;
    const n = current.pictures.length;
    if (n === 2) { vote(place ? "right" : "left"); return; }
    if (place >= n || order.includes(place)) return;
    order.push(place);
    if (order.length === n - 1) order.push([...Array(n).keys()].find((each) => !order.includes(each)));
    ranks();
    if (order.length === n) vote("ranking", order.slice());
  }

  // ---- what is said
  function say(words, tone) { said.textContent = words || ""; said.dataset.tone = tone || ""; }

  function tell() {
    if (!desk) return;
    const pending = unsent.filter((each) => each.choice !== "undone").length - unsent.filter((each) => each.choice === "undone").length;
    const given = Math.max(0, desk.given + pending);
    const left = Math.max(0, desk.open - pending);
    const whole = desk.budget || given + left;
    // Rounded: an exact number would tell which pairs are checks, since those come on top.
    const rest = left > 10 ? "about " + 5 * Math.round(left / 5) + " pairs left" : left + (left === 1 ? " pair left" : " pairs left");
    const count = given + (given === 1 ? " vote" : " votes");
    find(".ewb-count").textContent = desk.budget ? given + " of " + desk.budget + " votes" : count + ", " + rest;
    find(".ewb-meter i").style.width = (whole ? Math.min(100, 100 * given / whole) : 0) + "%";
    find(".ewb-more").textContent = desk.more || "";
    const over = !current && !queue.length;
    box.classList.toggle("ewb-idle", over);
    const panel = find(".ewb-over");
    panel.hidden = !over;
    panel.querySelector("p").textContent = desk.over || "One moment.";
    panel.querySelector("button").hidden = !desk.finished;
    find(".ewb-foot").hidden = over && desk.finished;
  }

  async function end() {
    box.querySelectorAll("[data-do=end]").forEach((each) => { each.disabled = true; });
    for (let wait = 0; unsent.length && wait < 50; wait++) await new Promise((resolve) => setTimeout(resolve, 100));
    try {
      if (unsent.length) throw new Error("unsent");
      const found = await ask("end", {});
      if (!found.ok) { say(found.error, "bad"); return; }
      stop();
      box.classList.add("ewb-idle", "ewb-ended");
      find(".ewb-over").hidden = false;
      find(".ewb-over p").textContent = found.words;
      find(".ewb-foot").hidden = true;
      find(".ewb-over button").hidden = true;
      me.onEnd();
    } catch {
      say("Not ended: no connection. Your answers are safe; try again.", "bad");
      box.querySelectorAll("[data-do=end]").forEach((each) => { each.disabled = false; });
    }
  }

  // ---- hands
  function act(what) {
    if (what === "undo") undo();
    else if (what === "note") { note.hidden = !note.hidden; if (note.hidden) field.blur(); else field.focus(); }
    else if (what === "zoom") { zoom(); look(); }
    else if (what === "end") end();
  }
  // Whole screen, then a lens under the pointer, then back.
  function zoom() {
    const on = box.classList.contains("ewb-zoomed"), lens = box.classList.contains("ewb-lens");
    box.classList.toggle("ewb-zoomed", !lens);
    box.classList.toggle("ewb-lens", on && !lens);
  }
  function turnTo(which) {
    if (which === "flip" && view === "flip") flipped = 1 - flipped;
    else view = which === "slider" && view === "slider" ? "side" : which;
    look();
  }
  const KEYS = { ArrowLeft: () => vote("left"), ArrowRight: () => vote("right"), " ": () => vote("tie"),
    b: () => vote("both_bad"), s: () => vote("skip"), u: undo, Backspace: undo, n: () => act("note"),
    z: () => act("zoom"), f: () => turnTo("flip"), d: () => turnTo("slider") };

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || stopped || !box.isConnected) return;
    acted = event.timeStamp;
    if (event.key === "Escape") {
      if (!note.hidden) { note.hidden = true; field.blur(); }
      else if (box.classList.contains("ewb-zoomed")) { box.classList.remove("ewb-zoomed", "ewb-lens"); look(); }
      else if (view !== "side") turnTo("side");
      return;
    }
    const at = event.target.closest ? event.target : document.body;
    const typing = at.closest("input:not([type=checkbox], [type=radio], [type=range]), textarea, select, [contenteditable=true]");
    // Space presses whatever button or switch outside the ballot has the focus.
    if (typing || (event.key === " " && !box.contains(at) && at.closest("button, input, a, summary, [role=button], [role=tab]"))) return;
    // Of the ballot's own it presses the one that the Tab key has led to; held down, not again and again.
    if ((event.key === " " || event.key === "Enter") && at.matches(".ewb button:focus-visible")) {
      if (event.repeat) event.preventDefault();
      return;
    }
    const place = "1234".indexOf(event.key);
    const hand = place >= 0 && current && current.pictures.length > 2 ? () => pick(place) : KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!hand || (at === range && event.key.startsWith("Arrow"))) return;
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat) hand();
  }
  function onClick(event) {
    if (event.detail > 1 && event.target.closest("[data-vote], .ewb-pic")) return;
    const hit = event.target.closest("[data-vote], [data-do], [data-view], .ewb-pic");
    if (!hit || hit === stage) return;
    acted = event.timeStamp;
    if (hit.dataset.vote) vote(hit.dataset.vote);
    else if (hit.dataset.do) act(hit.dataset.do);
    else if (hit.dataset.view) turnTo(hit.dataset.view);
    else if (stage.dataset.view === "side") pick(Number(hit.dataset.place));
    else if (stage.dataset.view === "flip") turnTo("flip");
    if (hit.tagName === "BUTTON" && event.detail) hit.blur(); // space is a tie, not another press of this button
  }
  function onMove(event) {
    if (!box.classList.contains("ewb-lens")) return;
    const at = event.target.closest(".ewb-pic");
    if (!at) return;
    const place = at.getBoundingClientRect();
    stage.style.setProperty("--x", (100 * (event.clientX - place.left) / place.width) + "%");
    stage.style.setProperty("--y", (100 * (event.clientY - place.top) / place.height) + "%");
  }
  note.addEventListener("submit", (event) => { event.preventDefault(); note.hidden = true; field.blur(); if (field.value) say("The note goes with your answer."); });
  range.addEventListener("input", look);
  box.addEventListener("click", onClick);
  stage.addEventListener("pointermove", onMove);
  window.addEventListener("keydown", onKey, true);
  window.addEventListener("online", () => { if (unsent.length) send(); });

  function stop() {
    stopped = true;
    clearTimeout(timer);
    window.removeEventListener("keydown", onKey, true);
  }

  box.ballot = me;
  if (unsent.length) send(); else load();
  return me;
}
