import { expect, it } from "vitest";

import { lastDay } from "./Metrics";

it.each([
  [20_000 * 86_400, 20_000 * 86_400 + 5, "today"],
  [20_000 * 86_400, 20_001 * 86_400, "yesterday"],
  [20_000 * 86_400, 20_007 * 86_400 - 1, "6 days ago"],
])("the day %i at %i was %s", (day, now, words) => {
  expect(lastDay(day, now)).toBe(words);
});
