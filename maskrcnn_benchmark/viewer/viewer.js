/* Draws every section.sg of a page from the json within it: picture, graph and triplets that light up together. */
(() => {
  "use strict";
  const SVG = "http://www.w3.org/2000/svg";
  const WIDTH = 640, FONT = 15, PILL = 28, GAP = 14, ROOM = 240, ROUNDS = 300;

  function element(name, attributes = {}, ...children) {
    const svg = ["svg", "g", "rect", "text", "path", "use", "defs", "marker"].includes(name);
    const made = svg ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  const ruler = document.createElement("canvas").getContext("2d");
  function textWidth(text, size) {
    ruler.font = `600 ${size}px system-ui, sans-serif`;
    return ruler.measureText(text).width;
  }
  const shorten = (text, longest) => (text.length > longest ? text.slice(0, longest - 1) + "…" : text);
  const shownScore = (score) => {
    if (typeof score !== "number") return "";
    return score >= 0.01 || score === 0 ? score.toFixed(2) : score.toExponential(0);
  };

  class Viewer {
    constructor(section) {
      this.section = section;
      this.data = JSON.parse(section.querySelector("script").textContent);
      this.pinned = null;
      const { objects, relations } = this.data;
      this.titles = objects.map((one) => `${one.number} ${one.name}`);
      this.scored = relations.some((one) => typeof one.score === "number");
      this.top = Math.max(0, ...relations.map((one) => one.score ?? 0));
      this.places = objects.map((one) => [(one.box[0] + one.box[2]) / 2 / this.data.width,
                                          (one.box[1] + one.box[3]) / 2 / this.data.height]);
      const panels = element("div", { class: "sg-panels" });
      section.append(this.controls(), panels);
      this.picture = element("svg", { class: "sg-picture", role: "group", "aria-label": "picture with boxes",
                                      viewBox: `0 0 ${this.data.width} ${this.data.height}` });
      this.graph = element("svg", { class: "sg-graph", role: "group", "aria-label": "graph" });
      this.list = element("ol", { class: "sg-list", "aria-label": "relations" });
      panels.append(this.picture, this.graph, this.list);
      this.listen();
      this.update();
    }

    /* -- sliders ------------------------------------------------------------------------------------------------- */
    controls() {
      const bar = element("div", { class: "sg-controls" });
      const slider = (kind, text, max, value) => {
        const input = element("input", { type: "range", min: 0, max, value, step: 1, class: `sg-${kind}` });
        const output = element("output");
        input.addEventListener("input", () => this.update());
        bar.append(element("label", {}, text, input, output));
        return [input, output];
      };
      const count = this.data.relations.length;
      this.count = slider("count", "relations", count, Math.min(this.data.shown, count));
      if (this.scored) this.least = slider("least", "score at least", 100, 0);
      return bar;
    }

    update() {
      const count = Number(this.count[0].value);
      // squared, for most scores are small
      const least = this.least ? this.top * (Number(this.least[0].value) / 100) ** 2 : 0;
      this.relations = this.data.relations
        .map((one, place) => ({ ...one, place }))
        .slice(0, count)
        .filter((one) => !this.scored || (one.score ?? 0) >= least);
      this.count[1].textContent = `${this.relations.length} of ${this.data.relations.length}`;
      if (this.least) this.least[1].textContent = shownScore(least);
      const used = new Set(this.relations.flatMap((one) => [one.subject, one.object]));
      this.objects = this.data.objects.map((_, i) => i)
        .filter((i) => used.has(i) || (this.data.relations.length === 0));
      this.pinned = null;
      this.drawPicture();
      this.drawGraph();
      this.drawList();
      this.light(null);
    }

    /* -- picture ------------------------------------------------------------------------------------------------- */
    drawPicture() {
      const { objects, width, height, symbol } = this.data;
      const letter = Math.max(width, height) / 30;
      this.picture.replaceChildren(element("use", { href: `#${symbol}` }));
      this.picture.setAttribute("font-size", letter);
      const area = (i) => (objects[i].box[2] - objects[i].box[0]) * (objects[i].box[3] - objects[i].box[1]);
      const taken = [];
      for (const i of [...this.objects].sort((a, b) => area(b) - area(a))) { // small ones on top, so that all can be reached
        const [x1, y1, x2, y2] = objects[i].box, text = String(objects[i].number);
        const frame = { x: x1, y: y1, width: Math.max(x2 - x1, 1), height: Math.max(y2 - y1, 1) };
        const wide = letter * (0.5 + 0.62 * text.length), high = letter * 1.2;
        let left = Math.min(Math.max(x1, 0), width - wide);
        const top = Math.min(Math.max(y1, 0), height - high);
        for (const [l, t, w] of taken.sort((a, b) => a[0] - b[0])) {
          if (Math.abs(t - top) < high && l - wide < left && left < l + w) left = Math.min(l + w, width - wide);
        }
        taken.push([left, top, wide]);
        const colour = objects[i].colour;
        this.picture.append(element("g", { class: "sg-box", "data-object": i },
          element("title", {}, this.titles[i]),
          element("rect", { ...frame, class: "sg-halo" }), element("rect", { ...frame, class: "sg-frame", stroke: colour }),
          element("rect", { x: left, y: top, width: wide, height: high, style: `fill:${colour};stroke:none` }),
          element("text", { x: left + wide / 2, y: top + letter * 0.95 }, text)));
      }
    }

    /* -- graph --------------------------------------------------------------------------------------------------- */
    drawGraph() {
      const pills = new Map(this.objects.map((i) => {
        const text = shorten(this.titles[i], 26);
        return [i, { text, width: textWidth(text, FONT) + 20 }];
      }));
      const height = this.layout(pills);
      this.graph.setAttribute("viewBox", `0 0 ${WIDTH} ${height}`);
      this.graph.setAttribute("font-size", FONT);
      this.graph.replaceChildren();
      const seen = new Map(), edges = [];
      for (const one of this.relations) {
        const key = `${one.subject} ${one.object}`, nth = seen.get(key) ?? 0;
        seen.set(key, nth + 1);
        edges.push(this.edge(one, pills, nth));
      }
      this.graph.append(...edges.map((edge) => edge[0]));
      for (const [i, pill] of pills) {
        this.graph.append(element("g", { class: "sg-node", "data-object": i, tabindex: 0, role: "button",
                                         "aria-label": this.titles[i] },
          element("title", {}, this.titles[i]),
          element("rect", { x: pill.x - pill.width / 2, y: pill.y - PILL / 2, width: pill.width, height: PILL,
                            rx: 8, fill: this.data.objects[i].colour }),
          element("text", { x: pill.x, y: pill.y }, pill.text)));
      }
      this.placeLabels(edges.map((edge) => edge[1]), pills, height);
      if (!this.objects.length) this.graph.append(element("text", { x: 20, y: 30, fill: "currentColor" }, "no objects"));
    }

    /* Puts the nodes where their boxes are in the picture, and moves them apart until none covers another. */
    layout(pills) {
      const ratio = Math.min(Math.max(this.data.height / this.data.width, 0.6), 1.2);
      const height = Math.max(WIDTH * ratio, 90 + 44 * Math.sqrt(pills.size) * 2);
      const nodes = [...pills.values()];
      [...pills.keys()].forEach((i, n) => {
        // a little apart, for boxes with the same centre
        pills.get(i).x = 60 + this.places[i][0] * (WIDTH - 120) + 7 * Math.cos(2.4 * n);
        pills.get(i).y = 40 + this.places[i][1] * (height - 80) + 7 * Math.sin(2.4 * n);
      });
      const degree = new Map();
      for (const one of this.relations) {
        for (const end of [one.subject, one.object]) degree.set(end, (degree.get(end) ?? 0) + 1);
      }
      const links = this.relations.map((one) => [pills.get(one.subject), pills.get(one.object),
                                                 110 + textWidth(shorten(one.predicate, 24), FONT),
                                                 Math.max(degree.get(one.subject), degree.get(one.object))]);
      for (let round = 0; round < ROUNDS; round++) {
        const heat = 1 - round / ROUNDS;
        for (const [a, b, apart, many] of links) { // neighbours draw near, with room for what is between them
          const x = b.x - a.x, y = b.y - a.y, far = Math.hypot(x, y) || 1;
          const pull = 0.08 / many * heat * (far - apart) / far;
          a.x += x * pull; a.y += y * pull; b.x -= x * pull; b.y -= y * pull;
        }
        for (let i = 0; i < nodes.length; i++) {
          for (let j = i + 1; j < nodes.length; j++) {
            const a = nodes[i], b = nodes[j], x = b.x - a.x || 0.1, y = b.y - a.y || 0.1, far = Math.hypot(x, y);
            if (far < ROOM) { // all others keep a distance
              const push = heat * 6 * (ROOM - far) / ROOM / far;
              a.x -= x * push; a.y -= y * push; b.x += x * push; b.y += y * push;
            }
            const overX = (a.width + b.width) / 2 + GAP - Math.abs(x), overY = PILL + GAP * 1.6 - Math.abs(y);
            if (overX > 0 && overY > 0) {
              if (overX < overY) { const s = Math.sign(x) * overX / 2; a.x -= s; b.x += s; }
              else { const s = Math.sign(y) * overY / 2; a.y -= s; b.y += s; }
            }
          }
        }
        for (const one of nodes) {
          one.x = Math.min(Math.max(one.x, one.width / 2 + 6), WIDTH - one.width / 2 - 6);
          one.y = Math.min(Math.max(one.y, PILL / 2 + 8), height - PILL / 2 - 8);
        }
      }
      return height;
    }

    edge(one, pills, nth) {
      const a = pills.get(one.subject), b = pills.get(one.object), colour = this.data.objects[one.subject].colour;
      const far = Math.hypot(b.x - a.x, b.y - a.y) || 1;
      // bent to one side, so that there and back are two; further relations of a pair bend more
      const bend = Math.min(far * 0.16, 34) + 26 * nth;
      const bow = [(a.x + b.x) / 2 - (b.y - a.y) / far * bend, (a.y + b.y) / 2 + (b.x - a.x) / far * bend];
      const rim = (from, pill) => { // where the line meets the pill
        const x = from[0] - pill.x, y = from[1] - pill.y;
        const k = Math.min((pill.width / 2 + 3) / (Math.abs(x) || 1e-6), (PILL / 2 + 3) / (Math.abs(y) || 1e-6), 1);
        return [pill.x + x * k, pill.y + y * k];
      };
      const start = rim(bow, a), end = rim(bow, b);
      const path = `M${start[0].toFixed(1)} ${start[1].toFixed(1)}Q${bow[0].toFixed(1)} ${bow[1].toFixed(1)} ` +
                   `${end[0].toFixed(1)} ${end[1].toFixed(1)}`;
      const angle = Math.atan2(end[1] - bow[1], end[0] - bow[0]);
      const wing = (turn) => `${(end[0] - 10 * Math.cos(angle + turn)).toFixed(1)} ${(end[1] - 10 * Math.sin(angle + turn)).toFixed(1)}`;
      const text = shorten(one.predicate, 24);
      const group = element("g", { class: "sg-edge", "data-relation": one.place },
        element("title", {}, `${this.titles[one.subject]} ${one.predicate} ${this.titles[one.object]}`),
        element("path", { d: path, class: "sg-hit" }), element("path", { d: path, stroke: colour }),
        element("path", { d: `M${wing(0.45)}L${end[0].toFixed(1)} ${end[1].toFixed(1)}L${wing(-0.45)}`, stroke: colour }));
      const at = (t) => [0, 1].map((k) => (1 - t) ** 2 * start[k] + 2 * t * (1 - t) * bow[k] + t * t * end[k]);
      return [group, { group, at, text, colour, width: textWidth(text, FONT * 0.87) + 10 }];
    }

    /* Along its edge, each label goes where it covers least of what is there already. */
    placeLabels(labels, pills, height) {
      const taken = [...pills.values()].map((one) => [one.x, one.y, one.width, PILL]);
      for (const label of labels) {
        let best = null, least = Infinity;
        for (const t of [0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74]) {
          let [x, y] = label.at(t);
          x = Math.min(Math.max(x, label.width / 2 + 2), WIDTH - label.width / 2 - 2);
          y = Math.min(Math.max(y, 13), height - 13);
          let cover = 0;
          for (const [ox, oy, w, h] of taken) {
            cover += Math.max(0, (label.width + w) / 2 - Math.abs(x - ox)) * Math.max(0, (22 + h) / 2 - Math.abs(y - oy));
          }
          if (cover < least) { best = [x, y]; least = cover; }
        }
        taken.push([...best, label.width, 22]);
        label.group.append(
          element("rect", { x: best[0] - label.width / 2, y: best[1] - 11, width: label.width, height: 22, rx: 5,
                            stroke: label.colour }),
          element("text", { x: best[0], y: best[1], "font-size": FONT * 0.87 }, label.text));
      }
    }

    /* -- list ---------------------------------------------------------------------------------------------------- */
    drawList() {
      const chip = (i) => {
        const one = this.data.objects[i];
        return element("span", { class: "sg-chip", style: `--colour:${one.colour}`, "data-object": i },
          element("b", {}, String(one.number)), one.name);
      };
      this.list.replaceChildren(...this.relations.map((one) => {
        const row = element("li", { "data-relation": one.place, tabindex: 0 },
          chip(one.subject), element("i", {}, one.predicate), chip(one.object),
          element("span", { class: "sg-score" }, shownScore(one.score)));
        if (one.mark) {
          row.classList.add("sg-marked");
          row.append(element("span", { class: "sg-mark" }, one.mark));
        }
        return row;
      }));
      if (!this.relations.length) this.list.append(element("li", { class: "sg-none" }, "no relations"));
    }

    /* -- pointing ------------------------------------------------------------------------------------------------ */
    listen() {
      const target = (event) => {
        const found = event.target.closest?.("[data-relation], [data-object]");
        if (!found) return null;
        // in the list a chip stands for its row
        const row = found.closest("li[data-relation]") ?? found;
        return "relation" in row.dataset ? { relation: Number(row.dataset.relation) } : { object: Number(row.dataset.object) };
      };
      const same = (a, b) => a && b && a.relation === b.relation && a.object === b.object;
      this.section.addEventListener("pointerover", (event) => {
        if (event.pointerType !== "touch" && !this.pinned) this.light(target(event));
      });
      this.section.addEventListener("pointerleave", () => { if (!this.pinned) this.light(null); });
      this.section.addEventListener("focusin", (event) => { if (!this.pinned) this.light(target(event)); });
      this.section.addEventListener("focusout", () => { if (!this.pinned) this.light(null); });
      this.section.addEventListener("click", (event) => { // a click or a touch holds on to it
        if (event.target.closest(".sg-controls")) return;
        const chosen = target(event);
        this.pinned = same(chosen, this.pinned) ? null : chosen;
        this.light(this.pinned);
      });
      this.section.addEventListener("keydown", (event) => {
        if (event.key === "Escape") { this.pinned = null; this.light(null); }
        const here = event.target.closest?.("li[data-relation], .sg-node");
        if (!here) return;
        if (event.key === "Enter" || event.key === " ") { here.dispatchEvent(new MouseEvent("click", { bubbles: true })); }
        else if (event.key === "ArrowDown") { (here.nextElementSibling ?? here).focus?.(); }
        else if (event.key === "ArrowUp") { (here.previousElementSibling ?? here).focus?.(); }
        else return;
        event.preventDefault();
      });
    }

    /* Lights up an object with its relations, or a relation with its two objects; null: nothing. */
    light(what) {
      const chosen = what === null ? [] : this.relations.filter((one) => ("relation" in what
        ? one.place === what.relation : one.subject === what.object || one.object === what.object));
      const ends = new Set(chosen.flatMap((one) => [one.subject, one.object]));
      if (what !== null && "object" in what) ends.add(what.object);
      const places = new Set(chosen.map((one) => one.place));
      this.section.classList.toggle("sg-picking", what !== null);
      for (const one of this.section.querySelectorAll(".sg-box, .sg-node, .sg-edge, .sg-list li")) {
        const { relation, object } = one.dataset;
        one.classList.toggle("sg-on", relation !== undefined ? places.has(Number(relation)) : ends.has(Number(object)));
      }
    }
  }

  function start(root) {
    const waiting = new IntersectionObserver((entries) => { // a long page is drawn as it is scrolled
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        waiting.unobserve(entry.target);
        new Viewer(entry.target);
      }
    }, { rootMargin: "600px" });
    for (const section of root.querySelectorAll("section.sg:not([data-started])")) {
      section.dataset.started = "";
      waiting.observe(section);
    }
  }
  start(document);
})();
