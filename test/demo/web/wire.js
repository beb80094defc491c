// What happened on the wire: a card for each message, a lane for each delivery and one for Dify.
import { copy } from "./api.js";

const mostCards = 50;
const longestTurn = 150_000; // ms; the server gives up before
const $ = (id) => document.getElementById(id);

const kinds = { text: "消息", tap: "点按", click: "菜单", image: "图片", voice: "语音", follow: "关注", unfollow: "取消关注" };

// The pill of a message that is over: class and words.
const pills = {
  whole: ["good", "完整回答 whole answer"],
  part: ["good", "先给一部分 a part"],
  waiting: ["wait", "等待提示 waiting line"],
  failed: ["bad", "说明失败 failure told"],
  refused: ["wait", "没有收下 refused"],
  notice: ["good", "机器人的话 notice"],
  transfer: ["calm", "转人工 handed over"],
  served: ["calm", "客服接待 to the agent"],
  silent: ["calm", "无回复 success"],
  fault: ["bad", "故障提示 fault toast"],
  blocked: ["bad", "微信停推 blocked"],
};

const verdicts = { answered: "已回复", success: "success", timeout: "未答，重推", "connection refused": "连不上", "connection broken": "连接断开" };

// How a turn ended, in the server's log.
const outcomes = { answered: "", cutShort: "，中断", failed: "，失败", timedOut: "，超时", quotaExceeded: "，额度用完", misconfigured: "，设置有误" };

const seconds = (ms) => `${(ms / 1000).toFixed(ms < 9950 ? 2 : 1)} s`;

class Card {
  constructor({ m, at, kind, text, question }, timing) {
    Object.assign(this, { at, timing, kind, deliveries: new Map(), question, live: true });
    this.element = copy("card");
    this.element.id = `m${m}`;
    this.find(".what").textContent = `${m} ${kinds[kind] ?? kind}`;
    if (text) this.find(".said").textContent = text;
    else this.find(".said").remove();
    this.pill("", "进行中 under way");
    this.lanes = [1, 2, 3].slice(0, timing.deliveries).map((n) => this.lane(`推送 ${n}`));
    if (question) this.lanes.push(this.lane("Dify"));
    this.draw(Date.now());
  }

  find(selector) { return this.element.querySelector(selector); }

  lane(name) {
    const element = copy("lane");
    element.querySelector(".who").textContent = name;
    this.find(".axis").before(element);
    return { track: element.querySelector(".track"), note: element.querySelector(".note"), bars: [] };
  }

  pill(kind, text) {
    this.find(".pill").className = `pill ${kind}`;
    this.find(".pill").textContent = text;
  }

  delivery(d) {
    this.deliveries.set(d.n, d);
    this.draw(Date.now());
  }

  ended(e) {
    this.live = false;
    this.over = e;
    this.pill(...(pills[e.outcome === "replied" ? e.reply : e.outcome] ?? ["calm", e.outcome]));
    this.draw(Date.now());
  }

  turn(t) {
    this.dify = t;
    this.draw(Date.now());
  }

  /** Whether there is something that grows. */
  get active() { return this.live || (this.over.asked && !this.dify && Date.now() - this.at < longestTurn); }

  draw(now) {
    const elapsed = now - this.at;
    this.scale(this.dify ? this.dify.from + this.dify.took : this.active ? elapsed : 0);
    for (let n = 1; n <= this.timing.deliveries; n++) this.drawDelivery(this.lanes[n - 1], this.deliveries.get(n), elapsed);
    if (this.question) this.drawDify(this.lanes.at(-1), elapsed);
    this.facts();
  }

  /** The axis is as long as three deliveries, and longer if Dify is. */
  scale(needed) {
    const { timeout, deliveries, deadline } = this.timing;
    const end = Math.max(timeout * deliveries, Math.ceil(needed / timeout) * timeout);
    if (end === this.end) return;
    this.end = end;
    const ticks = [0, deadline];
    for (let t = timeout; t < end; t += timeout) ticks.push(t);
    if (end === timeout * deliveries) ticks.push(end - timeout + deadline);
    else ticks.push(timeout * (deliveries - 1) + deadline, end);
    this.find(".axis").replaceChildren(...ticks.sort((a, b) => a - b).map((t) => {
      const tick = document.createElement("span");
      tick.className = t % timeout ? "tick due" : "tick";
      tick.style.left = `${(100 * t) / end}%`;
      tick.textContent = `${t / 1000}`;
      return tick;
    }));
  }

