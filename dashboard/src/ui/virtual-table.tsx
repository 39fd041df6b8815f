// A table of any length: only the rows in view are in the page. All rows have one height.
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { texts } from "../texts";
import type { Column } from "./records";

const OVERSCAN = 12;

interface Props<T> {
  label: string;
  columns: Column<T>[];
  rows: T[];
  complete: boolean;
  onEnd: () => void;
  /** Told whenever the view moves: the first row in view, and whether that is the first of all. */
  onView: (first: T | undefined, top: boolean) => void;
  end?: ComponentChildren;
}

/** The height of a row in pixels; the style sheet has the same numbers. */
const rowHeight = () => (window.matchMedia("(max-width: 760px)").matches ? 72 : 42);

export function VirtualTable<T extends { id: string }>({ label, columns, rows, complete, onEnd, onView, end }: Props<T>) {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 800, row: rowHeight() });
  const first = Math.max(0, Math.floor(view.top / view.row) - OVERSCAN);
  const last = Math.min(rows.length, Math.ceil((view.top + view.height) / view.row) + OVERSCAN);

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const look = () => setView({ top: element.scrollTop, height: element.clientHeight, row: rowHeight() });
    look();
    const observer = new ResizeObserver(look);
    observer.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, []);

  // Rows that come in above the view do not move what is read, nor what is pointed at.
  const [held, setHeld] = useState(false);
  const [above, setAbove] = useState(0);
  const anchor = useRef<{ id: string | undefined; index: number }>({ id: undefined, index: 0 });
  useLayoutEffect(() => {
    const element = box.current;
    const { id, index } = anchor.current;
    if (element && id !== undefined && (element.scrollTop > 0 || held)) {
      const now = rows.findIndex((item) => item.id === id);
      if (now > 0 && now !== index) {
        element.scrollTop += (now - index) * view.row;
        if (held) setAbove((n) => n + now - index);
      }
    }
  }, [rows]);
  const toTop = () => {
    setAbove(0);
    box.current?.scrollTo(0, 0);
  };
  // Who only pointed at the newest rows goes on with them.
  const release = () => {
    setHeld(false);
    if (above > 0 && view.top <= above * view.row) toTop();
    setAbove(0);
  };
  useLayoutEffect(() => {
    const index = Math.min(rows.length - 1, Math.max(0, Math.floor(view.top / view.row)));
    anchor.current = { id: rows[index]?.id, index };
    onView(rows[index], view.top < view.row);
    if (!complete && rows.length > 0 && last >= rows.length - OVERSCAN) onEnd();
  }, [rows, view, complete]);

  const keys = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
    if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = (event.target as HTMLElement).closest("tr");
    const to = step > 0 ? at?.nextElementSibling : at?.previousElementSibling;
    const link = to?.querySelector<HTMLElement>("a");
    if (!link) return;
    event.preventDefault();
    link.focus();
    to?.scrollIntoView({ block: "nearest" });
  };
  return (
    <div class="virtual" ref={box} tabIndex={0} role="region" aria-label={label} onKeyDown={keys} onPointerEnter={() => setHeld(true)} onPointerLeave={release}>
      {above > 0 && (
        <div class="over">
          <button type="button" class="behind" onClick={toTop}>
            {texts.list.above(above)}
          </button>
        </div>
      )}
      <table class="rows" aria-rowcount={complete ? rows.length + 1 : -1}>
        <thead>
          <tr aria-rowindex={1}>
            {columns.map((column) => (
              <th key={column.name} class={column.class}>
                {column.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {first > 0 && (
            <tr key="above" aria-hidden="true" class="space">
              <td colSpan={columns.length} style={{ height: first * view.row }} />
            </tr>
          )}
          {rows.slice(first, last).map((item, index) => (
            <tr key={item.id} aria-rowindex={first + index + 2}>
              {columns.map((column) => (
                <td key={column.name} class={column.class}>
                  {column.cell(item)}
                </td>
              ))}
            </tr>
          ))}
          {last < rows.length && (
            <tr key="below" aria-hidden="true" class="space">
              <td colSpan={columns.length} style={{ height: (rows.length - last) * view.row }} />
            </tr>
          )}
        </tbody>
      </table>
      {end}
    </div>
  );
}
