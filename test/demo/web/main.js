// Puts the page together. It is a picture of the demo's events: whatever the page does comes back as one.
import { connect, post } from "./api.js";
import { Controls } from "./controls.js";
import { Account } from "./account.js";
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
const account = new Account(fail);

let connected;
function line(whole) {
  connected = whole;
  $("server").dataset.line = whole ? "whole" : "cut";
  $("serverstate").textContent = whole ? "运行中 running" : "连不上 unreachable";
  $("power").textContent = whole ? "断开线路 Cut the line" : "接通线路 Mend the line";
}
$("power").addEventListener("click", () => post("line", { cut: connected }).catch(fail));

let epoch;
connect({
  hello(e) {
    if (e.epoch !== epoch) {
      epoch = e.epoch;
      wire.reset(e);
      phone.reset(e.account, e.intro);
      phone.follow(e.following);
      account.reset();
    }
    account.show(e.wechat);
    account.setFault(e.fault);
    account.serve(e.agent);
    phone.setMenu(e.wechat.menu ?? []);
    controls.reset(e.dify);
    controls.set(e.behaviour);
    line(e.line);
    $("dify").querySelector("small").textContent = e.dify || "替身 stand-in";
  },
  following: (e) => phone.follow(e),
  line,
  sent(e) { phone.sent(e); wire.sent(e); },
  delivery: (e) => wire.delivery(e),
  ended(e) { phone.ended(e); wire.ended(e); },
  turn: (e) => wire.turn(e),
  bubble: (e) => phone.pushed(e),
  typing: (e) => phone.typed(e),
  agent(e) { phone.served(e.agent, e.open); account.serve(e.open ? e.agent : ""); },
  account(e) { account.show(e); phone.setMenu(e.menu ?? []); },
  call: (e) => account.call(e),
});
