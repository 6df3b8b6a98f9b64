import assert from "node:assert/strict";
import test from "node:test";

import { slug } from "../words.js";

test("puts dashes between words", () => {
  assert.equal(slug("  Hello, wide World! "), "hello-wide-world");
});

test("makes nothing of nothing", () => {
  assert.equal(slug("?!"), "");
});
