// Before anything is painted: the theme that was chosen here.
"use strict";
try {
  const theme = localStorage.getItem("wreg-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch { /* nothing can be kept here */ }
