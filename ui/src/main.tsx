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
  primaryShade: { light: 8, dark: 8 },
  fontFamily: "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', sans-serif",
  fontFamilyMonospace: "ui-monospace, SFMono-Regular, Menlo, 'DejaVu Sans Mono', monospace",
  defaultRadius: "sm",
  components: {
    Modal: { defaultProps: { closeButtonProps: { "aria-label": "Close" } } },
    Tooltip: { defaultProps: { openDelay: 400 } },
  },
});

const client = new QueryClient({
  defaultOptions: {
    queries: {
      refetchOnWindowFocus: false,
      // The server may be on this very machine: whether there is a network beyond says nothing.
      networkMode: "always",
      // A server that is away comes back; whatever it refuses, it refuses again.
      retry: (count, error) => error instanceof ApiError && (error.status === 0 || error.status === 503) && count < 2,
    },
  },
});

// The server was upgraded under an open page: the files it would load next are gone. Once a minute at most, so that a
// file that cannot be had does not keep the page loading for ever.
window.addEventListener("vite:preloadError", () => {
  const last = Number(sessionStorage.getItem("reloaded") ?? 0);
  if (Date.now() - last < 60_000) return;
  sessionStorage.setItem("reloaded", String(Date.now()));
  location.reload();
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
