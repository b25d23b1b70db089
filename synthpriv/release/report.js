// Draws the plots of both pages from the JSON beside them, in the colours of the style sheet.
(function () {
  "use strict";

  const figures = JSON.parse(document.getElementById("figures").textContent);
  const quiet = { displayModeBar: false, responsive: true, showTips: false };
  const MOST_CATEGORIES = 9;
  const MOST_MAP_LABELS = 40;
  const MOST_FEATURES = 16;

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

  const legend = (colour) => ({
    orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom", itemclick: false, itemdoubleclick: false,
    font: { color: colour("muted"), size: 12 },
  });

  function draw_models(colour, at) {
    const { base, models } = figures.models[at];
    const shown = (value) => (value === null || value === undefined ? "not measured" : value.toFixed(3));
    const bars = (name, values, fill, error) => ({
      type: "bar", orientation: "h", name: plain(name), base, x: values.map((value) => (value ?? base) - base),
      y: range(models.length), marker: { color: fill }, error_x: error,
      hovertext: values.map((value, row) => `${short(models[row].name, 40)}<br>${plain(name)} ${shown(value)}`),
      hoverinfo: "text",
    });
    const named = (name) => models.map((model) => model.controls[name]);
    const error = {
      type: "data", symmetric: false, color: colour("ink"), thickness: 1.2, width: 4,
      array: models.map((model) => model.high - model.value), arrayminus: models.map((model) => model.value - model.low),
    };
    const fills = { "real rows": "real-soft", "independent columns": "floor" };
    const controls = Array.from(new Set(models.flatMap((model) => Object.keys(model.controls))));
    const before = controls.filter((name) => name === "real rows");
    const after = controls.filter((name) => name !== "real rows");
    const control = (name) => bars(name, named(name), colour(fills[name] ?? "line"));
    const traces = [
      ...before.map(control),
      bars("this table", models.map((model) => model.value), colour("synthetic"), error),
      ...after.map(control),
    ];
    const values = [base, ...models.flatMap((model) => [model.low, model.high, ...Object.values(model.controls)])]
      .filter((value) => Number.isFinite(value));
    return [traces, layout(colour, {
      showlegend: true, bargap: 0.3, bargroupgap: 0.08, legend: legend(colour),
      xaxis: { range: [Math.min(...values) - 0.02, Math.max(1, ...values) + 0.002], tickformat: ".1f", dtick: 0.1 },
      yaxis: {
        showgrid: false, range: [models.length - 0.5, -0.5], tickvals: range(models.length),
        ticktext: models.map((model) => short(model.name, 24)), tickfont: { color: colour("ink"), size: 12 },
      },
    })];
  }

  // Bars of real rows, dots of this table, one below the other.
  function bars_and_dots(rows, label, text, colour, axis) {
    const at = range(rows.length);
    const line = { color: colour("paper"), width: 1 };
    return [[
      {
        type: "bar", orientation: "h", y: at, x: rows.map((row) => row.real), width: 0.6,
        marker: { color: colour("real-soft") }, hovertext: rows.map(text), hoverinfo: "text",
      },
      {
        type: "scatter", mode: "markers", y: at, x: rows.map((row) => row.synthetic), cliponaxis: false,
        marker: { color: colour("synthetic"), size: 9, line }, hovertext: rows.map(text), hoverinfo: "text",
      },
    ], layout(colour, {
      xaxis: { nticks: 6, ...axis },
      yaxis: {
        showgrid: false, range: [Math.max(rows.length, 3) - 0.5, -0.5], tickvals: at,
        ticktext: rows.map((row) => short(label(row), 22)),
      },
    })];
  }

  function draw_importances(colour, at) {
    const rows = figures.importances[at].slice(0, MOST_FEATURES);
    const text = (row) =>
      `<b>${short(row.feature, 60)}</b><br>real ${row.real.toFixed(4)}<br>this table ${row.synthetic.toFixed(4)}`;
    return bars_and_dots(rows, (row) => row.feature, text, colour, { zeroline: true, zerolinecolor: colour("floor") });
  }

  function draw_groups(colour, at) {
    const rows = figures.groups[at];
    const text = (row) =>
      `<b>${short(row.group, 60)}</b>, ${row.rows} rows<br>real ${(row.real ?? NaN).toFixed(3)}<br>this table ${(row.synthetic ?? NaN).toFixed(3)}`;
    const values = rows.flatMap((row) => [row.real, row.synthetic]).filter((value) => value !== null);
    const chance = rows[0].score === "auc" ? 0.5 : 0;
    const axis = { range: [Math.min(chance, ...values) - 0.01, Math.max(1, ...values) + 0.01] };
    return bars_and_dots(rows, (row) => `${row.group} (${row.rows})`, text, colour, axis);
  }

  // One joint table of shares: darker is more; the difference in the colours of its two sides.
  function draw_pair(colour, at, place) {
    const pair = figures.pairs[at];
    const which = place.dataset.which;
    const difference = which === "difference";
    const cells = pair.real.map((row, r) => row.map((real, c) => {
      const made = pair.synthetic[r][c];
      return difference ? made - real : which === "real" ? real : made;
    }));
    const text = cells.map((row, r) => row.map((_, c) =>
      `${short(pair.first, 30)}: ${short(pair.first_labels[r], 30)}<br>${short(pair.second, 30)}: ${short(pair.second_labels[c], 30)}` +
      `<br>real ${percent(pair.real[r][c])}<br>synthetic ${percent(pair.synthetic[r][c])}`));
    const largest = difference
      ? Math.max(1e-6, ...cells.flat().map(Math.abs))
      : Math.max(1e-6, ...pair.real.flat(), ...pair.synthetic.flat());
    const dark = colour(which === "real" ? "real" : "synthetic");
    const scale = difference
      ? [[0, colour("real")], [0.5, colour("panel")], [1, colour("synthetic")]]
      : [[0, colour("panel")], [1, dark]];
    const ticks = (labels, most, length) => {
      const step = Math.ceil(labels.length / most);
      const at = range(labels.length).filter((one) => one % step === 0);
      return {
        tickvals: at, ticktext: at.map((one) => short(labels[one], length)), showgrid: false,
        tickfont: { size: 10, color: colour("muted") },
      };
    };
    const title = difference
      ? `synthetic − real, up to ±${percent(largest)}`
      : `${which}, up to ${percent(Math.max(...(pair[which]).flat()))}`;
    return [[{
      type: "heatmap", z: cells, zmin: difference ? -largest : 0, zmax: largest, xgap: 1, ygap: 1, showscale: false,
      colorscale: scale, text, hoverinfo: "text",
    }], layout(colour, {
      title: { text: title, font: { size: 12, color: colour("muted") }, x: 0.5, xanchor: "center", y: 0.985, yanchor: "top" },
      margin: { l: 8, r: 8, t: 26, b: 8, pad: 2 },
      xaxis: { ...ticks(pair.second_labels, 12, 12), tickangle: -90 },
      yaxis: {
        ...ticks(pair.first_labels, 12, 12), range: [pair.first_labels.length - 0.5, -0.5],
        showticklabels: which === "real",
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

  function draw_map(colour, which) {
    const { names, real, synthetic } = figures.association;
    const difference = which === "difference";
    const both = (row, column) => {
      const [one, other] = [synthetic[row][column], real[row][column]];
      return one === null || other === null ? null : one - other;
    };
    const value = (row, column) => (difference ? both(row, column) : figures.association[which][row][column]);
    const cells = names.map((_, row) => names.map((_, column) => (row === column ? null : value(row, column))));
    const text = cells.map((row, r) =>
      row.map((cell, c) => `${short(names[r], 40)}<br>${short(names[c], 40)}<br>${cell === null ? "" : cell.toFixed(3)}`));
    const largest = difference ? Math.max(0.05, ...cells.flat().map((cell) => Math.abs(cell ?? 0))) : 1;
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
  }

  // The publishable page: bars of the synthetic table; dots with their interval where real shares were paid for.
  function draw_shares(colour, at) {
    const column = figures.columns[at];
    const rows = range(column.labels.length);
    const text = rows.map((row) => {
      const real = column.real ? `<br>real ${percent(column.real[row])} ± ${percent(column.error[row])} (noisy)` : "";
      return `<b>${short(column.labels[row], 60)}</b><br>synthetic ${percent(column.synthetic[row])}${real}`;
    });
    const bars = {
      type: "bar", orientation: "h", y: rows, x: column.synthetic, width: 0.66, hovertext: text, hoverinfo: "text",
      marker: { color: colour("synthetic-soft") },
    };
    const dots = {
      type: "scatter", mode: "markers", y: rows, x: column.real, hovertext: text, hoverinfo: "text", cliponaxis: false,
      marker: { color: colour("real"), size: 7 },
      error_x: { type: "data", array: column.error, color: colour("real"), thickness: 1.2, width: 3 },
    };
    const ends = column.real ? column.real.map((share, row) => share + column.error[row]) : [];
    return [column.real ? [bars, dots] : [bars], layout(colour, {
      xaxis: { tickformat: ".0%", range: [0, 1.04 * Math.max(...column.synthetic, ...ends)], nticks: 4 },
      yaxis: {
        showgrid: false, range: [Math.max(rows.length, 4) - 0.5, -0.5], tickvals: rows,
        ticktext: column.labels.map((label) => short(label, 18)),
      },
    })];
  }

  const drawings = {
    column: draw_column, models: draw_models, roc: draw_roc,
    importances: draw_importances, groups: draw_groups, pair: draw_pair, shares: draw_shares,
    ...Object.fromEntries(["real", "synthetic", "difference"].map((which) => [which, (colour) => draw_map(colour, which)])),
  };

  function draw() {
    const colour = colours();
    for (const place of document.querySelectorAll("[data-plot]")) {
      const [traces, frame] = drawings[place.dataset.plot](colour, Number(place.dataset.at), place);
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
