import { expect, test } from "vitest";
import { Failure } from "./api/client";
import { cell, exportCsv, line } from "./csv";
import { parseExact } from "./exact-json";

test("cells are quoted as RFC 4180 says", () => {
  expect(line(["a", 'say "hi"', "x,y", "two\r\nlines", "", null, undefined, true, 5])).toBe('a,"say ""hi""","x,y","two\r\nlines",,,,true,5\r\n');
  expect(cell({ sku: "A,1" })).toBe('"{""sku"":""A,1""}"');
});

test("numbers keep their digits", () => {
  expect(cell(parseExact("5.00"))).toBe("5.00");
  expect(cell(parseExact("12345678901234567890.10"))).toBe("12345678901234567890.10");
  expect(cell("-5.00")).toBe("-5.00");
});

test("nothing is run as a formula", () => {
  expect(cell('=HYPERLINK("https://x.example","y")')).toBe(`"'=HYPERLINK(""https://x.example"",""y"")"`);
  for (const text of ["=1+1", "+1", "-1+1", "@SUM(A1)", "＝1", "-", "-5.", "-5 "]) expect(cell(text).replace(/^"/, "")).toMatch(/^'/);
  for (const text of ["\t=1", "\r=1", " =1", "\n@a"]) expect(cell(text)).toMatch(/^"?'/);
  expect(cell("a=1")).toBe("a=1");
});

const pages = (count: number) => async (query: { cursor?: unknown; limit?: unknown }) => {
  const from = Number(query.cursor ?? 0);
  const to = Math.min(count, from + Number(query.limit));
  return { data: Array.from({ length: to - from }, (_, n) => ({ id: from + n })), next_cursor: to < count ? String(to) : null };
};

test("a list is read to its end, or to the bound", async () => {
  const columns = [{ name: "id", value: (row: { id: number }) => row.id }];
  const told: number[] = [];
  const { signal } = new AbortController();
  const all = await exportCsv(columns, pages(450), (rows) => told.push(rows), signal);
  expect([all.rows, all.cut, told]).toEqual([450, false, [200, 400, 450]]);
  const lines = (await all.file.text()).split("\r\n");
  // `text` drops the mark for UTF-8.
  expect([lines.length, lines[0]?.replace("\ufeff", ""), lines[450]]).toEqual([452, "id", "449"]);
  expect(new Uint8Array(await all.file.arrayBuffer()).slice(0, 3)).toEqual(new Uint8Array([0xef, 0xbb, 0xbf]));
  const some = await exportCsv(columns, pages(450), () => {}, signal, 250);
  expect([some.rows, some.cut]).toEqual([250, true]);
});

test("a refusal ends it", async () => {
  const refused = exportCsv([], () => Promise.reject(new Failure(403, "forbidden", "no")), () => {}, new AbortController().signal);
  await expect(refused).rejects.toThrow("no");
});
