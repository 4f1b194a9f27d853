(() => {
  "use strict";
  const json = (id) => JSON.parse(document.getElementById(id).textContent);
  const charts = json("charts");
  const dark = json("dark");
  const night = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 640px)");
  const drawn = new Map();

  const unpack = async () => {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  };

  // A chart is stored in its light colours; on a dark background each is replaced by its counterpart.
  const themed = (figure) => {
    let text = JSON.stringify(figure);
    if (night.matches) for (const [light, other] of Object.entries(dark)) text = text.replaceAll(light, other);
    const copy = JSON.parse(text);
    const style = getComputedStyle(document.documentElement);
    const label = { bgcolor: style.getPropertyValue("--card"), bordercolor: style.getPropertyValue("--muted") };
    const font = { ...copy.layout.hoverlabel?.font, color: style.getPropertyValue("--ink") };
    Object.assign(copy.layout, { autosize: true, hoverlabel: { ...copy.layout.hoverlabel, ...label, font } });
    if (narrow.matches || matchMedia("(pointer: coarse)").matches) copy.layout.dragmode = false;
    return copy;
  };

  const draw = (place) => {
    const figure = charts[place.dataset.chart];
    if (!figure || !place.clientWidth) return;
    const mark = `${JSON.stringify(figure).length}:${night.matches}:${narrow.matches}`;
    if (drawn.get(place) === mark && !place.dataset.fresh) return;
    drawn.set(place, mark);
    delete place.dataset.fresh;
    const { data, layout } = themed(figure);
    place.style.height = `${layout.height}px`;
    Plotly.react(place, data, layout, { displaylogo: false, responsive: true, displayModeBar: narrow.matches ? false : "hover",
      modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] });
  };

  const drawAll = () => document.querySelectorAll(".chart").forEach((place) => (window.Plotly ? draw(place) : null));

  const front = (place) => place.data?.findIndex((trace) => trace.meta === "front") ?? -1;

  const show = (place, point) => {
    const curveNumber = front(place);
    if (curveNumber < 0) return;
    const count = place.data[curveNumber].x.length;
    place.dataset.at = ((point % count) + count) % count;
    Plotly.Fx.hover(place, [{ curveNumber, pointNumber: Number(place.dataset.at) }]);
  };

  const visibleFront = () => [...document.querySelectorAll("#front .chart")].find((place) => place.clientWidth);

  document.addEventListener("click", async (event) => {
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      try { await navigator.clipboard.writeText(copy.dataset.copy); copy.textContent = "Copied"; }
      catch { getSelection().selectAllChildren(copy.previousElementSibling); copy.textContent = "Selected"; }
      setTimeout(() => (copy.textContent = "Copy"), 1500);
    }
    const point = event.target.closest("[data-point]");
    if (point) {
      const place = visibleFront();
      place.scrollIntoView({ block: "center" });
      show(place, Number(point.dataset.point));
    }
  });

  document.addEventListener("focusin", (event) => {
    const point = event.target.closest?.("[data-point]");
    if (point && visibleFront()) show(visibleFront(), Number(point.dataset.point));
  });

  // Left and right walk the points of the front in the focused chart; Escape hides the label.
  document.addEventListener("keydown", (event) => {
    const place = event.target.closest?.(".chart");
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (place && step && front(place) >= 0) {
      event.preventDefault();
      show(place, Number(place.dataset.at ?? -step) + step);
    }
    if (place && event.key === "Escape") Plotly.Fx.unhover(place);
  });

  document.addEventListener("change", (event) => {
    const choice = event.target.closest(".switch input");
    if (!choice) return;
    for (const option of choice.closest(".switch").querySelectorAll(".option")) {
      option.hidden = !option.querySelector(`[data-chart="${choice.value}"]`);
    }
    drawAll();
  });

  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      links.forEach((link) => link.removeAttribute("aria-current"));
      links.get(target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-30% 0px -60% 0px" });
  document.querySelectorAll("main > section").forEach((section) => seen.observe(section));

  const foldLong = (root) => {
    if (narrow.matches) root.querySelectorAll("details.long").forEach((each) => (each.open = false));
  };

  // Replaces only what has changed, so that nothing flickers, scrolls away or loses its state.
  const update = (body, html) => {
    const fresh = document.createElement("div");
    fresh.innerHTML = html;
    const [before, after] = [[...body.children], [...fresh.children]];
    const shape = (pieces) => pieces.map((piece) => [...piece.querySelectorAll(".chart")].map((c) => c.id).join()).join("|");
    if (shape(before) !== shape(after)) {
      body.replaceChildren(...after);
      foldLong(body);
      return;
    }
    before.forEach((piece, place) => {
      if (piece.querySelector(".chart") || piece.outerHTML === after[place].outerHTML) return;
      if (piece.dataset.html === after[place].innerHTML) return;
      const open = [...piece.querySelectorAll("details")].map((each) => each.open);
      piece.dataset.html = after[place].innerHTML;
      piece.innerHTML = after[place].innerHTML;
      piece.querySelectorAll("details").forEach((each, number) => (each.open = open[number] ?? each.open));
    });
  };

  const follow = async () => {
    const state = document.querySelector(".state");
    try {
      const answer = await fetch(`state.json?since=${document.body.dataset.live}`, { cache: "no-store" });
      if (answer.status === 200) {
        const now = await answer.json();
        document.body.dataset.live = now.version;
        for (const [name, html] of Object.entries(now.sections)) update(document.querySelector(`#${name} .body`), html);
        for (const [name, figure] of Object.entries(now.charts)) {
          if (JSON.stringify(charts[name]) === JSON.stringify(figure)) continue;
          charts[name] = figure;
          const place = document.getElementById(name);
          if (place) place.dataset.fresh = "yes";
        }
        drawAll();
        if (state.textContent !== now.state) state.textContent = now.state;
      }
    } catch {
      state.textContent = "The server no longer answers; this is the last state it sent.";
    }
    setTimeout(follow, 3000);
  };

  foldLong(document);
  night.addEventListener("change", drawAll);
  narrow.addEventListener("change", drawAll);
  unpack().then(() => { drawAll(); document.body.dataset.ready = "yes"; }).catch(() => {
    document.querySelectorAll(".chart").forEach((place) => { place.textContent = "This chart needs a browser of 2023 or later."; });
    document.body.dataset.ready = "no";
  });
  if (document.body.dataset.live) setTimeout(follow, 3000);
})();
