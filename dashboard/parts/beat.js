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

export default function (component) {
  const { data, setTriggerValue, parentElement } = component;
  const me = parentElement;
  let timer = null;
  const listener = () => {
    if (hub.last === null || hub.last === data.seen || hub.last === me.ewAsked || timer) return;
    timer = setTimeout(() => {
      timer = null;
      if (hub.last === data.seen) return;
      me.ewAsked = hub.last;
      setTriggerValue("changed", hub.last);
    }, 250);
  };
  if (me.ewSeen !== data.seen) { me.ewSeen = data.seen; me.ewAsked = null; }
  hub.listeners.set(me, listener);
  open();
  listener();
  return () => {
    if (timer) clearTimeout(timer);
    if (hub.listeners.get(me) === listener) hub.listeners.delete(me);
    if (hub.listeners.size === 0) close();
  };
}
