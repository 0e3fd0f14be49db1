// Dark or light as the person chose; before the page is painted, so that it never flashes.
const chosen = localStorage.getItem("theme");
if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
