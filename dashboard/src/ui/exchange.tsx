// Requests and responses. Everything here came from outside and is only ever shown as text.
import { useState } from "preact/hooks";
import type { Header, ReceivedResponse, SentRequest } from "../api/types";
import { curl } from "../curl";
import { pretty } from "../exact-json";
import { texts } from "../texts";
import { CopyButton } from "./basics";

/** Most characters shown at once; the rest is shown when asked for. */
const SHOWN_MAX = 20_000;

export function TextBlock({ text, label, wrap = true }: { text: string; label: string; wrap?: boolean }) {
  const [whole, setWhole] = useState(false);
  const shown = whole ? text : text.slice(0, SHOWN_MAX);
  return (
    <>
      <pre class={wrap ? "wrap" : ""} tabIndex={0} aria-label={label} role="region">
        {shown}
      </pre>
      {shown.length < text.length && (
        <button type="button" class="link" onClick={() => setWhole(true)}>
          {texts.exchange.showAll(text.length)}
        </button>
      )}
    </>
  );
}

export function BodyView({ body, label }: { body: string; label: string }) {
  const [raw, setRaw] = useState(false);
  const formatted = body.length < 200_000 ? pretty(body) : undefined;
  const differs = formatted !== undefined && formatted !== body;
  return (
    <div class="body-view">
      {differs && (
        <label class="check small">
          <input type="checkbox" checked={raw} onChange={(event) => setRaw(event.currentTarget.checked)} />
          {texts.exchange.raw}
        </label>
      )}
      <TextBlock text={differs && !raw ? formatted : body} label={label} />
    </div>
  );
}

function Headers({ headers }: { headers: Header[] }) {
  if (headers.length === 0) return null;
  return (
    <details class="headers" open={headers.length <= 8}>
      <summary>{texts.exchange.headers(headers.length)}</summary>
      <table class="pairs">
        <tbody>
          {headers.map((header, index) => (
            <tr key={index}>
              <th scope="row">{header.name}</th>
              <td>{header.value}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}

export function RequestView({ request }: { request: SentRequest }) {
  return (
    <div class="exchange">
      <div class="request-line">
        <b>{request.method}</b> <span class="url">{request.url}</span>
      </div>
      <div class="exchange-actions">
        <CopyButton text={() => curl(request)} label={texts.copy.curl} />
        <CopyButton text={request.url} label={texts.copy.url} />
      </div>
      <Headers headers={request.headers} />
      {request.body && <BodyView body={request.body} label={texts.exchange.requestBody} />}
    </div>
  );
}

export function ResponseView({ response }: { response: ReceivedResponse }) {
  const tone = response.status < 300 ? "good" : response.status < 400 ? "warn" : "bad";
  return (
    <div class="exchange">
      <div class="request-line">
        <b class={tone}>{response.status}</b> <span>{texts.exchange.statusText(response.status)}</span>
      </div>
      <Headers headers={response.headers} />
      {response.body ? <BodyView body={response.body} label={texts.exchange.responseBody} /> : <p class="muted">{texts.exchange.noBody}</p>}
      {response.truncated && <p class="hint">{texts.exchange.truncated}</p>}
    </div>
  );
}
