// What stands round a form with unsaved changes.
import type { Edited } from "../edited";
import { texts } from "../texts";
import { Button, FailureNote } from "./basics";

type Part = Omit<Edited<unknown, never>, "saved" | "draft" | "edit" | "adopt">;

/** Why the last attempt to save failed; if somebody else was faster, what they saved can be read. */
export function EditProblem({ edited: { problem, reload } }: { edited: Part }) {
  if (!problem) return null;
  return <FailureNote failure={problem} again={problem.code === "version_mismatch" ? reload : undefined} />;
}

export function SaveBar({ edited }: { edited: Part }) {
  return (
    <div class={`save-bar ${edited.changed ? "on" : ""}`} inert={!edited.changed}>
      <span>{texts.saveBar.unsaved}</span>
      <Button onClick={edited.discard}>{texts.saveBar.discard}</Button>
      <Button kind="primary" busy={edited.saving} onClick={() => void edited.save()}>
        {texts.saveBar.save}
      </Button>
    </div>
  );
}
