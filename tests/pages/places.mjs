// Every page there is.

import { createHash } from "node:crypto";

import { BANNED_ADDRESS, MINER_ADDRESS, OTHER_ADDRESS } from "./scene.mjs";

export const WIDTHS = [390, 1024, 1920];
export const SCHEMES = ["light", "dark"];

export const GARAGE = `${MINER_ADDRESS}.garage`;
export const hashOf = (name) => createHash("sha256").update(name).digest("hex");

/** Those that look different while nobody mines, or without a node. */
const LIVE = [
  { name: "overview", path: "/" },
  { name: "pool", path: "/pool" },
  { name: "blocks", path: "/blocks" },
  { name: "node", path: "/node" },
  { name: "server", path: "/server" },
];

export const PLACES = {
  busy: [
    ...LIVE,
    { name: "help", path: "/help" },
    { name: "about", path: "/about" },
    { name: "privacy", path: "/privacy" },
    { name: "terms", path: "/terms" },
    { name: "missing", path: "/no-such-page", status: 404 },
    { name: "worker", path: `/worker/sha256?hash=${hashOf(GARAGE)}` },
    { name: "worker-in-full", path: `/worker/sha256?hash=${hashOf(GARAGE)}&privacy=off` },
    { name: "worker-banned", path: `/worker/sha256?hash=${hashOf(`${BANNED_ADDRESS}.hopeless`)}` },
    { name: "worker-away", path: `/worker/sha256?hash=${hashOf(`${OTHER_ADDRESS}.cellar`)}` },
    { name: "search", path: `/worker/search?wallet=${OTHER_ADDRESS}` },
    { name: "saved-workers", path: "/saved-workers" },
    { name: "saved-workers-of-wallet", path: `/saved-workers?wallet=${OTHER_ADDRESS}` },
    { name: "sign-in", path: "/admin" },
    { name: "admin", path: "/admin", isOperators: true },
    { name: "admin-miners", path: "/admin/miners", isOperators: true },
    { name: "admin-strangers", path: "/admin/strangers", isOperators: true },
    { name: "admin-bans", path: "/admin/bans", isOperators: true },
    { name: "admin-accounts", path: "/admin/logins", isOperators: true },
    { name: "admin-configuration", path: "/admin/config", isOperators: true },
    { name: "admin-logs", path: "/admin/logs", isOperators: true },
    { name: "admin-operator", path: "/admin/operator", isOperators: true },
  ],
  empty: [
    ...LIVE,
    { name: "lookup", path: "/worker" },
    { name: "worker-unknown", path: "/worker/sha256?worker=nobody", status: 404 },
    { name: "search", path: `/worker/search?wallet=${OTHER_ADDRESS}` },
  ],
  // Five minutes after the start they are down for good, and say so; tests that are that late see that page.
  nodeless: LIVE.map((place) => (place.path === "/" ? { ...place, lateStatus: 503 } : place)),
  syncing: [{ ...LIVE[0], lateStatus: 503 }],
};
