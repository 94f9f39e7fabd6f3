// Rows of a table that can be clicked wherever nothing else is.

import type { MouseEvent } from "react";

/** What makes a row such a one; the button in it stays, for the keyboard. Marking a text is no click. */
export function clickable(onClick: () => void) {
  return {
    className: "clickable",
    onClick: ({ target }: MouseEvent<HTMLElement>) => {
      const own = (target as Element).closest("a, button");
      if (!own && getSelection()?.isCollapsed !== false) onClick();
    },
  };
}
