// The follower's phone: what WeChat shows and takes. All text of others is set as text, never as HTML.
import { copy, post } from "./api.js";

const quiet = 5 * 60 * 1000; // after which the client writes the time
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
    for (const item of $("menu").children) {
      item.addEventListener("click", () => this.do("click", { key: item.dataset.key }));
    }
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
    $("title").textContent = chat ? this.account : "公众号";
    this.bottom();
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

  sent({ at, kind, text }) {
    if (kind === "text" || kind === "tap") {
      this.time(at);
      const row = copy("mine");
      row.querySelector(".bubble").textContent = text;
      this.append(row);
    }
  }

  ended({ m, at, toast, parts, outcome }) {
    if (toast) {
      const line = copy("toast-line");
      line.textContent = toast;
      this.append(line);
    }
    if (outcome !== "replied") return;
    this.time(at);
    const row = copy("theirs");
    row.querySelector(".bubble").append(...parts.map((part) => this.part(m, part)));
    this.append(row);
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
