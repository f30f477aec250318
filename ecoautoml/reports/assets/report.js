(function () {
  "use strict";
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const plots = Array.from(document.querySelectorAll(".plot"));

  function coloured(layout) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    layout.font = Object.assign({}, layout.font, { color: colour("--soft") });
    layout.hoverlabel = Object.assign({}, layout.hoverlabel, {
      bgcolor: colour("--card"), bordercolor: colour("--line"), font: { color: colour("--text") },
    });
    for (const note of layout.annotations || []) {
      note.font = Object.assign({}, note.font, { color: colour("--text") });
    }
    if (window.matchMedia("(pointer: coarse)").matches) {
      layout.dragmode = false; // a finger on a figure scrolls the page
    }
    if (window.innerWidth < 560) {
      layout.font.size = 11;
    }
    return layout;
  }

  function draw() {
    for (const place of plots) {
      const figure = JSON.parse(document.getElementById(place.dataset.figure).textContent);
      Plotly.react(place, figure.data, coloured(figure.layout), {
        responsive: true, displaylogo: false, displayModeBar: false,
      });
    }
  }

  draw();
  dark.addEventListener("change", draw);
})();
