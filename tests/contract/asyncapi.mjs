// Prints what AsyncAPI's own parser finds wrong with a document: a JSON list of its diagnostics.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
process.stdout.write(JSON.stringify(diagnostics));
