// Line icons, drawn here so that nothing is loaded.
const PATHS = {
  overview: "M3 12h4l3-8 4 16 3-8h4",
  subscriptions: "M4 7h11M4 12h16M4 17h8M18 5v4M15 7h6",
  deliveries: "M4 6h16v12H4zM4 7l8 6 8-6",
  events: "M13 3 5 14h6l-1 7 8-11h-6z",
  replays: "M4 12a8 8 0 1 1 2.5 5.8M4 19v-5h5",
  macros: "M8 4C5 4 7 11 4 12c3 1 1 8 4 8M16 4c3 0 1 7 4 8-3 1-1 8-4 8",
  actions: "M4 6h10M4 12h7M4 18h5M14 17l3 3 5-6",
  offers: "M4 4h8l8 8-8 8-8-8zM8.5 8.5v.1",
  "inbound-keys": "M3 12h10M9 8l4 4-4 4M16 5h4v14h-4",
  "inbound-calls": "M12 3v10M8 9l4 4 4-4M4 14v6h16v-6",
  clicks: "M6 4l5 15 2-6 6-2zM14 14l5 5",
  accounts: "M4 20V6l8-3v17M12 9h8v11M7 9h2M7 13h2M15 13h2M15 17h2M2 20h20",
  keys: "M14 10a4 4 0 1 0-4 4l1 0 1.5 1.5L14 15v2h2v2h4v-3.5L13.9 10",
  audit: "M6 3h9l4 4v14H6zM14 3v5h5M9 13h7M9 17h7",
  copy: "M9 9h11v11H9zM15 9V4H4v11h5",
  check: "m5 13 4 4L19 7",
  warning: "M12 4 2.5 20h19zM12 10v4M12 17v.5",
  info: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 11v5M12 8v.5",
  back: "M14 6l-6 6 6 6",
  plus: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6 6 18",
  menu: "M4 7h16M4 12h16M4 17h16",
  filter: "M4 5h16l-6 8v6l-4-2v-4z",
  download: "M12 4v11M7 11l5 5 5-5M4 20h16",
  send: "M4 12 20 4l-5 16-4-7z",
  pause: "M8 5v14M16 5v14",
  play: "M7 5l12 7-12 7z",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  theme: "M12 21a9 9 0 1 0 0-18zM12 3a9 9 0 0 0 0 18",
  out: "M14 4h5v16h-5M4 12h11M11 8l4 4-4 4",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM16 16l5 5",
  next: "M9 6l6 6-6 6",
  wand: "M5 19 15 9M15 4v3M19 8h3M18 5l1-1M9 4v2M19 13v2",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
