// The event types and the macros they give, for the form, completion and the catalogue.
import { useEffect, useMemo, useState } from "preact/hooks";
import { get } from "../api/client";
import type { Account, EventType, Listed } from "../api/types";
import type { Macro } from "../editor/completion";
import { texts } from "../texts";

let kept: Promise<EventType[]> | undefined;

export function useEventTypes(): EventType[] {
  const [types, setTypes] = useState<EventType[]>([]);
  useEffect(() => {
    kept ??= get<Listed<EventType>>("/v1/event-types").then((list) => list.data);
    kept.then(setTypes, () => (kept = undefined));
  }, []);
  return types;
}

/** Reads the event types again when they are next needed. */
export function forgetEventTypes(): void {
  kept = undefined;
}

/** Every macro by name, with the chosen types that carry it; the account's own fields last. */
export function macrosOf(types: EventType[], wanted: (type: EventType) => boolean, account: Account | undefined): Macro[] {
  const found = new Map<string, Macro>();
  for (const type of types) {
    for (const field of type.fields) {
      const macro = found.get(field.name) ?? { ...field, types: [] };
      if (wanted(type)) macro.types.push(type.type);
      found.set(field.name, macro);
    }
  }
  for (const name of account?.fields ?? []) {
    if (!found.has(name)) found.set(name, { name, type: texts.macros.own, meaning: texts.macros.ownMeaning, example: "", types: [texts.macros.own] });
  }
  return [...found.values()].sort((a, b) => Number(b.types.length > 0) - Number(a.types.length > 0));
}

export function useMacros(types: EventType[], wanted: (type: EventType) => boolean, account: Account | undefined, key: string): Macro[] {
  return useMemo(() => macrosOf(types, wanted, account), [types, account, key]);
}
