// The map: items as dots on a canvas. Pixels are set one by one: without a graphics card, that is several times as fast
// as to draw 10,000 circles or small pictures.
import { say, word } from "./page.js";

const COLORS = ["#4263eb", "#e8890c", "#2f9e44", "#d6336c", "#0c8599", "#7048e8", "#a0522d", "#c2a300", "#5c7cfa", "#f06595", "#20c997", "#868e96"];
const NONE = "#9aa5ba";
// As ImageData holds them: blue, green, red from high to low.
const RGB = [NONE, ...COLORS].map((hex) => (parseInt(hex.slice(5, 7), 16) << 16) | (parseInt(hex.slice(3, 5), 16) << 8) | parseInt(hex.slice(1, 3), 16));
const NEAR = 14; // pixels from the pointer within which a dot is meant
const canvas = document.getElementById("map");
const tip = document.getElementById("tip");
const pen = canvas.getContext("2d");
const view = { x: 0, y: 0, zoom: 1 };
const pointers = new Map();
let data = null, chosen = -1, highlighted = -1, pending = false, picture = null, mask = {}, moved = 0;

const scale = () => 0.46 * Math.min(canvas.clientWidth, canvas.clientHeight) * view.zoom;
const across = (x) => canvas.clientWidth / 2 + (x - view.x) * scale();
const down = (y) => canvas.clientHeight / 2 + (y - view.y) * scale();

function draw() {
  pending = false;
  if (!data) return;
  const ratio = devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
  if (!width || !height) return;
  if (!picture || picture.width !== width || picture.height !== height) {
    Object.assign(canvas, { width, height });
    picture = pen.createImageData(width, height);
  }
  const pixels = new Uint32Array(picture.data.buffer).fill(0);
  const radius = Math.min(9, Math.max(1.6, 46 / Math.sqrt(data.x.length)) * Math.sqrt(view.zoom) + 1);
  const { side, alphas } = maskOf(radius * ratio);
  const reach = scale() * ratio;
  const left = Math.round(width / 2 - view.x * reach - side / 2), top = Math.round(height / 2 - view.y * reach - side / 2);
  for (let turn = 0; turn < 2; turn++) { // the highlighted cluster comes last, above the others
    const strength = highlighted < 0 ? 0.9 : turn ? 1 : 0.14;
    for (let i = 0; i < data.x.length; i++) {
      if ((highlighted >= 0 && data.cluster[i] === highlighted) !== Boolean(turn)) continue;
      const x = Math.round(left + data.x[i] * reach), y = Math.round(top + data.y[i] * reach);
      if (x < 0 || y < 0 || x + side > width || y + side > height) continue;
      const color = RGB[data.cluster[i] + 1];
      for (let row = 0, m = 0; row < side; row++) {
        for (let at = (y + row) * width + x, end = at + side; at < end; at++, m++) {
          const alpha = strength * alphas[m];
          if (alpha && alpha >= pixels[at] >>> 24) pixels[at] = (alpha << 24) | color;
        }
      }
    }
  }
  pen.putImageData(picture, 0, 0);
  if (chosen >= 0) {
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.beginPath();
    pen.arc(across(data.x[chosen]), down(data.y[chosen]), radius + 3, 0, 2 * Math.PI);
    pen.lineWidth = 2.5;
    pen.strokeStyle = getComputedStyle(canvas).color;
    pen.stroke();
  }
}

/** A radius in pixels of the screen → how opaque the pixels of a dot are, 0 to 255, row by row. */
function maskOf(radius) {
  if (mask.radius === radius) return mask;
  const side = 2 * Math.ceil(radius + 1), alphas = new Float32Array(side * side);
  for (let m = 0; m < alphas.length; m++) {
    const far = Math.hypot((m % side) + 0.5 - side / 2, Math.floor(m / side) + 0.5 - side / 2);
    alphas[m] = 255 * Math.min(1, Math.max(0, radius - far + 0.5));
  }
  return (mask = { radius, side, alphas });
}

function redraw() {
  if (!pending) {
    pending = true;
    requestAnimationFrame(draw);
  }
}

function zoomBy(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  const before = scale();
  view.zoom = Math.min(60, Math.max(0.7, view.zoom * factor));
  const after = scale();
  view.x += (x - canvas.clientWidth / 2) * (1 / before - 1 / after); // what is under the pointer stays there
  view.y += (y - canvas.clientHeight / 2) * (1 / before - 1 / after);
  place();
  redraw();
}

function pan(dx, dy) {
  view.x = Math.min(2, Math.max(-2, view.x - dx / scale()));
  view.y = Math.min(2, Math.max(-2, view.y - dy / scale()));
  place();
  redraw();
}

function seeAll() {
  Object.assign(view, { x: 0, y: 0, zoom: 1 });
  place();
  redraw();
}

function nearest(x, y) {
  let best = -1, least = NEAR * NEAR;
  for (let i = 0; i < data.x.length; i++) {
    if (highlighted >= 0 && data.cluster[i] !== highlighted) continue;
    const far = (across(data.x[i]) - x) ** 2 + (down(data.y[i]) - y) ** 2;
    if (far < least) [best, least] = [i, far];
  }
  return best;
}

