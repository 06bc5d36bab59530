// Typesets the mathematics of a page: arithmatex leaves \( … \) and \[ … \] in elements of its class.
document.addEventListener("DOMContentLoaded", () => {
  for (const element of document.querySelectorAll(".arithmatex")) {
    const text = element.textContent.trim();
    katex.render(text.slice(2, -2), element, {
      displayMode: text.startsWith("\\["),
      macros: {"\\phi": "\\varphi"}, // the φ of the text
      throwOnError: false,
    });
  }
});

// Numbers with their interval, and short words, stay on one line, and a long command gets room to wrap in.
document.addEventListener("DOMContentLoaded", () => {
  for (const cell of document.querySelectorAll(".md-typeset table:not([class]) td")) {
    const text = cell.textContent.trim();
    if (/^[+\-−–<]?\s?[\d.]/.test(text) && text.length < 32) cell.classList.add("number");
    if (text.length < 22) cell.classList.add("short");
    const codes = [...cell.querySelectorAll("code")];
    if (codes.some((code) => code.textContent.length > 40)) cell.classList.add("command");
  }
});
