// Bars over time, drawn as SVG; the same numbers stand beside it in a table for screen readers.
import { useState } from "preact/hooks";
import { count, steady, time } from "../format";
import { texts } from "../texts";

export interface Layer {
  name: string;
  tone: "good" | "warn" | "bad";
  values: number[];
}

const [WIDTH, HEIGHT] = [1000, 160];

/** A round number at or above `n` for the top of the axis. */
export function roundUp(n: number): number {
  if (n <= 4) return 4;
  const size = 10 ** Math.floor(Math.log10(n));
  return ([1, 2, 4, 5, 8, 10].find((step) => step * size >= n) ?? 10) * size;
}

export function StackedBars({ times, layers, label }: { times: string[]; layers: Layer[]; label: string }) {
  const [at, setAt] = useState<number>();
  const sums = times.map((_, index) => layers.reduce((sum, layer) => sum + (layer.values[index] ?? 0), 0));
  const top = roundUp(Math.max(0, ...sums));
  const step = WIDTH / Math.max(1, times.length);
  const shown = at === undefined ? undefined : times[at];
  return (
    <figure class="chart">
      <figcaption>
        <span class="legend">
          {layers.map((layer) => (
            <span key={layer.name} class={layer.tone}>
              <i aria-hidden="true" />
              {layer.name}
              {at !== undefined && <b class="num">{count(layer.values[at] ?? 0)}</b>}
            </span>
          ))}
        </span>
        <span class="muted num">{shown ? time(shown) : texts.overview.perMinute}</span>
      </figcaption>
      <div class="plot">
        <div class="axis num" aria-hidden="true">
          <span>{steady(top)}</span>
          <span>{steady(top / 2)}</span>
          <span>{steady(0)}</span>
        </div>
        <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label} onMouseLeave={() => setAt(undefined)}>
          {[0, 0.5, 1].map((share) => (
            <line key={share} x1="0" x2={WIDTH} y1={HEIGHT * share} y2={HEIGHT * share} />
          ))}
          {times.map((key, index) => {
            let y = HEIGHT;
            return (
              <g key={key} class={index === at ? "at" : ""} onMouseEnter={() => setAt(index)}>
                <rect class="hit" x={index * step} y="0" width={step} height={HEIGHT} />
                {layers.map((layer) => {
                  const height = ((layer.values[index] ?? 0) / top) * HEIGHT;
                  y -= height;
                  return <rect key={layer.name} class={layer.tone} x={index * step + step * 0.12} y={y} width={step * 0.76} height={height} />;
                })}
              </g>
            );
          })}
        </svg>
      </div>
      <div class="axis-x num" aria-hidden="true">
        <span>{times[0] && time(times[0])}</span>
        <span>{times.length > 0 && time(times[times.length - 1])}</span>
      </div>
      <div class="offscreen">
        <table>
          <caption>{label}</caption>
          <thead>
            <tr>
              <th>{texts.time}</th>
              {layers.map((layer) => (
                <th key={layer.name}>{layer.name}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {times.map((key, index) =>
              (sums[index] ?? 0) > 0 ? (
                <tr key={key}>
                  <td>{time(key)}</td>
                  {layers.map((layer) => (
                    <td key={layer.name}>{layer.values[index] ?? 0}</td>
                  ))}
                </tr>
              ) : null,
            )}
          </tbody>
        </table>
      </div>
    </figure>
  );
}
