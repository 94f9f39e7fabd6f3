import { expect, it } from "vitest";

import { bounds, type Zones } from "./TimeChart";

it.each<[number | null, number | null, Zones, [number, number]]>([
  [3, 700, {}, [1, 1000]],
  [5, 5, {}, [1, 10]],
  [100, 100, {}, [10, 100]],
  [null, null, {}, [1, 10]],
  [Infinity, -Infinity, {}, [1, 10]],
  [-5, 0, {}, [1, 10]],
  [3, 700, { min: 0.5, max: 2000 }, [0.5, 2000]],
  [3, 700, { min: 0, max: -1 }, [1, 1000]],
])("a logarithmic axis from %d to %d, limits %j", (low, high, zones, expected) => {
  expect(bounds(low, high, { ...zones, logarithmic: true }, false)).toEqual(expected);
});
