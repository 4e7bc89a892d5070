// Before anything is painted: the colours the reader has chosen, or else those of the system.
"use strict";
try {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch { /* Without storage the system decides. */ }
document.documentElement.classList.add("js");
