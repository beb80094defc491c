// The orders to the stand-in for Dify: sliders, the condition, and presets of both.
import { post } from "./api.js";

const $ = (id) => document.getElementById(id);
const form = $("controls");
const inputs = { firstText: $("first"), total: $("total"), length: $("length"), fault: $("fault") };

export class Controls {
  constructor(fail) {
    this.fail = fail;
    this.orders = 0;
    this.sent = Promise.resolve();
    form.addEventListener("submit", (event) => event.preventDefault());
    for (const input of Object.values(inputs)) {
      input.addEventListener("input", () => this.agree(input));
      input.addEventListener("change", () => this.order());
    }
    for (const preset of form.querySelectorAll(".presets button")) {
      preset.addEventListener("click", () => {
        this.set(read(preset));
        this.order();
      });
    }
  }

  /** With a real Dify there is nothing to order. */
  reset(host) {
    for (const control of form.elements) control.disabled = host !== "";
    $("real").hidden = host === "";
    $("real").textContent = host && `连着真实的 Dify（${host}），下面的设置不起作用。A real Dify answers: the settings below are off.`;
  }

  set(behaviour) {
    for (const [name, input] of Object.entries(inputs)) input.value = behaviour[name];
    this.show();
  }

  /** No answer ends before its first text: the other slider follows. */
  agree(moved) {
    const { firstText, total } = inputs;
    if (Number(firstText.value) > Number(total.value)) {
      if (moved === firstText) total.value = firstText.value;
      else firstText.value = total.value;
    }
    this.show();
  }

  get behaviour() {
    const { firstText, total, length, fault } = inputs;
    return { firstText: Number(firstText.value), total: Number(total.value), length: Number(length.value), fault: fault.value };
  }

  /** Sends what is set, one order after another: the last one counts. */
  order() {
    this.orders += 1;
    form.setAttribute("aria-busy", "true");
    this.sent = this.sent
      .then(() => post("behaviour", { behaviour: this.behaviour }))
      .catch(this.fail)
      .finally(() => {
        this.orders -= 1;
        if (this.orders === 0) form.removeAttribute("aria-busy");
      });
  }

  show() {
    const now = this.behaviour;
    const time = (ms) => `${(ms / 1000).toFixed(1)} s`;
    const write = (input, text) => {
      input.closest("label").querySelector("output").textContent = text;
      input.setAttribute("aria-valuetext", text);
    };
    write(inputs.firstText, time(now.firstText));
    write(inputs.total, time(now.total));
    write(inputs.length, `${now.length.toLocaleString("en")} 字`);
    for (const preset of form.querySelectorAll(".presets button")) {
      const same = Object.entries(read(preset)).every(([name, value]) => now[name] === value);
      preset.setAttribute("aria-pressed", String(same));
    }
  }
}

function read({ dataset }) {
  return { firstText: Number(dataset.first), total: Number(dataset.total), length: Number(dataset.length), fault: dataset.fault };
}
