// Signing in with a key; again over the present screen when the key is no longer taken.
import { useState } from "preact/hooks";
import { Failure } from "../api/client";
import { Logo } from "../app";
import { signIn, signOut } from "../session";
import { texts } from "../texts";
import { Button, Field, FailureNote } from "../ui/basics";
import { Dialog } from "../ui/dialog";

export function SignIn({ again = false }: { again?: boolean }) {
  const [key, setKey] = useState("");
  const [shown, setShown] = useState(false);
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure>();
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    setBusy(true);
    setFailure(undefined);
    try {
      await signIn(key.trim());
    } catch (error) {
      setFailure(Failure.of(error));
      setBusy(false);
    }
  };
  const form = (
    <form onSubmit={submit}>
      {again && <p>{texts.signIn.expired}</p>}
      <Field label={texts.signIn.key} hint={texts.signIn.hint}>
        {(ids) => (
          <div class="with-button">
            <input
              {...ids}
              type={shown ? "text" : "password"}
              autoComplete="off"
              autoFocus
              spellcheck={false}
              required
              value={key}
              placeholder="prk_…"
              onInput={(event) => setKey(event.currentTarget.value)}
            />
            <Button onClick={() => setShown(!shown)}>{shown ? texts.signIn.hide : texts.signIn.show}</Button>
          </div>
        )}
      </Field>
      {failure && <FailureNote failure={failure} />}
      <div class="form-actions">
        <Button kind="primary" type="submit" busy={busy}>
          {texts.signIn.go}
        </Button>
      </div>
    </form>
  );
  if (again) {
    return (
      <Dialog title={texts.signIn.again} onClose={signOut}>
        <div class="dialog-body">{form}</div>
      </Dialog>
    );
  }
  return (
    <main class="sign-in">
      <div class="card">
        <Logo />
        <h1>{texts.signIn.title}</h1>
        <p class="lead">{texts.signIn.lead}</p>
        {form}
      </div>
    </main>
  );
}
