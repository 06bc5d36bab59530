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
    if (text.length > 60) cell.classList.add("long");
    const codes = [...cell.querySelectorAll("code")];
    if (codes.some((code) => code.textContent.length > 40)) cell.classList.add("command");
  }
});

// The name of an option stays whole: a browser would break it between its two hyphens.
document.addEventListener("DOMContentLoaded", () => {
  for (const code of document.querySelectorAll(".md-typeset :not(pre) > code")) {
    if (code.children.length) continue;
    code.innerHTML = code.innerHTML.replace(/(^|\s)(--[\w-]+)/g, '$1<span class="option">$2</span>');
  }
});

// A figure leads to itself at full size, which a phone can magnify.
document.addEventListener("DOMContentLoaded", () => {
  for (const image of document.querySelectorAll(".md-content img")) {
    if (image.closest("a")) continue;
    const link = document.createElement("a");
    link.href = image.src;
    image.replaceWith(link);
    link.append(image);
  }
});
