// The heading of a page, which also names the page in the browser's tab and history.

import { Title } from "@mantine/core";
import { useEffect } from "react";

const ANY = "opstrace";

export function PageTitle({ children, tab = children }: { children: string; tab?: string }) {
  useEffect(() => {
    document.title = `${tab} · ${ANY}`;
    return () => {
      document.title = ANY;
    };
  }, [tab]);
  return (
    <Title order={1} size="h3">
      {children}
    </Title>
  );
}
