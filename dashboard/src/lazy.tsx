// Screens that are loaded when they are first opened.
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { texts } from "./texts";
import { Button, Empty, Skeleton } from "./ui/basics";

export function lazy<P extends object>(load: () => Promise<ComponentType<P>>): ComponentType<P> {
  let loaded: ComponentType<P> | undefined;
  return function Lazy(props: P) {
    const [Found, setFound] = useState<ComponentType<P> | undefined>(() => loaded);
    const [failed, setFailed] = useState(false);
    useEffect(() => {
      if (Found) return;
      load().then(
        (component) => {
          loaded = component;
          setFound(() => component);
        },
        () => setFailed(true),
      );
    }, []);
    if (Found) return <Found {...props} />;
    // After an update of the server the old page asks for files that are gone.
    if (failed) {
      return (
        <Empty title={texts.loadFailed.title} action={<Button onClick={() => location.reload()}>{texts.loadFailed.reload}</Button>}>
          {texts.loadFailed.text}
        </Empty>
      );
    }
    return <Skeleton />;
  };
}
