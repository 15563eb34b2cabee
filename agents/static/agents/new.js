/** The form of a new agent: a sample prompt is taken over with one click, or with the keyboard. */

const form = document.getElementById("new-agent");
const input = form.elements.input;

for (const item of form.querySelectorAll("[data-sample]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "sample";
  button.textContent = item.dataset.sample;
  button.addEventListener("click", () => {
    input.value = item.dataset.sample;
    for (const choice of form.querySelectorAll("[name=definition]")) choice.checked = choice.value === item.dataset.definition;
    input.focus();
  });
  item.replaceChildren(button);
}
