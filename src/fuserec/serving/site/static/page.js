// What every page has: the theme, the API key, a line that says what happened, and the search box.
const words = JSON.parse(document.getElementById("words").textContent);
const dialog = document.getElementById("key");
const field = document.getElementById("key-field");
let timer;

export const word = (name) => words[name];

export function say(text) {
  const said = document.getElementById("said");
  said.textContent = text;
  clearTimeout(timer);
  timer = setTimeout(() => (said.textContent = ""), 5000);
}

export const key = () => sessionStorage.getItem("fuserec-key") || "";

function keep(secret) {
  if (secret) sessionStorage.setItem("fuserec-key", secret);
  else sessionStorage.removeItem("fuserec-key");
  document.body.classList.toggle("has-key", Boolean(secret));
}

/** Open the key dialog → the key, or "" where none was given. */
export function askForKey() {
  field.value = key();
  dialog.returnValue = "";
  dialog.showModal();
  field.focus();
  return new Promise((done) => dialog.addEventListener("close", () => done(key()), { once: true }));
}

/** Send a request with the key, asking for one where there is none or it is refused → the response, or null. */
export async function write(address, options) {
  const secret = key() || (await askForKey());
  if (!secret) {
    say(word("js.key.needed"));
    return null;
  }
  try {
    const headers = { ...options.headers, Authorization: `Bearer ${secret}` };
    return await fetch(address, { ...options, headers });
  } catch {
    say(word("js.failed"));
    return null;
  }
}

/** A response that is an error → its sentence; a key that is not known is forgotten. */
export async function detail(response) {
  if (response.status === 401) keep("");
  const told = await response.json().catch(() => ({}));
  return told.detail || String(response.status);
}

dialog.addEventListener("close", () => {
  const before = key();
  if (dialog.returnValue === "use") keep(field.value.trim());
  if (dialog.returnValue === "forget") keep("");
  field.value = "";
  if (key() !== before) say(word(key() ? "js.key.kept" : "js.key.gone"));
});
document.getElementById("key-open").addEventListener("click", askForKey);
document.getElementById("sign-out")?.addEventListener("submit", () => keep(""));
keep(key());

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
  dispatchEvent(new Event("themechange"));
});

/** Parts that the server is still computing are asked for again until they are there. */
async function fill() {
  for (let wait = 700; document.querySelector("[data-making]"); wait = Math.min(1.5 * wait, 10000)) {
    await new Promise((done) => setTimeout(done, wait));
    const response = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
    if (!response || !response.ok || response.redirected) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const part of document.querySelectorAll("[data-making]")) {
      const made = fresh.getElementById(part.id);
      if (!made) part.remove();
      else if (!("making" in made.dataset)) part.replaceWith(made);
    }
  }
}
fill();

const search = document.getElementById("search");
if (search) {
  const file = search.elements.file;
  const name = document.getElementById("search-name");
  const unchosen = name.textContent;
  const show = () => {
    name.textContent = file.files.length ? file.files[0].name : unchosen;
    name.parentElement.classList.toggle("chosen", file.files.length > 0);
  };
  file.addEventListener("change", show);
  search.addEventListener("dragover", (event) => {
    event.preventDefault();
    search.classList.add("over");
  });
  search.addEventListener("dragleave", () => search.classList.remove("over"));
  search.addEventListener("drop", (event) => {
    event.preventDefault();
    search.classList.remove("over");
    if (event.dataTransfer.files.length) file.files = event.dataTransfer.files;
    show();
  });
  // Words alone are an address that can be kept and sent on.
  search.addEventListener("submit", (event) => {
    if (file.files.length) return;
    event.preventDefault();
    const asked = new URLSearchParams({ text: search.elements.text.value });
    if (search.elements.by && search.elements.by.value) asked.set("by", search.elements.by.value);
    location.assign(`/search?${asked}`);
  });
  addEventListener("pageshow", show);
}
