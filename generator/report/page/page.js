"use strict";
// The charts are drawn already: this shows one of them, tells of its marks, and sorts the table.
const variants = JSON.parse(document.getElementById("data").textContent).variants;
const tip = document.getElementById("tip");
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const markOf = (svg, number) => svg.querySelector(`use[data-v="${number}"]`);
const place = (mark) => [Number(mark.getAttribute("x")), Number(mark.getAttribute("y"))];
const labelOf = (variant) => `${variant.name}: ${variant.details.map((pair) => pair.join(" ")).join(", ")}`;
let shown = null; // the mark that is told of
const NEAR = 26; // pixels within which a pointer finds a mark

function choose() {
  const value = (name) => document.querySelector(`input[name=${name}]:checked`)?.value;
  const [x, fixed] = value("axes").split(" "); // the quality is fixed where speed is the other axis
  for (const input of all("#qualities input")) input.disabled = Boolean(fixed);
  for (const figure of all("#front figure"))
    figure.hidden = figure.dataset.x !== x || figure.dataset.y !== (fixed ?? value("quality"));
  hide();
}

function ring(svg, number) {
  const mark = markOf(svg, number);
  if (!mark) return;
  const circle = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  circle.setAttribute("class", "ring");
  circle.setAttribute("r", 12.5);
  circle.setAttribute("cx", place(mark)[0]);
  circle.setAttribute("cy", place(mark)[1]);
  svg.append(circle);
}

function hide() {
  shown = null;
  tip.hidden = true;
  for (const circle of all(".ring")) circle.remove();
  for (const row of all("tr.on")) row.classList.remove("on");
}

function show(mark) {
  hide();
  const number = Number(mark.dataset.v);
  for (const svg of all("figure > svg")) ring(svg, number);
  document.querySelector(`tr[data-r="${number}"]`)?.classList.add("on");
  tip.querySelector("h2").textContent = variants[number].name;
  tip.querySelector("dl").replaceChildren(
    ...variants[number].details.flatMap((pair) =>
      pair.map((words, i) => Object.assign(document.createElement(i ? "dd" : "dt"), { textContent: words })),
    ),
  );
  tip.hidden = false;
  shown = mark;
  settle();
}

function settle() {
  if (!shown) return;
  const at = shown.getBoundingClientRect();
  tip.style.left = tip.style.top = ""; // a narrow screen has it at an end
  tip.classList.toggle("up", at.top > innerHeight / 2);
  if (matchMedia("(max-width: 680px)").matches) return;
  const left = at.right + 14 + tip.offsetWidth < innerWidth ? at.right + 14 : at.left - 14 - tip.offsetWidth;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${Math.max(4, Math.min(at.top - 20, innerHeight - tip.offsetHeight - 4))}px`;
}

function nearest(svg, event) {
  let best = null, least = NEAR;
  for (const mark of all("use[data-v]", svg)) {
    const box = mark.getBoundingClientRect();
    const far = Math.hypot(event.clientX - box.x - box.width / 2, event.clientY - box.y - box.height / 2);
    if (far < least) [best, least] = [mark, far];
  }
  return best;
}

function point(event) {
  const mark = nearest(event.currentTarget, event);
  if (mark) show(mark);
  else hide();
}

function walk(event) {
  const marks = all("use[data-v]", event.currentTarget).sort((a, b) => place(a)[0] - place(b)[0] || place(b)[1] - place(a)[1]);
  const now = marks.indexOf(document.activeElement);
  const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Home: -now, End: marks.length - 1 - now };
  if (now < 0 || !(event.key in steps)) return;
  event.preventDefault();
  const next = marks[(now + steps[event.key] + marks.length) % marks.length];
  document.activeElement.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

function sort(event) {
  const head = event.currentTarget.closest("th"), key = head.dataset.k;
  const down = head.ariaSort === "ascending";
  for (const other of all("thead th")) other.ariaSort = null;
  head.ariaSort = down ? "descending" : "ascending";
  const value = (row) => variants[row.dataset.r].figures[key] ?? variants[row.dataset.r][key];
  const order = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b)) * (down ? -1 : 1);
  const known = (row) => value(row) !== undefined;
  const rows = all("tbody tr"); // those without a figure come last, either way
  const sorted = rows.filter(known).sort((a, b) => order(value(a), value(b)));
  head.closest("table").tBodies[0].append(...sorted, ...rows.filter((row) => !known(row)));
}

for (const svg of all("figure > svg")) {
  all("use[data-v]", svg).forEach((mark, i) => {
    mark.setAttribute("role", "img");
    mark.setAttribute("aria-label", labelOf(variants[mark.dataset.v]));
    mark.tabIndex = i ? -1 : 0; // one stop a chart: arrows go on from there
    mark.addEventListener("focus", () => show(mark));
    mark.addEventListener("blur", hide);
  });
  svg.addEventListener("pointermove", point);
  svg.addEventListener("pointerdown", point);
  svg.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hide());
  svg.addEventListener("keydown", walk);
}
for (const input of all(".switches input")) input.addEventListener("change", choose);
for (const button of all("thead button")) button.addEventListener("click", sort);
addEventListener("keydown", (event) => event.key === "Escape" && hide());
addEventListener("scroll", settle, { passive: true });
if (document.querySelector(".switches")) choose();