  /** Puts bar number i of a lane from one time to another. */
  bar(lane, i, kind, from, took) {
    lane.bars[i] ??= lane.track.appendChild(document.createElement("span"));
    const bar = lane.bars[i];
    bar.className = `stretch ${kind}`;
    bar.style.left = `${Math.min(100, (100 * from) / this.end)}%`;
    bar.style.width = `${Math.max(0, Math.min(100 - (100 * from) / this.end, (100 * took) / this.end))}%`;
  }

  drawDelivery(lane, d, elapsed) {
    if (!d) return;
    if (!d.verdict) {
      const took = this.live ? Math.min(elapsed - d.from, this.timing.timeout) : 0;
      this.bar(lane, 0, "open", d.from, took);
      lane.note.textContent = seconds(Math.max(0, took));
      return;
    }
    const kind = { answered: "answered", success: "silent", timeout: "held" }[d.verdict] ?? "failed";
    this.bar(lane, 0, kind, d.from, d.took);
    lane.note.textContent = `${verdicts[d.verdict] ?? d.verdict} ${seconds(d.took)}`;
  }

  drawDify(lane, elapsed) {
    const t = this.dify;
    if (!t) {
      if (!this.active) {
        if (!this.over.asked) lane.track.replaceChildren();
        lane.note.textContent = this.over.asked ? "" : "没有问到";
        return;
      }
      this.bar(lane, 0, "thinking open", 0, elapsed);
      lane.note.textContent = seconds(Math.max(0, elapsed));
      return;
    }
    const first = t.firstText || t.took;
    this.bar(lane, 0, "thinking", t.from, first);
    this.bar(lane, 1, t.outcome === "answered" ? "writing" : "failed", t.from + first, Math.max(t.took - first, this.end / 250));
    lane.note.textContent = `${seconds(t.took)}${outcomes[t.outcome] ?? `，${t.outcome}`}`;
  }

  facts() {
    const facts = [];
    if (this.over) {
      const d = [...this.deliveries.values()].findLast((each) => each.verdict === "answered");
      facts.push(`粉丝等了 ${seconds(this.over.took)}`);
      if (d) facts.push(`第 ${d.n} 次推送得到回复，${d.bytes.toLocaleString("en")} 字节${d.encrypted ? "，AES 加密" : ""}`);
    }
    if (this.dify) {
      facts.push(`Dify 首字 ${this.dify.firstText ? seconds(this.dify.firstText) : "无"}，全部 ${seconds(this.dify.took)}`);
      if (this.dify.tries > 1) facts.push(`试了 ${this.dify.tries} 次`);
    }
    const text = facts.join(" · ");
    if (this.find(".facts").textContent !== text) this.find(".facts").textContent = text;
  }
}

export class Wire {
  constructor() {
    this.cards = new Map();
    this.drawing = false;
  }

  reset(timing) {
    this.timing = timing;
    this.cards.clear();
    $("wire").replaceChildren();
    $("nothing").hidden = false;
  }

  sent(e) {
    const card = new Card(e, this.timing);
    this.cards.set(e.m, card);
    $("nothing").hidden = true;
    $("wire").prepend(card.element);
    if (this.cards.size > mostCards) {
      const [oldest, gone] = this.cards.entries().next().value;
      gone.element.remove();
      this.cards.delete(oldest);
    }
    this.grow();
  }

  delivery(e) { this.cards.get(e.m)?.delivery(e); }

  ended(e) { this.cards.get(e.m)?.ended(e); }

  turn(e) { this.cards.get(e.m)?.turn(e); }

  /** Draws what grows, while something does. */
  grow() {
    if (this.drawing) return;
    this.drawing = true;
    const draw = () => {
      const active = [...this.cards.values()].filter((card) => card.active);
      for (const card of active) card.draw(Date.now());
      this.drawing = active.length > 0;
      if (this.drawing) requestAnimationFrame(draw);
    };
    requestAnimationFrame(draw);
  }
}
