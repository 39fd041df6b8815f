// Light, dark, or as the system has it.
import { store } from "./store";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const NAME = "postrider.theme";

export const theme = store<Theme>("system");

export function startTheme(): void {
  const kept = THEMES.find((name) => name === localStorage.getItem(NAME));
  setTheme(kept ?? "system");
}

export function setTheme(next: Theme): void {
  if (next === "system") localStorage.removeItem(NAME);
  else localStorage.setItem(NAME, next);
  document.documentElement.dataset.theme = next;
  theme.set(next);
}
