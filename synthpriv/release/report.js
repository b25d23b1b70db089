// Draws the plots of the internal page from the JSON beside them, in the colours of the style sheet.
(function () {
  "use strict";

  const figures = JSON.parse(document.getElementById("figures").textContent);
  const quiet = { displayModeBar: false, responsive: true, showTips: false };
  const MOST_CATEGORIES = 9;
  const MOST_MAP_LABELS = 40;

  // Plotly reads a little HTML in its texts; names and categories are text and nothing else.
  const plain = (value) => String(value).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const short = (value, most) => {
    const letters = Array.from(String(value));
    return plain(letters.length > most ? letters.slice(0, most - 1).join("") + "…" : value);
  };
  const percent = (share) => (100 * share).toFixed(share < 0.01 ? 2 : 1) + "%";
  const range = (count) => Array.from({ length: count }, (_, at) => at);

  function colours() {
    const style = getComputedStyle(document.documentElement);
    return (name) => style.getPropertyValue("--" + name).trim();
  }

  function layout(colour, more) {
    const axis = {
      fixedrange: true, zeroline: false, gridcolor: colour("line"), linecolor: colour("floor"),
      automargin: true, ticks: "", tickfont: { color: colour("muted"), size: 11 },
    };
    const { xaxis, yaxis, ...rest } = more;
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, dragmode: false,
      margin: { l: 8, r: 8, t: 10, b: 8, pad: 2 },
      font: { family: getComputedStyle(document.body).fontFamily, color: colour("ink"), size: 12 },
      hoverlabel: { bgcolor: colour("paper"), bordercolor: colour("floor"), font: { color: colour("ink"), size: 12 } },
      ...rest,
      xaxis: { ...axis, ...xaxis },
      yaxis: { ...axis, ...yaxis },
    };
  }

  const hover = (label, real, synthetic) =>
    `<b>${short(label, 60)}</b><br>real ${percent(real)}<br>synthetic ${percent(synthetic)}`;

  // The most frequent real categories; the rest as one bar.
  function gathered(column) {
    const order = range(column.labels.length).sort((a, b) => column.real[b] - column.real[a]);
    const most = order.length > MOST_CATEGORIES ? MOST_CATEGORIES - 1 : order.length;
    const shown = order.slice(0, most).map((at) => [column.labels[at], column.real[at], column.synthetic[at]]);
    const rest = order.slice(most);
    const sum = (shares) => rest.reduce((total, at) => total + shares[at], 0);
    if (rest.length) shown.push([`${rest.length} others`, sum(column.real), sum(column.synthetic)]);
    return shown;
  }

  function categories(column, colour) {
    const shown = gathered(column);
    const at = range(shown.length);
    const text = shown.map((entry) => hover(...entry));
    const bars = {
      type: "bar", orientation: "h", y: at, x: shown.map((entry) => entry[1]), width: 0.62,
      marker: { color: colour("real-soft") }, hovertext: text, hoverinfo: "text",
    };
    const dots = {
      type: "scatter", mode: "markers", y: at, x: shown.map((entry) => entry[2]), hovertext: text, hoverinfo: "text",
      marker: { color: colour("synthetic"), size: 8, line: { color: colour("paper"), width: 1 } }, cliponaxis: false,
    };
    return [[bars, dots], layout(colour, {
      xaxis: { tickformat: ".0%", rangemode: "tozero", nticks: 4 },
      yaxis: {
        showgrid: false, range: [Math.max(shown.length, 4) - 0.5, -0.5],
        tickvals: at, ticktext: shown.map((entry) => short(entry[0], 15)),
      },
    })];
  }

  function histogram(column, colour) {
    const last = column.labels.length - 1;
    const at = range(last + 1);
    const text = at.map((bin) => hover(column.labels[bin], column.real[bin], column.synthetic[bin]));
    const bars = {
      type: "bar", x: at, y: column.real, width: 1, hovertext: text, hoverinfo: "text",
      marker: { color: colour("real-soft"), line: { color: colour("paper"), width: 0.5 } },
    };
    const steps = {
      type: "scatter", mode: "lines", hoverinfo: "skip", cliponaxis: false,
      x: [-0.5, ...at, last + 0.5], y: [column.synthetic[0], ...column.synthetic, column.synthetic[last]],
      line: { color: colour("synthetic"), width: 2, shape: "hvh" },
    };
    const ticks = Array.from(new Set([0, 1, 2, 3].map((part) => Math.round((part * last) / 3))));
    return [[bars, steps], layout(colour, {
      xaxis: {
        showgrid: false, range: [-0.6, last + 0.6], tickvals: ticks, tickangle: 0,
        ticktext: ticks.map((bin) => short(column.labels[bin].split(" to ")[0], 11)),
      },
      yaxis: { tickformat: ".0%", rangemode: "tozero", nticks: 4 },
    })];
  }

  function draw_column(colour, at) {
    const column = figures.columns[at];
    const listed = column.kind === "categorical" || column.kind === "boolean";
    return (listed ? categories : histogram)(column, colour);
  }

  function draw_models(colour) {
    const models = figures.models;
    const base = 0.5;
    const bars = (name, values, fill, error) => ({
      type: "bar", orientation: "h", name: plain(name), base, x: values.map((value) => value - base),
      y: range(models.length), marker: { color: fill }, error_x: error,
      text: values.map((value) => value.toFixed(3)), textposition: "none",
      hovertext: values.map((value, at) => `${short(models[at].name, 40)}<br>${plain(name)} ${value.toFixed(3)}`),
      hoverinfo: "text",
    });
    const control = (name) => models.map((model) => model.controls[name] ?? base);
    const error = {
      type: "data", symmetric: false, color: colour("ink"), thickness: 1.2, width: 4,
      array: models.map((model) => model.high - model.value), arrayminus: models.map((model) => model.value - model.low),
    };
    const traces = [
      bars("real rows", control("real rows"), colour("real-soft")),
      bars("this table", models.map((model) => model.value), colour("synthetic"), error),
      bars("independent columns", control("independent columns"), colour("floor")),
    ];
    const values = [base, ...models.flatMap((model) => [model.low, ...Object.values(model.controls)])];
    return [traces, layout(colour, {
      showlegend: true, bargap: 0.3, bargroupgap: 0.08,
      legend: { orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom", itemclick: false, itemdoubleclick: false, font: { color: colour("muted"), size: 12 } },
      xaxis: { range: [Math.min(...values) - 0.02, 1.002], tickformat: ".1f", dtick: 0.1 },
      yaxis: {
        showgrid: false, range: [models.length - 0.5, -0.5], tickvals: range(models.length),
        ticktext: models.map((model) => short(model.name, 24)), tickfont: { color: colour("ink"), size: 12 },
      },
    })];
  }

  function draw_roc(colour, at) {
    const roc = figures.rocs[at];
    const line = (x, y, color, dash, width) => ({
      type: "scatter", mode: "lines", x, y, line: { color, dash, width }, hoverinfo: "skip",
    });
    const attack = line(roc.false_positive_rate, roc.true_positive_rate, colour(roc.planted ? "floor" : "synthetic"), "solid", 2.2);
    attack.hoverinfo = "text";
    attack.hovertext = roc.true_positive_rate.map((found, point) =>
      `finds ${percent(found)} of members<br>accuses ${percent(roc.false_positive_rate[point])} of others`);
    const title = (text) => ({ text, font: { color: colour("muted"), size: 11 }, standoff: 8 });
    return [
      [
        line([0, 1], [0, 1], colour("floor"), "dot", 1.2),
        line(roc.false_positive_rate, roc.ceiling, colour("ceiling"), "dash", 1.6),
        attack,
      ],
      layout(colour, {
        xaxis: { range: [-0.01, 1.01], tickformat: ".0%", dtick: 0.5, title: title("others wrongly accused") },
        yaxis: { range: [-0.01, 1.01], tickformat: ".0%", dtick: 0.5, title: title("members found") },
      }),
    ];
  }

  function draw_map(which) {
    const { names, real, synthetic } = figures.association;
    const difference = which === "difference";
    const value = (row, column) =>
      difference ? synthetic[row][column] - real[row][column] : figures.association[which][row][column];
    const cells = names.map((_, row) => names.map((_, column) => (row === column ? null : value(row, column))));
    const text = cells.map((row, r) =>
      row.map((cell, c) => `${short(names[r], 40)}<br>${short(names[c], 40)}<br>${cell === null ? "" : cell.toFixed(3)}`));
    const largest = difference ? Math.max(0.05, ...cells.flat().map((cell) => Math.abs(cell ?? 0))) : 1;
    return (colour) => {
      const ends = difference ? ["real", "synthetic"] : ["negative", "positive"];
      const map = {
        type: "heatmap", z: cells, zmin: -largest, zmax: largest, xgap: 1, ygap: 1, showscale: false,
        colorscale: [[0, colour(ends[0])], [0.5, colour("panel")], [1, colour(ends[1])]],
        text, hoverinfo: "text", largest,
      };
      const labelled = names.length <= MOST_MAP_LABELS;
      const labels = {
        tickvals: labelled ? range(names.length) : [], ticktext: names.map((name) => short(name, 14)),
        showgrid: false, tickfont: { size: 10, color: colour("muted") },
      };
      return [[map], layout(colour, {
        xaxis: { ...labels, tickangle: -90 }, yaxis: { ...labels, range: [names.length - 0.5, -0.5] },
      })];
    };
  }

  const drawings = {
    column: draw_column, models: draw_models, roc: draw_roc,
    real: draw_map("real"), synthetic: draw_map("synthetic"), difference: draw_map("difference"),
  };

  function draw() {
    const colour = colours();
    for (const place of document.querySelectorAll("[data-plot]")) {
      const [traces, frame] = drawings[place.dataset.plot](colour, Number(place.dataset.at));
      Plotly.react(place, traces, frame, quiet);
      const ramp = place.parentElement.querySelector(".ramp.difference");
      if (ramp) {
        ramp.querySelector(".from").textContent = "−" + traces[0].largest.toFixed(2);
        ramp.querySelector(".to").textContent = traces[0].largest.toFixed(2);
      }
    }
  }

  // Paper is light, whatever the screen is.
  function repaint(theme) {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    draw();
  }

  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("beforeprint", () => repaint("light"));
  addEventListener("afterprint", () => repaint(null));
})();
