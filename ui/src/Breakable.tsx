// A name that goes on in the next line after `_` and `.` only, not in the middle of a word.

import { Fragment } from "react";

export function Breakable({ name }: { name: string }) {
  return (
    <span className="breakable">
      {name.split(/(?<=[_.])(?=[^_.])/).map((part, index) => (
        <Fragment key={index}>
          {index > 0 && <wbr />}
          {part}
        </Fragment>
      ))}
    </span>
  );
}
