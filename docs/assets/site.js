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
