// The page's side of the API. A tab is one follower: it keeps its id over reloads.

const key = "wechatbot-demo-session";

function ownID() {
  let id = sessionStorage.getItem(key);
  if (!id) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    id = Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
    sessionStorage.setItem(key, id);
  }
  return id;
}

const session = ownID();

/** Sends an order. What goes wrong is thrown as an Error whose message can be shown. */
export async function post(path, order = {}) {
  let response;
  try {
    response = await fetch(`api/${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ session, ...order }),
    });
  } catch {
    throw new Error("演示程序没有回应 The demo does not answer");
  }
  if (!response.ok) throw new Error((await response.text()).trim());
}

/** Sends a file. What goes wrong is thrown as with post. */
export async function upload(path, file) {
  let response;
  try {
    response = await fetch(`api/${path}?session=${session}`, { method: "POST", body: file });
  } catch {
    throw new Error("演示程序没有回应 The demo does not answer");
  }
  if (!response.ok) throw new Error((await response.text()).trim());
}

/** Calls handlers[name](data) for each event, in the order in which it happened; all of them again after a reload. */
export function connect(handlers) {
  const source = new EventSource(`api/events?session=${session}`);
  for (const [name, handle] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
  }
}

/** A copy of a <template>'s only element. */
export function copy(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}
