// Completions of names that are no identifiers, written as PromQL reads them.

import type { Completion, CompletionContext, CompletionResult } from "@codemirror/autocomplete";
import { syntaxTree } from "@codemirror/language";
import type { SyntaxNode } from "@lezer/common";

import { labelName, named, quoted } from "../series";

const AMONG_LABELS = new Set(["LabelMatchers", "GroupingLabels"]);

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
