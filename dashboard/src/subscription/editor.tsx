// The form and what stands beside it, for new and for saved subscriptions.
import { useState } from "preact/hooks";
import type { Invalid, SubscriptionSpec, Warning } from "../api/types";
import { useDirectory } from "../directory";
import { rights } from "../session";
import { texts } from "../texts";
import { takes } from "./draft";
import { SubscriptionForm } from "./form";
import { Findings, Panel } from "./panel";
import { useEventTypes, useMacros } from "./use-catalogue";

interface Props {
  draft: SubscriptionSpec;
  onChange: (draft: SubscriptionSpec) => void;
  id?: string;
  /** What the last attempt to save said. */
  faults: Invalid[];
  warnings: Warning[];
  onRotate?: () => void;
}

export function SubscriptionEditor({ draft, onChange, id, faults, warnings, onRotate }: Props) {
  const types = useEventTypes();
  const { accounts } = useDirectory();
  const account = accounts.find((item) => item.id === draft.account);
  const macros = useMacros(types, (type) => draft.event_types.some((pattern) => takes(pattern, type)), account, draft.event_types.join());
  const [found, setFound] = useState<Invalid[]>([]);
  const readOnly = !rights().write;
  // What saving said stands until something is changed; then what the preview finds.
  const shown = faults.length > 0 ? faults : found;
  return (
    <div class="editor-columns">
      <div>
        <Findings errors={faults.filter((fault) => !fault.pointer)} warnings={warnings} />
        <SubscriptionForm draft={draft} onChange={onChange} types={types} macros={macros} faults={shown} readOnly={readOnly} isNew={id === undefined} onRotate={onRotate} />
      </div>
      <div class="beside">
        {types.length > 0 && <Panel draft={draft} types={types} id={id} onFaults={(errors) => setFound(errors)} />}
        <p class="hint pad">{texts.panel.sameAsSent}</p>
      </div>
    </div>
  );
}
