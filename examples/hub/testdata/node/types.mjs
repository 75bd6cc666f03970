// node types.mjs URL json|messagepack: one value of each Go type that methods may have comes to the official client and goes
// back. The hub says which types hub.TypeScript has for them.

import { assert, connected, finish, json, test } from "./harness.mjs";

// is reports whether a value has a type of TypeScript, as far as the hub's types need it.
function is(value, type) {
  if (type.endsWith(" | null")) return value === null || is(value, type.slice(0, -" | null".length));
  if (type.endsWith("[]")) return Array.isArray(value) && value.every((v) => is(v, type.slice(0, -2)));
  if (type.startsWith("[")) {
    const types = type.slice(1, -1).split(", ");
    return Array.isArray(value) && value.length === types.length && value.every((v, i) => is(v, types[i]));
  }
  if (type.startsWith("Record<")) {
    const element = type.slice(type.indexOf(", ") + 2, -1);
    return is(value, "object") && Object.values(value).every((v) => is(v, element));
  }
  switch (type) {
    case "unknown": return true;
    case "Date": return value instanceof Date;
    case "Uint8Array": return value instanceof Uint8Array;
    case "number": case "string": case "boolean": return typeof value === type;
    default: return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date); // an interface
  }
}

await connected(async (c) => {
  for (const row of await c.invoke("Rows")) {
    if (row.noJavaScript && !json) {
      await test(`${row.name}: ends the connection`, () => connected((other) => assert.rejects(other.invoke(row.give))));
      continue;
    }
    await test(row.name, async () => {
      const value = await c.invoke(row.give);
      const type = json ? row.json : row.messagePack;
      assert.ok(is(value, type), `${JSON.stringify(value)} is not a ${type}`);
      if (row.onlyOneWay) return;
      await c.invoke(row.take, value);
      const items = [];
      await new Promise((complete, error) => c.stream(row.stream, value).subscribe({ next: (v) => items.push(v), complete, error }));
      assert.deepEqual(items, [value, value]);
    });
  }
});
finish();
