// How the dashboard is built. `POSTRIDER_API` names a server for `npm run dev`.
import { defineConfig } from "vite";

const api = process.env.POSTRIDER_API ?? "http://127.0.0.1:8080";

export default defineConfig({
  base: "./",
  build: {
    outDir: process.env.POSTRIDER_DASHBOARD_OUT ?? "dist",
    emptyOutDir: true,
    target: "es2022",
    // The policy allows no inline or data: scripts, and no inlined files are needed.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: { proxy: { "/v1": api } },
});
