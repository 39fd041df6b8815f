// After the build: checks the size budgets, writes gzip and brotli copies of what gains by them, and a
// list of the files for the program that embeds them: path, media type, hash of the content.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { extname, join, relative } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const SHELL_MAX = 45 * 1024;
const TOTAL_MAX = 300 * 1024;
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

const folder = process.env.POSTRIDER_DASHBOARD_OUT ?? "dist";
const walk = (path) => (statSync(path).isDirectory() ? readdirSync(path).flatMap((name) => walk(join(path, name))) : [path]);

const files = walk(folder).sort().map((file) => {
  const type = TYPES[extname(file)];
  if (!type) throw new Error(`${file}: no media type is known for this file; add it to scripts/finish.mjs`);
  const bytes = readFileSync(file);
  const gzip = gzipSync(bytes, { level: 9 });
  const brotli = brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } });
  writeFileSync(`${file}.gz`, gzip);
  writeFileSync(`${file}.br`, brotli);
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 32);
  return { path: relative(folder, file).replaceAll("\\", "/"), type, hash, bytes, gzip: gzip.length };
});

// What the first view loads: the page, and what it names.
const page = files.find((file) => file.path === "index.html");
const first = files.filter((file) => file === page || page.bytes.includes(file.path));
const sum = (list) => list.reduce((total, file) => total + file.gzip, 0);
const [shell, total] = [sum(first), sum(files)];
const kb = (bytes) => `${(bytes / 1024).toFixed(1)} KiB`;
console.log(`dashboard: first view ${kb(shell)} of ${kb(SHELL_MAX)}, everything ${kb(total)} of ${kb(TOTAL_MAX)} (gzip)`);
if (shell > SHELL_MAX || total > TOTAL_MAX) {
  for (const file of files) console.error(`  ${kb(file.gzip).padStart(10)}  ${file.path}`);
  console.error("dashboard: over the size budget; load what is rarely needed on demand, or leave it out");
  process.exit(1);
}
writeFileSync(join(folder, "files.tsv"), files.map((file) => `${file.path}\t${file.type}\t${file.hash}\n`).join(""));
