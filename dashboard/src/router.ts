// Screens and their addresses. The address stands after `#`, so that the server serves one page, and
// holds everything a screen shows: filters and time ranges can be copied and sent to a colleague.
import { useEffect, useState } from "preact/hooks";

export interface Place {
  /** The path as segments, decoded: `#/deliveries/dlv_1` is `["deliveries", "dlv_1"]`. */
  path: string[];
  /** What follows the `?`. */
  query: Record<string, string>;
}

export function parsePlace(hash: string): Place {
  const [path = "", query = ""] = hash.replace(/^#/, "").split(/\?(.*)/s);
  const decode = (text: string) => {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  };
  return { path: path.split("/").filter(Boolean).map(decode), query: Object.fromEntries(new URLSearchParams(query)) };
}

/** The address of a place; empty values of the query are left out. */
export function address(path: string[], query: Record<string, string | undefined> = {}): string {
  const kept = Object.entries(query).filter((pair): pair is [string, string] => Boolean(pair[1]));
  const text = new URLSearchParams(kept).toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

/** The screen of an address. What follows the first two parts is a view of the same screen. */
const screenOf = (hash: string): string => parsePlace(hash).path.slice(0, 2).join("/");

/** Whether leaving is allowed; set by screens that hold unsaved work. */
let guard: (() => boolean) | undefined;

export function setGuard(next: (() => boolean) | undefined): void {
  guard = next;
}

export function go(to: string, how: "push" | "replace" = "push"): void {
  if (how === "replace") {
    history.replaceState(null, "", to);
    window.dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = to;
  }
}

/** The present place; changes with the address. */
export function usePlace(): Place {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    let shown = location.hash;
    // It may have changed between the first drawing and now.
    setHash(shown);
    const changed = () => {
      if (location.hash === shown) return;
      const moved = screenOf(location.hash) !== screenOf(shown);
      if (moved && guard && !guard()) {
        history.replaceState(null, "", shown);
        return;
      }
      if (moved) guard = undefined;
      shown = location.hash;
      setHash(shown);
    };
    window.addEventListener("hashchange", changed);
    return () => window.removeEventListener("hashchange", changed);
  }, []);
  return parsePlace(hash);
}
