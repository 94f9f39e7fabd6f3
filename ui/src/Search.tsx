// The field that searches a list; what is in it is in the page's address.

import { TextInput } from "@mantine/core";

import { useAddress } from "./address";

/** A page's search field: `what` is searched, `hint` says by what. */
export function Search({ what, hint, width = 360 }: { what: string; hint: string; width?: number }) {
  const address = useAddress();
  return (
    <TextInput
      type="search"
      aria-label={`Search ${what}`}
      placeholder={hint}
      w={width}
      value={address.one("search")}
      onChange={(event) => address.change({ search: event.currentTarget.value }, true)}
    />
  );
}

/** Whether a text has every word that is searched for, in any order. */
export function hasWords(text: string, search: string): boolean {
  const lower = text.toLowerCase();
  return search.toLowerCase().split(/\s+/).every((word) => lower.includes(word));
}
