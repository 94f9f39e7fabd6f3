import { defineConfig } from "vite";

// One page whose files are named by their content, so that browsers may keep them for ever. The nonce is put in by the
// server, anew for every answer (src/opstrace/web/ui.py).
export default defineConfig({
  base: "/ui/",
  html: { cspNonce: "OPSTRACE_NONCE" },
  build: {
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1500,
    sourcemap: false,
    target: "es2022",
    cssTarget: "chrome123", // keeps light-dark()
  },
});
