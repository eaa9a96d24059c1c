// In the head and not a module, so that the page is never shown in the wrong colors first.
try {
  const theme = localStorage.getItem("theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch {}
