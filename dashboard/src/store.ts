// A value that several screens share.
import { useEffect, useState } from "preact/hooks";

export interface Store<T> {
  get(): T;
  set(value: T): void;
  listen(heard: () => void): () => void;
}

export function store<T>(first: T): Store<T> {
  let value = first;
  const listeners = new Set<() => void>();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const heard of [...listeners]) heard();
    },
    listen(heard) {
      listeners.add(heard);
      return () => void listeners.delete(heard);
    },
  };
}

export function useStore<T>(source: Store<T>): T {
  const [, again] = useState(0);
  const drawn = source.get();
  useEffect(() => {
    const heard = () => again((n) => n + 1);
    // It may have changed between the drawing and now.
    if (!Object.is(source.get(), drawn)) heard();
    return source.listen(heard);
  }, [source]);
  return drawn;
}
