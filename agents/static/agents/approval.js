/** A question of the program that waits for a person. */
import { h } from "./dom.js";

export class Approval {
  constructor(approval, context) {
    this.api = context.api;
    this.question = h("p", { class: "approval-question", dir: "auto" }, approval.question);
    this.answer = h("div", { class: "approval-answer" });
    this.node = h("div", { class: "approval" }, this.question, this.answer);
    this.update({ approval });
  }

  update({ approval }) {
    if (approval.decision !== null) {
      const reason = approval.reason ? `: ${approval.reason}` : "";
      this.answer.replaceChildren(h("p", {}, h("strong", {}, approval.decision), `, by ${approval.by}${reason}`));
      return;
    }
    const problem = h("p", { class: "field-error", role: "alert" });
    const buttons = approval.options.map((decision) =>
      h("button", { type: "button", onclick: () => this.#decide(approval, decision, buttons, problem) }, decision),
    );
    this.answer.replaceChildren(h("div", { class: "row" }, ...buttons), problem);
  }

  async #decide(approval, decision, buttons, problem) {
    for (const button of buttons) button.disabled = true;
    try {
      const path = `/api/runs/${approval.run_id}/approvals/${encodeURIComponent(approval.approval_id)}`;
      await this.api.post(path, { decision });
      // The answer shows when its event arrives: the page says what the log says.
    } catch (error) {
      problem.textContent = error.message;
      for (const button of buttons) button.disabled = false;
    }
  }
}
