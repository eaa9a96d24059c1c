// A new item: the form is sent with the key in a header; then its page is opened.
import { detail, say, word, write } from "./page.js";

const form = document.getElementById("add");
const wrong = document.getElementById("wrong");

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  wrong.textContent = "";
  const sent = new FormData();
  for (const [name, value] of new FormData(form)) {
    if (value instanceof File ? value.size : value.trim()) sent.append(name, value);
  }
  const vectors = {};
  for (const area of form.querySelectorAll("[data-vector]")) {
    if (area.value.trim()) vectors[area.dataset.vector] = area.value.split(",").map(Number);
  }
  if (Object.keys(vectors).length) sent.append("vectors", JSON.stringify(vectors));
  const button = form.querySelector("button");
  button.disabled = true;
  say(word("js.saving"));
  const response = await write("/v1/items", { method: "POST", body: sent });
  button.disabled = false;
  if (!response) return;
  if (!response.ok) {
    wrong.textContent = await detail(response);
    say("");
    return;
  }
  const { item_id } = await response.json();
  location.assign(`/items/${encodeURIComponent(item_id)}`);
});
