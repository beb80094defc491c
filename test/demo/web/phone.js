// The follower's phone: what WeChat shows and takes. All text of others is set as text, never as HTML.
import { copy, post, upload } from "./api.js";

const quiet = 5 * 60 * 1000; // after which the client writes the time
const typingShown = 15 * 1000;
const $ = (id) => document.getElementById(id);

export class Phone {
  constructor(fail) {
    this.fail = fail;
    this.following = false;
    this.last = 0;
    $("follow").addEventListener("click", () => { this.typing = true; this.do("follow"); });
    $("unfollow").addEventListener("click", () => this.do("unfollow"));
    $("about").addEventListener("click", () => { this.show("profile"); $("back").focus(); });
    $("back").addEventListener("click", () => { this.show("chat"); $("text").focus(); });
    $("toggle").addEventListener("click", () => this.menu($("menu").hidden));
    $("compose").addEventListener("submit", (event) => { event.preventDefault(); this.send(); });
    $("text").addEventListener("input", () => this.grow());
    $("text").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.send();
      }
    });
    $("attach").addEventListener("click", () => $("file").click());
    $("file").addEventListener("change", () => this.picture());
    $("speak").addEventListener("click", () => this.do("voice"));
    this.tick();
    setInterval(() => this.tick(), 10_000);
  }

  /** Runs an order and shows what keeps it from being taken. */
  do(path, order) {
    return post(path, order).catch((error) => this.fail(error));
  }

  reset(account, intro) {
    this.account = account;
    this.last = 0;
    $("name").textContent = account;
    $("intro").textContent = intro;
    $("chat").replaceChildren();
    this.typed(false);
  }

  /** The account's menu: buttons, and the items of one above it. */
  setMenu(buttons) {
    const now = JSON.stringify(buttons);
    if (now === this.buttons) return; // an open button stays open
    this.buttons = now;
    $("menu").replaceChildren(...buttons.map((button) => {
      const element = this.menuButton(button, [button.name]);
      if (!button.sub_button) return element;
      const items = document.createElement("div");
      items.className = "items";
      items.hidden = true;
      items.append(...button.sub_button.map((item) => this.menuButton(item, [button.name, item.name])));
      element.addEventListener("click", () => { items.hidden = !items.hidden; });
      const group = document.createElement("div");
      group.className = "group";
      group.append(items, element);
      return group;
    }));
    $("toggle").hidden = buttons.length === 0;
    if (buttons.length === 0 && !$("menu").hidden) this.menu(false);
  }

  menuButton({ name, type, key, url, sub_button: items }, path) {
    const button = document.createElement("button");
    button.textContent = name;
    if (key) button.dataset.key = key;
    if (items) return button;
    button.addEventListener("click", () => {
      this.do("menu", { path });
      if (type === "view" && /^https?:\/\//i.test(url)) window.open(url, "_blank", "noopener,noreferrer");
    });
    return button;
  }

  async picture() {
    const [file] = $("file").files;
    $("file").value = "";
    if (file) await upload("picture", file).catch((error) => this.fail(error));
  }

  /** The line in the title while the account is typing. It goes by itself. */
  typed(on) {
    clearTimeout(this.typedUntil);
    this.isTyped = on;
    if (on) this.typedUntil = setTimeout(() => this.typed(false), typingShown);
    this.title();
  }

  follow(following) {
    this.following = following;
    this.show(following ? "chat" : "profile");
    if (following && this.typing) $("text").focus();
    this.typing = false;
  }

  show(view) {
    const chat = view === "chat";
    $("profile").hidden = chat;
    $("chat").hidden = $("bar").hidden = $("about").hidden = !chat;
    $("back").hidden = chat || !this.following;
    $("follow").hidden = this.following;
    $("unfollow").hidden = !this.following;
    this.chatting = chat;
    this.title();
    this.bottom();
  }

  title() {
    const typing = this.chatting && this.isTyped;
    $("title").textContent = typing ? "对方正在输入…" : this.chatting ? this.account : "公众号";
    $("title").classList.toggle("typing", Boolean(typing));
  }

  menu(open) {
    $("menu").hidden = !open;
    $("compose").hidden = open;
    $("toggle").setAttribute("aria-pressed", String(open));
    if (!open) $("text").focus();
  }

  async send() {
    const text = $("text").value;
    if (!text.trim()) return;
    try {
      await post("send", { text });
      $("text").value = "";
      this.grow();
    } catch (error) {
      this.fail(error);
    }
  }

  grow() {
    const area = $("text");
    area.style.height = "auto";
    area.style.height = `${Math.min(area.scrollHeight, 96)}px`;
    $("compose").classList.toggle("ready", area.value.trim() !== "");
  }

  sent({ m, at, kind, text, media, seconds }) {
    if (!["text", "tap", "image", "voice"].includes(kind)) return;
    const parts = media ? [] : [{ text }];
    this.row("mine", at, this.bubble(m, { type: media ? kind : "text", parts, media, seconds }));
  }

  ended({ m, at, toast, outcome, reply, ...shown }) {
    if (toast) {
      const line = copy("toast-line");
      line.textContent = toast;
      this.append(line);
    }
    if (outcome !== "replied" || reply === "transfer") return;
    this.typed(false);
    this.row("theirs", at, this.bubble(m, shown));
  }

  /** A message that came by itself: the account's, or a person's who serves. */
  pushed({ m, at, from, ai, ...shown }) {
    this.typed(false);
    const row = this.row("theirs", at, this.bubble(m, shown));
    row.classList.add("pushed");
    if (from === "agent") row.classList.add("person");
    if (ai) {
      const line = copy("ai-line");
      line.textContent = ai;
      this.append(line);
    }
  }

  /** A line of the client's own: who serves the follower. */
  served(agent, open) {
    const line = copy("toast-line");
    line.textContent = open ? `客服 ${agent} 为您服务` : "客服已结束服务";
    this.append(line);
  }

  row(side, at, bubble) {
    this.time(at);
    const row = copy(side);
    row.querySelector(".bubble").replaceWith(bubble);
    this.append(row);
    return row;
  }

  /** What a message looks like: words and links, a picture, or a voice. */
  bubble(m, { type, parts, media, seconds }) {
    const bubble = document.createElement("p");
    bubble.className = `bubble ${type}`;
    if (type === "image" && media) {
      const picture = document.createElement("img");
      picture.alt = "图片 Picture";
      picture.addEventListener("load", () => this.bottom());
      picture.src = `api/media/${media}`;
      bubble.append(picture);
    } else if (type === "voice" && media) {
      const play = copy("play");
      play.querySelector("span").textContent = `${seconds}″`;
      play.setAttribute("aria-label", `语音 ${seconds} 秒 Voice message`);
      play.addEventListener("click", () => new Audio(`api/media/${media}`).play().catch(() => this.fail(new Error("浏览器放不了这种语音 This browser does not play AMR"))));
      bubble.append(play);
    } else {
      bubble.append(...parts.map((part) => this.part(m, part)));
    }
    return bubble;
  }

  part(m, { text, link, index = 0, url }) {
    if (link === "tap") {
      const button = document.createElement("button");
      button.className = "tap";
      button.textContent = text;
      button.addEventListener("click", () => this.do("tap", { m, link: index }));
      return button;
    }
    if (link === "page" && /^https?:\/\//i.test(url)) {
      const a = document.createElement("a");
      Object.assign(a, { href: url, target: "_blank", rel: "noopener noreferrer", textContent: text });
      return a;
    }
    return document.createTextNode(text);
  }

  time(at) {
    if (at - this.last > quiet) {
      const line = copy("time-line");
      line.textContent = clock(at);
      this.append(line);
    }
    this.last = at;
  }

  append(element) {
    $("chat").append(element);
    this.bottom();
  }

  bottom() {
    $("chat").scrollTop = $("chat").scrollHeight;
  }

  tick() {
    $("clock").textContent = clock(Date.now());
  }
}

function clock(at) {
  return new Date(at).toLocaleTimeString("zh-CN", { hour: "2-digit", minute: "2-digit", hour12: false });
}
