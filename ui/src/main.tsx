import "@mantine/core/styles.css";
import "./ui.css";

import { createTheme, MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createRoot } from "react-dom/client";

import { ApiError } from "./api";
import { App } from "./App";
import { nonce } from "./nonce";
import { SessionGate } from "./session";
import { Boundary } from "./Trouble";

const theme = createTheme({
  primaryShade: { light: 7, dark: 8 },
  fontFamily: "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', sans-serif",
  fontFamilyMonospace: "ui-monospace, SFMono-Regular, Menlo, 'DejaVu Sans Mono', monospace",
  defaultRadius: "sm",
  components: { Tooltip: { defaultProps: { openDelay: 400 } } },
});

const client = new QueryClient({
  defaultOptions: {
    queries: {
      refetchOnWindowFocus: false,
      // A server that is away comes back; whatever it refuses, it refuses again.
      retry: (count, error) => error instanceof ApiError && (error.status === 0 || error.status === 503) && count < 2,
    },
  },
});

client.getQueryCache().subscribe((event) => {
  const failure = event.type === "updated" && event.action.type === "error" ? event.action.error : null;
  if (failure instanceof ApiError && failure.status === 403 && event.query.queryKey[0] !== "session") {
    void client.invalidateQueries({ queryKey: ["session"] });
  }
});

createRoot(document.getElementById("root")!).render(
  <MantineProvider theme={theme} defaultColorScheme="auto" getStyleNonce={() => nonce}>
    <Boundary>
      <QueryClientProvider client={client}>
        <SessionGate>
          <App />
        </SessionGate>
      </QueryClientProvider>
    </Boundary>
  </MantineProvider>,
);
