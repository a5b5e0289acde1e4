// One stream of changes per tab, closed while the tab is hidden: a browser has only six lines to a server.
const hub = (window.epochwatchBeat ??= { source: null, last: null, listeners: new Map() });

function open() {
  if (hub.source || document.hidden || hub.listeners.size === 0) return;
  hub.source = new EventSource("/events");
  hub.source.onmessage = (event) => {
    hub.last = event.data;
    hub.listeners.forEach((listener) => listener());
  };
}

function close() {
  if (hub.source) hub.source.close();
  hub.source = null;
}

if (!hub.watching) {
  hub.watching = true;
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
}

const AGAIN_MS = 2500; // a request can be lost when two fragments ask at once

// Whether what the page shows differs from what is; one kind of listener minds outages only.
function differs(data) {
  if (hub.last === null || hub.last === data.seen) return false;
  return !data.outages || (hub.last === "away") !== (data.seen === "away");
}

export default function (component) {
  const { data, setTriggerValue, parentElement } = component;
  let timer = null;
  const ask = () => {
    timer = null;
    // A later call of this function has taken over: what this one was shown is no longer there.
    if (hub.listeners.get(parentElement) !== listener || !differs(data)) return;
    setTriggerValue("changed", hub.last);
    timer = setTimeout(ask, AGAIN_MS);
  };
  const listener = () => {
    if (timer === null && differs(data)) timer = setTimeout(ask, data.outages ? 50 : 250);
  };
  hub.listeners.set(parentElement, listener);
  open();
  listener();
  return () => {
    clearTimeout(timer);
    if (hub.listeners.get(parentElement) === listener) hub.listeners.delete(parentElement);
    if (hub.listeners.size === 0) close();
  };
}
