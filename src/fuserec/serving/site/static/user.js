// The user's page: diversity and feedback change the list at once. The server makes the list; here it is put in place.
import { detail, say, word, write } from "./page.js";

const section = document.getElementById("user");
const slider = document.getElementById("diversity");
const told = document.getElementById("diversity-told");
let asked = 0;

async function refresh(ids) {
  const address = new URL(location.href);
  if (Number(slider.value)) address.searchParams.set("diversity", slider.value);
  else address.searchParams.delete("diversity");
  history.replaceState(null, "", address);
  const turn = ++asked;
  const list = document.getElementById("list");
  list.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(address, { headers: { Accept: "text/html" } });
    if (turn !== asked) return; // a later one is under way
    if (response.redirected) return location.reload(); // the key does not count any more: sign in again
    if (!response.ok) return say(word("js.failed"));
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const id of ids) document.getElementById(id).replaceWith(fresh.getElementById(id));
  } catch {
    say(word("js.failed"));
  } finally {
    if (turn === asked) document.getElementById("list").removeAttribute("aria-busy");
  }
}

slider.addEventListener("input", () => {
  const share = `${Math.round(100 * slider.value)}\u00a0%`;
  told.textContent = share;
  slider.setAttribute("aria-valuetext", share);
});
slider.addEventListener("change", () => refresh(["list"]));

document.getElementById("content").addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-kind]");
  if (!button) return;
  const cell = button.closest("[data-item]");
  const within = cell.closest("#list") ? "#list" : "#past";
  const place = [...document.querySelectorAll(`${within} [data-item]`)].indexOf(cell);
  const kind = button.dataset.kind;
  const body = { event_id: crypto.randomUUID ? crypto.randomUUID() : String(Math.random()).slice(2), user_id: section.dataset.user, item_id: cell.dataset.item, kind };
  cell.querySelectorAll("button").forEach((one) => (one.disabled = true));
  const headers = { "Content-Type": "application/json" };
  const response = await write("/v1/interactions", { method: "POST", headers, body: JSON.stringify(body) });
  if (!response || !response.ok) {
    if (response) say(await detail(response));
    cell.querySelectorAll("button").forEach((one) => (one.disabled = false));
    button.focus();
    return;
  }
  say(word({ like: "js.liked", hide: "js.hidden", undo: "js.undone" }[kind]));
  await refresh(["list", "basis", "interest", "past"]);
  // Who uses the keyboard goes on where he was.
  document.querySelectorAll(`${within} [data-item]`)[place]?.querySelector(`[data-kind=${kind}]`)?.focus();
});