function choose(item, stays = false) {
  if (item === chosen && stays === tip.classList.contains("stays")) return;
  chosen = item;
  tip.hidden = item < 0;
  tip.classList.toggle("stays", stays);
  if (item >= 0) {
    tip.href = `/items/${encodeURIComponent(data.item_ids[item])}`;
    tip.replaceChildren();
    if (data.pictures[item]) tip.append(Object.assign(new Image(), { src: data.pictures[item], alt: "", width: 150, height: 150 }));
    const name = document.createElement("span");
    name.textContent = data.titles[item];
    const cluster = Object.assign(document.createElement("span"), { className: "soft" });
    cluster.textContent = data.clusters[data.cluster[item]]?.name || "";
    tip.append(name, cluster);
    place();
  }
  redraw();
}

function place() {
  if (chosen < 0) return;
  const x = across(data.x[chosen]), y = down(data.y[chosen]), wide = tip.offsetWidth, high = tip.offsetHeight;
  const left = x + 16 + wide > canvas.clientWidth ? x - wide - 16 : x + 16;
  const top = Math.min(Math.max(8, y - high / 2), Math.max(8, canvas.clientHeight - high - 8));
  tip.style.transform = `translate(${Math.max(4, left)}px, ${top}px)`;
}

/** The next item to the right (or left) in reading order of what is in view. */
function step(by) {
  const inside = [...data.x.keys()].filter((i) => {
    const x = across(data.x[i]), y = down(data.y[i]);
    return (highlighted < 0 || data.cluster[i] === highlighted) && x >= 0 && y >= 0 && x <= canvas.clientWidth && y <= canvas.clientHeight;
  });
  inside.sort((a, b) => data.x[a] - data.x[b]);
  if (!inside.length) return;
  const at = inside.indexOf(chosen);
  choose(inside[(at + by + inside.length) % inside.length], true);
  say(data.titles[chosen]);
}

function at(event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

function listen() {
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.03 : 0.0016)), ...at(event));
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    moved = 0;
    canvas.classList.add("moving");
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = at(event), before = pointers.get(event.pointerId);
    if (!before) return choose(nearest(x, y));
    if (pointers.size === 2) {
      const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
      const apart = ([a, b]) => Math.hypot(a - other[0], b - other[1]) || 1;
      zoomBy(apart([x, y]) / apart(before), ...other);
      moved = 99;
    } else {
      moved += Math.abs(x - before[0]) + Math.abs(y - before[1]);
      if (moved > 3) pan(x - before[0], y - before[1]);
    }
    pointers.set(event.pointerId, [x, y]);
  });
  const up = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    canvas.classList.toggle("moving", pointers.size > 0);
    if (event.type !== "pointerup" || moved > 5) return;
    const item = nearest(...at(event)), again = item === chosen && tip.classList.contains("stays");
    if (item >= 0 && (again || event.pointerType === "mouse")) location.assign(`/items/${encodeURIComponent(data.item_ids[item])}`);
    else choose(item, item >= 0);
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", () => tip.classList.contains("stays") || choose(-1));
  canvas.addEventListener("keydown", (event) => {
    const far = 60;
    const done = {
      ArrowLeft: () => pan(far, 0), ArrowRight: () => pan(-far, 0), ArrowUp: () => pan(0, far), ArrowDown: () => pan(0, -far),
      "+": () => zoomBy(1.4), "=": () => zoomBy(1.4), "-": () => zoomBy(1 / 1.4), 0: seeAll, n: () => step(1), p: () => step(-1),
      Escape: () => choose(-1), Enter: () => chosen >= 0 && location.assign(tip.href),
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!done || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    done();
  });
  document.getElementById("zoom-in").addEventListener("click", () => zoomBy(1.5));
  document.getElementById("zoom-out").addEventListener("click", () => zoomBy(1 / 1.5));
  document.getElementById("zoom-all").addEventListener("click", seeAll);
  new ResizeObserver(() => (place(), redraw())).observe(canvas);
  addEventListener("themechange", redraw);
}

function legend() {
  const template = document.getElementById("cluster");
  data.clusters.forEach((cluster, number) => {
    const row = template.content.cloneNode(true);
    const button = row.querySelector("button");
    row.querySelector(".dot").style.background = COLORS[number];
    row.querySelector(".name").textContent = cluster.name || word("js.cluster").replace("{n}", number + 1);
    row.querySelector(".n").textContent = cluster.n_items;
    for (const card of cluster.typical) {
      const link = Object.assign(document.createElement("a"), { className: "small", href: `/items/${encodeURIComponent(card.item_id)}`, title: card.title });
      link.setAttribute("aria-label", card.title);
      if (card.picture) link.append(Object.assign(new Image(), { src: card.picture, alt: "", loading: "lazy", width: 40, height: 40 }));
      else link.append(Object.assign(document.createElement("span"), { className: "tile", textContent: card.title.slice(0, 1) }));
      row.querySelector(".strip").append(link);
    }
    button.addEventListener("click", () => {
      highlighted = highlighted === number ? -1 : number;
      document.querySelectorAll("#legend button").forEach((one) => one.setAttribute("aria-pressed", String(one === button && highlighted >= 0)));
      redraw();
    });
    document.getElementById("legend").append(row);
  });
}

say(word("js.loading"));
try {
  const response = await fetch("/map.json");
  if (!response.ok) throw new Error(String(response.status));
  data = await response.json();
  document.getElementById("map-method").textContent = `${data.method}, ${data.by}`;
  document.getElementById("making")?.remove();
  say("");
  legend();
  listen();
  redraw();
  window.fuserecMap = { draw, zoomBy, pan, view }; // for the measurement of frames in tests
  canvas.dataset.ready = String(data.x.length);
} catch {
  say(word("js.failed"));
}
