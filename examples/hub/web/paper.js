// What is drawn, and drawing. Coordinates go from 0 to 10000 in both directions.

export const colours = [
  { name: "ink", css: "#22201c" },
  { name: "red", css: "#c8402f" },
  { name: "orange", css: "#e08a1e" },
  { name: "yellow", css: "#e3bf2b" },
  { name: "green", css: "#2e8b57" },
  { name: "blue", css: "#2f6fbd" },
  { name: "violet", css: "#7a4fb0" },
  { name: "white", css: "#fffdf9" },
];
export const widths = [
  { name: "thin", dot: 5, line: 22 },
  { name: "medium", dot: 10, line: 55 },
  { name: "broad", dot: 17, line: 180 },
];
export const maxPoints = 64; // of a stroke, for the server
const extent = 10_000;

export class Paper {
  colour = 0;
  width = 1;
  enabled = false;
  ondraw = () => {};

  #strokes = []; // as the server has ordered them
  #mine = []; // sent, and not come back yet
  #frames = null; // of a replay, instead
  #points = null; // of the line that the pen is drawing, since the last stroke was sent
  #canvas;
  #pen;
  #timer = 0;
  #due = false;

  constructor(canvas) {
    this.#canvas = canvas;
    this.#pen = canvas.getContext("2d");
    new ResizeObserver(() => this.#resize()).observe(canvas);
    canvas.addEventListener("pointerdown", (e) => this.#down(e));
    canvas.addEventListener("pointermove", (e) => this.#move(e));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => this.#up());
  }

  get empty() {
    return !this.#strokes.length && !this.#mine.length && !this.#points;
  }

  // add is a stroke that the server has taken; mine, if it came from here.
  add(stroke, mine) {
    if (mine) this.#mine.shift();
    this.#strokes.push(stroke);
    this.#redraw();
  }

  forget(stroke) {
    this.#mine = this.#mine.filter((s) => s !== stroke);
    this.#redraw();
  }

  wipe() {
    this.#strokes = [];
    this.#redraw();
  }

  reset(strokes) {
    this.#strokes = strokes;
    this.#mine = [];
    this.#points = null;
    this.#redraw();
  }

  play() {
    this.#frames = [];
    this.#redraw();
  }

  frame(stroke) {
    this.#frames?.push(stroke);
    this.#redraw();
  }

  live() {
    this.#frames = null;
    this.#redraw();
  }

  #down(event) {
    if (!this.enabled || this.#frames || event.button !== 0) return;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#points = [];
    this.#point(event);
  }

  #move(event) {
    if (!this.#points) return;
    for (const e of event.getCoalescedEvents?.() ?? []) this.#point(e);
    this.#point(event);
  }

  #point(event) {
    const box = this.#canvas.getBoundingClientRect();
    const at = (v, size) => Math.max(0, Math.min(extent, Math.round((v / size) * extent)));
    const x = at(event.clientX - box.left, box.width);
    const y = at(event.clientY - box.top, box.height);
    const p = this.#points;
    if (p.length && Math.hypot(x - p.at(-2), y - p.at(-1)) < 15) return;
    p.push(x, y);
    this.#redraw();
    if (p.length >= 2 * maxPoints) this.#send();
    else this.#timer ||= setTimeout(() => this.#send(), 50);
  }

  #up() {
    if (!this.#points) return;
    this.#send();
    this.#points = null;
  }

  // send makes a stroke of what was drawn; the next one begins where it ends.
  #send() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const p = this.#points;
    if (!p || (p.length === 2 && p.sent)) return;
    const stroke = { colour: this.colour, width: this.width, points: [...p] };
    this.#points = p.slice(-2);
    this.#points.sent = true;
    this.#mine.push(stroke);
    this.ondraw(stroke);
  }

  #resize() {
    const box = this.#canvas.getBoundingClientRect();
    this.#canvas.width = Math.round(box.width * devicePixelRatio);
    this.#canvas.height = Math.round(box.height * devicePixelRatio);
    this.#redraw();
  }

  #redraw() {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.#pen.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
      if (this.#frames) return this.#frames.forEach((s) => this.#line(s));
      for (const s of this.#strokes) this.#line(s);
      for (const s of this.#mine) this.#line(s);
      if (this.#points) this.#line({ colour: this.colour, width: this.width, points: this.#points });
    });
  }

  #line({ colour, width, points }) {
    const pen = this.#pen;
    const x = this.#canvas.width / extent;
    const y = this.#canvas.height / extent;
    pen.lineCap = pen.lineJoin = "round";
    pen.strokeStyle = colours[colour]?.css ?? "#000";
    pen.lineWidth = Math.max(1, (widths[width]?.line ?? 50) * x);
    pen.beginPath();
    pen.moveTo(points[0] * x, points[1] * y);
    for (let i = 2; i < points.length; i += 2) pen.lineTo(points[i] * x, points[i + 1] * y);
    if (points.length === 2) pen.lineTo(points[0] * x, points[1] * y);
    pen.stroke();
  }
}
