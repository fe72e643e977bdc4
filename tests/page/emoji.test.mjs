import assert from "node:assert/strict";
import { test } from "node:test";
import { emoji, withEmoji } from "../../src/simulator/page/emoji.js";

test("names that are known become emoji, others stay as they are", () => {
  assert.equal(emoji("hourglass_flowing_sand"), "⏳");
  assert.equal(emoji("constructor"), ":constructor:");
  assert.equal(withEmoji("a :+1: b :no_such: at 10:20:30 :x:"), "a 👍 b :no_such: at 10:20:30 ❌");
});
