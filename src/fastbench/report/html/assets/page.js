// Draws the plots of the page from the data in it; sets data-ready on <html> when all are there.
(async () => {
  "use strict";
  const pointer = matchMedia("(hover: hover) and (min-width: 600px)").matches;
  const config = {
    responsive: true,
    displaylogo: false,
    displayModeBar: pointer && "hover",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "autoScale2d"]],
  };
  const plots = JSON.parse(document.getElementById("plot-data").textContent);
  const place = (name) => document.getElementById("plot-" + name);

  for (const plot of plots) {
    try {
      await Plotly.newPlot(place(plot.name), plot.traces, plot.layout, config);
    } catch (error) {
      place(plot.name).textContent = "This plot could not be drawn; its numbers are in the table.";
      console.error(error);
    }
  }

  for (const button of document.querySelectorAll("button[data-scale]")) {
    button.addEventListener("click", () => {
      for (const other of button.parentElement.children) {
        other.setAttribute("aria-pressed", String(other === button));
      }
      Plotly.relayout(place(button.dataset.plot), {
        "yaxis.type": button.dataset.scale,
        "yaxis.autorange": true,
      });
    });
  }

  // Paper has its own width: A4 with margins, 96 px per inch; the height is that in style.css.
  const resize = (size) =>
    Promise.all(plots.map((plot) => Plotly.relayout(place(plot.name), size)));
  window.addEventListener("beforeprint", () => resize({ autosize: false, width: 680, height: 300 }));
  window.addEventListener("afterprint", () => resize({ autosize: true, width: null, height: null }));

  document.documentElement.dataset.ready = "true";
})();
