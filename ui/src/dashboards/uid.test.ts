import { describe, expect, it } from "vitest";

import { freeUid, uidOf } from "./uid";

describe("a dashboard's uid", () => {
  it.each<[string, string, boolean]>([
    ['{"uid": "mine", "title": "x"}', "mine", true],
    ['{"dashboard": {"uid": "inner"}}', "inner", true],
    ['{"uid": "not one", "title": "CPU & disks"}', "cpu-disks", false],
    ['{"title": "温度"}', "dashboard", false],
    ["{", "dashboard", false],
    ["null", "dashboard", false],
  ])("of %s", (text, uid, given) => expect(uidOf(text)).toEqual({ uid, given }));

  it("is one that nothing else has", () => {
    expect(freeUid("mine", [])).toBe("mine");
    expect(freeUid("mine", ["mine", "mine-2"])).toBe("mine-3");
    expect(freeUid("stars", [])).toBe("stars-2");
    const long = "x".repeat(40);
    expect(freeUid(long, [long])).toBe(`${"x".repeat(38)}-2`);
  });
});
