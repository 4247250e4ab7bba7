// Before anything is seen: the theme that was chosen last; without one the system's is taken.
try {
  const chosen = localStorage.getItem("mllmrec-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch { /* a browser that keeps nothing for files */ }
