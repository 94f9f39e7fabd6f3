import { expect, it } from "vitest";

import { hasWords } from "./Search";

it.each([
  ["Web-1 Debian", "", true],
  ["Web-1 Debian", "debian web", true],
  ["Web-1 Debian", "  WEB ", true],
  ["Web-1 Debian", "web 2", false],
])("%j has the words of %j: %j", (text, search, found) => expect(hasWords(text, search)).toBe(found));
