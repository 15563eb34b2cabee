/** What can be done with the agent as a whole: one menu, and a dialog where something has to be asked first. */
import { h, setText } from "./dom.js";
import { Menu } from "./menu.js";

const CLEAR = "The conversation begins anew: the program is told nothing of what was said. You can still read it, and files and runs stay.";
const DELETE = "Its conversation, runs and files are deleted for good. A run that is active is stopped.";

export class Actions {
  /** `title()`: the present one. `isArchived`: when the page was made. */
  constructor({ place, agentUrl, agentId, isArchived, title, api, toasts }) {
    Object.assign(this, { agentUrl, isArchived, title, api, toasts });
    const items = [
      { label: "Rename…", act: () => this.#rename() },
      { label: "Duplicate…", href: `/agents/new/?like=${agentId}` },
      { label: "Fork…", href: `/agents/${agentId}/fork/` },
      { label: "Clear conversation…", act: () => this.#clear() },
      { label: "Export", href: `${agentUrl}/export`, download: "" },
      { label: isArchived ? "Unarchive" : "Archive", act: () => this.#archive(!this.isArchived) },
      { label: "Delete…", act: () => this.#delete(), isDangerous: true },
    ];
    this.menu = new Menu(place, "Actions", items);
    this.archiveItem = this.menu.list.children[5];
  }

  #rename() {
    const before = this.title();
    const input = h("input", { name: "title", maxlength: "200", required: true, value: before, "aria-label": "Title" });
    this.#ask("Rename this agent", [input], "Rename", async () => {
      const title = input.value.trim();
      if (title === before) return;
      await this.#change({ title });
      this.#said("Renamed.", () => this.#change({ title: before }));
    });
    input.select();
  }

  #clear() {
    this.#ask("Clear the conversation?", [h("p", {}, CLEAR)], "Clear", async () => {
      await this.api.post(`${this.agentUrl}/clear`);
      this.toasts.say("The conversation begins anew.");
    });
  }

  async #archive(isArchived) {
    await this.#try(async () => {
      await this.#change({ archived: isArchived });
      this.#said(isArchived ? "Archived: it is in the list of archived agents." : "Back in the list of agents.", () => {
        return this.#change({ archived: !isArchived });
      });
    });
  }

  #delete() {
    this.#ask("Delete this agent?", [h("p", {}, DELETE)], "Delete", async () => {
      await this.api.delete(this.agentUrl);
      location.assign("/");
    });
  }

  async #change(body) {
    await this.api.patch(this.agentUrl, body);
    if (body.archived === undefined) return;
    this.isArchived = body.archived;
    setText(this.archiveItem, body.archived ? "Unarchive" : "Archive");
  }

  #said(words, undo) {
    this.toasts.say(words, { label: "Undo", act: undo });
  }

  async #try(act) {
    try {
      await act();
    } catch (error) {
      this.toasts.say(error.message);
    }
  }

  /** A modal dialog. It stays open while what it does fails. */
  #ask(question, content, verb, act) {
    const problem = h("p", { class: "field-error", role: "alert" });
    const go = h("button", { class: verb === "Delete" ? "stop" : "primary" }, verb);
    const cancel = h("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
    const form = h("form", {}, h("h2", { id: "dialog-title" }, question), ...content, problem, h("div", { class: "row" }, go, cancel));
    const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      go.disabled = true;
      setText(problem, "");
      try {
        await act();
        dialog.close();
      } catch (error) {
        setText(problem, error.message);
      }
      go.disabled = false;
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      this.menu.button.focus();
    });
    document.body.append(dialog);
    dialog.showModal();
  }
}
