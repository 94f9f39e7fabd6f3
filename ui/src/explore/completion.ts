// When completions are offered, when they are chosen, and how names that are no identifiers are written by them.

import { selectedCompletion, type Completion, type CompletionContext, type CompletionResult } from "@codemirror/autocomplete";
import { syntaxTree } from "@codemirror/language";
import type { EditorState } from "@codemirror/state";
import type { SyntaxNode } from "@lezer/common";

import { labelName, named, quoted } from "../series";

const AMONG_LABELS = new Set(["LabelMatchers", "GroupingLabels"]);

/** Whether completions are to be seen: unasked not where nothing is typed yet and the query may end, as Enter runs it. */
export function isOffered({ from }: CompletionResult, { explicit, pos, state }: CompletionContext): boolean {
  return explicit || from < pos || !/[\w)\]}]\s*$/.test(state.sliceDoc(0, pos));
}

/** Whether what is typed is the selected completion already, so that choosing it would change nothing. */
export function isWritten(state: EditorState): boolean {
  const selected = selectedCompletion(state);
  const text = selected?.apply ?? selected?.label;
  const { head } = state.selection.main;
  return typeof text === "string" && state.sliceDoc(Math.max(0, head - text.length), head) === text;
}

/** The same completions, with names quoted where they must be. */
export function quotingNames({ options, ...result }: CompletionResult, context: CompletionContext): CompletionResult {
  const applied = writing(context, result.from);
  const isName = (option: Completion) => option.type === "constant" && option.apply === undefined;
  const written = options.map((option) => (isName(option) ? { ...option, ...applied(option.label) } : option));
  return { ...result, options: written };
}

/** How a name is written where it will stand. */
function writing({ state, pos }: CompletionContext, from: number): (name: string) => Partial<Completion> {
  // What is typed is looked for in the label, so the quote that was typed is part of it.
  if (state.sliceDoc(from, from + 1) === '"') return (name) => ({ label: quoted(name), displayLabel: name });
  for (let node: SyntaxNode | null = syntaxTree(state).resolveInner(pos, -1); node; node = node.parent) {
    if (AMONG_LABELS.has(node.name)) return (name) => ({ apply: labelName(name) });
  }
  return (name) => ({ apply: named(name) });
}
