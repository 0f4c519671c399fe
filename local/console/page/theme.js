// Before the first paint, and no module: a page that was chosen dark must not flash light.
try {
  const theme = localStorage.getItem("ringback.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // No storage: the system's choice holds.
}
