import { CompletionContext } from "@codemirror/autocomplete";
import { LRLanguage } from "@codemirror/language";
import { EditorState } from "@codemirror/state";
import { parser } from "@prometheus-io/lezer-promql";
import { expect, it } from "vitest";

import { isOffered, quotingNames } from "./completion";

const extensions = [LRLanguage.define({ parser })];

// `|` is the cursor.
function typed(text: string, explicit = false) {
  const [before, after] = text.split("|") as [string, string];
  const state = EditorState.create({ doc: before + after, extensions });
  return new CompletionContext(state, before.length, explicit);
}

function written(text: string, from: number, name: string) {
  const context = typed(text);
  const [option] = quotingNames({ from, options: [{ label: name, type: "constant" }] }, context).options;
  return option!.apply ?? option!.label;
}

it.each([
  ["ht|", 0, "http_requests", "http_requests"],
  ["ht|", 0, "http.requests", '{"http.requests"}'],
  ["sum(ht|)", 4, "http.requests", '{"http.requests"}'],
  ["sum by (a) (ht|)", 12, "http.requests", '{"http.requests"}'],
  ['{"ht|"}', 1, "http.requests", '"http.requests"'],
  ["up{my|}", 3, "my.label", '"my.label"'],
  ["up{my|}", 3, "my_label", "my_label"],
  ["sum by (my|) (up)", 8, "my.label", '"my.label"'],
  ['sum by ("my|") (up)', 8, "my.label", '"my.label"'],
])("%s from %d, %s chosen: %s", (text, from, name, wanted) => expect(written(text, from, name)).toBe(wanted));

it("what is no name stays as it is", () => {
  const state = EditorState.create({ doc: "su", extensions });
  const options = [{ label: "sum", type: "keyword" }, { label: "a.b", type: "text", apply: "a.b" }];
  expect(quotingNames({ from: 0, options }, new CompletionContext(state, 2, false)).options).toEqual(options);
});

it.each([
  ["sum(up)|", 7, false],
  ["sum(up) |", 8, false],
  ["sum by (a)|", 10, false],
  ["rate(up[5|])", 9, false],
  ["sum(up) b|", 8, true],
  ["sum(|)", 4, true],
  ["up{|}", 3, true],
  ['up{job="|"}', 8, true],
  ["sum by (a, |)", 11, true],
  ["up + |", 5, true],
])("completions of %s from %d open by themselves: %s", (text, from, wanted) => {
  expect(isOffered({ from, options: [] }, typed(text))).toBe(wanted);
  expect(isOffered({ from, options: [] }, typed(text, true))).toBe(true);
});
