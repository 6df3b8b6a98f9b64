import assert from "node:assert/strict";
import test from "node:test";

import { price } from "../till.js";

test("shows both digits of the cents", () => {
  assert.equal(price(320), "3.20 €");
});
