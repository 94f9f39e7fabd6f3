// What a page shows is in its address: a copied link shows the same.

import { useCallback } from "react";
import { useSearchParams } from "wouter";

import type { Range } from "./time";

export type Change = Record<string, string | string[] | null>;

export interface Address {
  one: (name: string, otherwise?: string) => string;
  all: (name: string) => string[];
  change: (change: Change, replace?: boolean) => void;
  names: () => string[];
}

export function useAddress(): Address {
  const [parameters, setParameters] = useSearchParams();
  const change = useCallback(
    (wanted: Change, replace = false) => {
      setParameters(
        (before) => {
          const after = new URLSearchParams(before);
          for (const [name, value] of Object.entries(wanted)) {
            after.delete(name);
            for (const one of Array.isArray(value) ? value : [value]) if (one !== null && one !== "") after.append(name, one);
          }
          return after;
        },
        { replace },
      );
    },
    [setParameters],
  );
  return {
    one: (name, otherwise = "") => parameters.get(name) ?? otherwise,
    all: (name) => parameters.getAll(name),
    names: () => [...new Set(parameters.keys())],
    change,
  };
}

export function rangeOf(address: Address, from = "now-1h"): Range {
  return { from: address.one("from", from), to: address.one("to", "now") };
}
