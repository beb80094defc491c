// Puts the page together. It is a picture of the demo's events: whatever the page does comes back as one.
import { connect, post } from "./api.js";
import { Controls } from "./controls.js";
import { Phone } from "./phone.js";
import { Wire } from "./wire.js";

const $ = (id) => document.getElementById(id);

let shown;
function fail(error) {
  clearTimeout(shown);
  $("notice").textContent = error.message;
  $("notice").hidden = false;
  shown = setTimeout(() => { $("notice").hidden = true; }, 6000);
}

const phone = new Phone(fail);
const wire = new Wire();
const controls = new Controls(fail);

const states = { running: ["运行中 running", "停掉服务器 Stop"], stopping: ["正在停 stopping", "停掉服务器 Stop"], stopped: ["停了 stopped", "启动服务器 Start"] };
let serverState;
function server(state) {
  serverState = state;
  const [now, next] = states[state];
  $("server").dataset.state = state;
  $("serverstate").textContent = now;
  $("power").textContent = next;
  $("power").disabled = state === "stopping";
}
$("power").addEventListener("click", () => post("server", { run: serverState === "stopped" }).catch(fail));

let epoch;
connect({
  hello(e) {
    if (e.epoch !== epoch) {
      epoch = e.epoch;
      wire.reset(e);
      phone.reset(e.account, e.intro);
      phone.follow(e.following);
    }
    controls.reset(e.dify);
    controls.set(e.behaviour);
    server(e.server);
    $("dify").querySelector("small").textContent = e.dify || "替身 stand-in";
  },
  following: (e) => phone.follow(e),
  server,
  sent(e) { phone.sent(e); wire.sent(e); },
  delivery: (e) => wire.delivery(e),
  ended(e) { phone.ended(e); wire.ended(e); },
  turn: (e) => wire.turn(e),
});
