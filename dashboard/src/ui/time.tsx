// Times as people read them.
import { useEffect, useState } from "preact/hooks";
import { bothZones, relative, time } from "../format";

/** A time as people read it; the tooltip has the local zone and UTC. */
export function Time({ at, ago = false }: { at: string | null | undefined; ago?: boolean }) {
  const [, again] = useState(0);
  useEffect(() => {
    if (!ago) return;
    const timer = setInterval(() => again((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, [ago]);
  if (!at) return <span class="muted">–</span>;
  return (
    <time dateTime={at} title={bothZones(at)} class="num">
      {ago ? relative(at) : time(at)}
    </time>
  );
}
