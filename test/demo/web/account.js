// The account as WeChat's console has it, what goes wrong with WeChat's API by order, the agent, and what the server has called.
import { post } from "./api.js";

const mostCalls = 12;
const $ = (id) => document.getElementById(id);

export class Account {
  constructor(fail) {
    const send = (path, order) => post(path, order).catch(fail);
    $("account").addEventListener("submit", (event) => { event.preventDefault(); this.say(send); });
    $("kind").addEventListener("change", () => send("kind", { kind: $("kind").value }));
    $("apifault").addEventListener("change", () => send("fault", { fault: $("apifault").value }));
    $("online").addEventListener("change", () => send("agent", { online: $("online").checked }));
    $("say").addEventListener("click", () => this.say(send));
    $("hangup").addEventListener("click", () => send("hangup"));
  }

  say(send) {
    const text = $("word").value;
    if (!text.trim()) return;
    send("say", { text });
    $("word").value = "";
  }

  reset() { $("calls").replaceChildren(); }

  show({ kind, online, broken }) {
    $("kind").value = kind;
    $("online").checked = online;
    $("broken").textContent = `违反微信规则 rules broken: ${broken}`;
    $("broken").classList.toggle("bad", broken > 0);
  }

  setFault(fault) { $("apifault").value = fault; }

  /** The agent who serves this follower; none for an empty name. */
  serve(agent) { $("desk").hidden = agent === ""; }

  call({ api, code, lost, took, kind }) {
    const line = document.createElement("li");
    line.className = kind;
    line.textContent = `${api} ${lost ? "无回执" : code === 0 ? "✓" : code} ${Math.round(took)} ms`;
    $("calls").prepend(line);
    while ($("calls").children.length > mostCalls) $("calls").lastElementChild.remove();
  }
}
