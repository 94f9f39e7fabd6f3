import { expect, it } from "vitest";

import { fitted, NOTE_PX } from "./layout";

const shape = { ratio: 0.66, least: { width: 70, height: 50 } };

it("one has all the room", () => {
  expect(fitted(1, 300, 200, shape)).toEqual({ columns: 1, width: 300, height: 200, shown: 1 });
});

it("several stand side by side in a wide room, one below the other in a high one", () => {
  expect(fitted(3, 600, 150, shape)).toMatchObject({ columns: 3, height: 150 });
  expect(fitted(3, 150, 600, shape)).toMatchObject({ columns: 1, height: 200 });
  expect(fitted(6, 600, 300, shape)).toMatchObject({ columns: 3, width: 200, height: 150 });
});

it("those that would be too small are left out, with room to say so", () => {
  const { columns, width, height, shown } = fitted(500, 300, 200, shape);
  expect([columns, width, height, shown]).toEqual([4, 75, (200 - NOTE_PX) / 3, 12]);
});

it("a room without a size holds one", () => expect(fitted(9, 0, 0, shape).shown).toBe(1));
