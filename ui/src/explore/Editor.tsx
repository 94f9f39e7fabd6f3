// A line of PromQL with highlighting, checks, and completion of metrics, labels and values from the store.

import { autocompletion, closeBrackets, closeBracketsKeymap, closeCompletion } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, insertNewline } from "@codemirror/commands";
import { bracketMatching, syntaxHighlighting } from "@codemirror/language";
import { lintKeymap } from "@codemirror/lint";
import { EditorState, Prec } from "@codemirror/state";
import { EditorView, keymap, placeholder } from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";
import { useComputedColorScheme } from "@mantine/core";
import { newCompleteStrategy, PromQLExtension } from "@prometheus-io/codemirror-promql";
import { useEffect, useRef } from "react";

import { nonce } from "../nonce";
import { isOffered, isWritten, quotingNames } from "./completion";

interface Props {
  value: string;
  label: string;
  focused?: boolean; // from the start
  onChange: (value: string) => void;
  onRun: () => void;
}

const store = newCompleteStrategy({
  remote: { url: "", apiPrefix: "/prometheus/api/v1", cache: { maxAge: 60_000 }, lookbackInterval: 86_400_000 },
});

const promql = new PromQLExtension()
  .activateCompletion(true)
  .activateLinter(true)
  .setComplete({
    completeStrategy: {
      promQL: async (context) => {
        const found = await store.promQL(context);
        return found && isOffered(found, context) ? quotingNames(found, context) : null;
      },
    },
  });

export function Editor({ value, label, focused = false, onChange, onRun }: Props) {
  const dark = useComputedColorScheme("light") === "dark";
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const hooks = useRef({ onChange, onRun });
  hooks.current = { onChange, onRun };

  useEffect(() => {
    const run = (view: EditorView) => {
      closeCompletion(view);
      hooks.current.onRun();
      return true;
    };
    const made = new EditorView({
      parent: host.current!,
      state: EditorState.create({
        doc: view.current?.state.doc.toString() ?? value,
        extensions: [
          EditorView.cspNonce.of(nonce),
          EditorView.theme({}, { dark }),
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({ "aria-label": label }),
          history(),
          bracketMatching(),
          closeBrackets(),
          // Before completion, which takes Enter first where something is chosen by it.
          Prec.highest(keymap.of([{ key: "Enter", run: (view) => isWritten(view.state) && run(view) }])),
          autocompletion(),
          syntaxHighlighting(classHighlighter),
          placeholder("PromQL, such as avg by (instance) (system_load_1); Enter runs it"),
          promql.asExtension(),
          keymap.of([...closeBracketsKeymap, ...historyKeymap, ...lintKeymap, ...defaultKeymap]),
          Prec.high(keymap.of([{ key: "Enter", run, shift: insertNewline }])),
          Prec.highest(keymap.of([{ key: "Mod-Enter", run }, { key: "Escape", run: leave }])),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) hooks.current.onChange(update.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = made;
    return () => made.destroy();
  }, [dark, label]);

  useEffect(() => {
    const current = view.current;
    if (current && current.state.doc.toString() !== value) {
      current.dispatch({ changes: { from: 0, to: current.state.doc.length, insert: value } });
    }
  }, [value]);

  useEffect(() => {
    if (focused) view.current?.focus();
    // When it appears, not when its colours change.
  }, []);

  return <div ref={host} className="editor" />;
}

// Tab moves on as everywhere; Escape leaves the editor, unless it closes a completion.
function leave(view: EditorView): boolean {
  if (view.dom.querySelector(".cm-tooltip-autocomplete")) return false;
  view.contentDOM.blur();
  return true;
}
