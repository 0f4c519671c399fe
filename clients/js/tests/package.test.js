// What the package promises of itself.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

const PACKAGE = join(import.meta.dirname, "..");
const source = readFileSync(join(PACKAGE, "ringback.js"), "utf8");
const about = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8"));

test("the module is under 5 kB gzipped, as it is served", () => {
  const bytes = gzipSync(source, { level: 9 }).length;
  assert.ok(bytes < 5000, `${bytes} bytes`);
});

test("it depends on nothing", () => {
  for (const kind of ["dependencies", "peerDependencies", "optionalDependencies"]) assert.equal(about[kind], undefined);
  const code = source.replaceAll(/\/\*.*?\*\//gs, "");
  assert.doesNotMatch(code, /^\s*import\s|\bimport\(|\brequire\(/m);
});

test("the declaration file is what the source says", () => {
  const folder = mkdtempSync(join(tmpdir(), "ringback-types-"));
  try {
    execFileSync(join(PACKAGE, "../../node_modules/.bin/tsc"), ["-p", PACKAGE, "--outDir", folder], { stdio: "pipe" });
    const [committed, fresh] = [PACKAGE, folder].map((where) => readFileSync(join(where, "ringback.d.ts"), "utf8"));
    assert.equal(committed, fresh, "run `make docs`");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("its version is the one of the Python package", () => {
  const python = readFileSync(join(PACKAGE, "../../pyproject.toml"), "utf8");
  assert.equal(about.version, /^version = "(.*)"$/m.exec(python)?.[1]);
});
