// Draws the figures, keeps them in step with the controls, and saves what they show.
"use strict";
(async () => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const form = document.getElementById("controls");
  const choices = () => Object.fromEntries(new FormData(form));
  const rowsOf = ({ columns, values }) =>
    values.map((line) => Object.fromEntries(columns.map((name, place) => [name, line[place]])));
  const cell = (value) => {
    if (typeof value === "string" && /^[=+\-@\t\r]/.test(value)) value = "'" + value; // no formulas
    return /[",\n\r]/.test(value ?? "") ? `"${String(value).replaceAll('"', '""')}"` : value ?? "";
  };
  const csv = ({ columns, values }) =>
    [columns, ...values].map((line) => line.map(cell).join(",")).join("\n") + "\n";
  const save = (name, url) => {
    const link = document.createElement("a");
    link.download = name;
    link.href = url;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  };
  const asBlob = (text, type) => URL.createObjectURL(new Blob([text], { type }));
  const typed = (name, value) => (name === "layer" ? Number(value) : value);

  await Promise.all([document.fonts.load("12px Inter"), document.fonts.load("600 12px Inter")]);
  const views = new Map();
  const counts = (figure) => {
    const { pool, layer } = choices();
    const text = figure.counts[`${figure.controls.includes("layer") ? layer : ""}/${figure.controls.includes("pool") ? pool : ""}`];
    document.querySelector(`#${figure.name} .counts`).textContent = text ?? "No rows under these choices.";
  };
  for (const figure of figures) {
    const place = document.querySelector(`#${figure.name} .chart`);
    const spec = { ...figure.spec, data: { ...figure.spec.data, values: rowsOf(figure.data) } };
    const { view } = await vegaEmbed(place, spec, {
      renderer: "svg", actions: false, logLevel: 1, // errors alone: an empty group has no extent
    });
    views.set(figure.name, view);
    // The chart's own label stands for it; what is inside would be read out mark by mark.
    place.querySelector("svg").setAttribute("aria-hidden", "true");
    for (const button of document.querySelectorAll(`#${figure.name} [data-save]`)) {
      button.addEventListener("click", async () => {
        const kind = button.dataset.save;
        if (kind === "csv") save(`${figure.name}.csv`, asBlob(csv(figure.data), "text/csv"));
        if (kind === "svg") save(`${figure.name}.svg`, asBlob(await picture(view), "image/svg+xml"));
        if (kind === "png") save(`${figure.name}.png`, await view.toImageURL("png", 2));
      });
    }
    counts(figure);
  }
  async function picture(view) {
    const rules = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]);
    const faces = rules.filter((rule) => rule instanceof CSSFontFaceRule);
    const style = `<style>${faces.map((rule) => rule.cssText).join("")}</style>`;
    return (await view.toSVG()).replace(/^(<svg[^>]*>)/, (tag) => tag + style);
  }
  const follow = async () => {
    const chosen = choices();
    for (const figure of figures) {
      const view = views.get(figure.name);
      for (const name of figure.controls) view.signal(name, typed(name, chosen[name]));
      await view.runAsync();
      counts(figure);
    }
  };
  form.addEventListener("change", follow);
  window.addEventListener("pageshow", follow); // a browser that goes back restores the form
  await follow();
  form.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("beforeprint", () => views.forEach((view) => view.resize().run()));
  document.documentElement.dataset.ready = String(views.size);
  window.spectraViews = views;
})();
