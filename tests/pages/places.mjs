// Every page there is.

export const WIDTHS = [390, 1024, 1920];
export const SCHEMES = ["light", "dark"];

/** `isLive` is for those that look different while nobody mines, or without a node. */
export const PLACES = [
  { name: "overview", path: "/", isLive: true },
  { name: "pool", path: "/pool", isLive: true },
  { name: "blocks", path: "/blocks", isLive: true },
  { name: "node", path: "/node", isLive: true },
  { name: "server", path: "/server", isLive: true },
  { name: "help", path: "/help" },
  { name: "about", path: "/about" },
  { name: "privacy", path: "/privacy" },
  { name: "terms", path: "/terms" },
  { name: "missing", path: "/no-such-page", status: 404 },
];

export const placesOf = (scene) => (scene === "busy" ? PLACES : PLACES.filter((place) => place.isLive));
