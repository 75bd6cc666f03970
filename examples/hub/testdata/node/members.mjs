// node members.mjs URL json|messagepack: redirects, users, and groups when a client leaves.

import { assert, base, broken, build, connected, finish, json, proxy, skip, test, until, url } from "./harness.mjs";

const at = `${base}/extremes/hub`;
const redirect = (to, as = "") => `${url}?to=${encodeURIComponent(to)}${as && `&as=${as}`}`;
const as = (user) => ({ accessTokenFactory: () => `${user} ${json}` });

// several connects several clients, runs f with them, and disconnects those that are left.
async function several(options, f) {
  const all = options.map((o) => build(o));
  await Promise.all(all.map((c) => c.start()));
  try {
    await f(...all);
  } finally {
    await Promise.all(all.map((c) => c.stop()));
  }
}

await test("a redirect gives the token of the other hub, and keeps the query", () =>
  connected(async (c) => {
    assert.match(c.wire[0].url, /\/extremes\/hub\?a=(é|%C3%A9)&/);
    assert.equal(await c.invoke("WhoAmI"), "zoe");
  }, { at: redirect(`${at}?a=é`, "zoe"), ...as("ann") }));
await test("a redirect without a token keeps the client's own", () =>
  connected(async (c) => assert.equal(await c.invoke("WhoAmI"), `ann ${json}`), { at: redirect(at), ...as("ann") }));
await test("a chain of redirects", () =>
  connected(async (c) => {
    assert.equal(await c.invoke("WhoAmI"), "last");
    assert.match(c.wire[0].url, /\/extremes\/hub\?/);
  }, { at: redirect(redirect(redirect(at, "last"), "second"), "first") }));
await test("a redirected connection reconnects, and negotiates anew", async () => {
  const p = await proxy();
  const c = build({ at: redirect(`${p.base}/extremes/hub`, "zoe"), more: (b) => b.withAutomaticReconnect([0, 100, 500, 2000]) });
  let id;
  c.onreconnected((x) => (id = x));
  await c.start();
  p.cut();
  await until(() => id);
  assert.equal(await c.invoke("WhoAmI"), "zoe");
  await c.stop();
  p.close();
});
await test("a user has several connections, of both protocols", () =>
  several([{ at, ...as("ann") }, { at, ...as("ann"), other: true }, { at, ...as("ann"), ...skip }, { at, ...as("bob") }, { at, ...as("eve") }], async (...all) => {
    const [a, , , b] = all;
    await b.invoke("ToUsers", [`ann ${json}`], "for ann");
    await a.invoke("ToUsers", [`ann ${json}`, `bob ${json}`, `ann ${json}`, "nobody"], "for both");
    await until(() => b.got.length === 1 && all.slice(0, 3).every((c) => c.got.length === 2));
    for (const c of all.slice(0, 3)) assert.deepEqual(c.got, [[b.connectionId, "for ann"], [a.connectionId, "for both"]]);
    assert.deepEqual(b.got, [[a.connectionId, "for both"]]);
    await b.invoke("Broadcast", "fence");
    await until(() => all[4].got.length);
    assert.deepEqual(all[4].got, [[b.connectionId, "fence"]]);
  }));
await test("users with names of any characters", () =>
  several(["é b", "a/b?c&d=e", "ANN", "ann"].map((name) => ({ at: `${at}?access_token=${encodeURIComponent(name + json)}` })), async (first, second, upper, lower) => {
    assert.equal(await first.invoke("WhoAmI"), `é b${json}`);
    await first.invoke("ToUsers", [`a/b?c&d=e${json}`, `ANN${json}`], "x");
    await until(() => second.got.length && upper.got.length);
    await lower.invoke("Add", 1, 1);
    assert.deepEqual(lower.got, []); // names match exactly
  }));
for (const [kind, options] of [["", {}], [", stateful", { more: (b) => b.withStatefulReconnect() }]]) {
  await test(`when a client leaves, its groups and its user hear of it${kind}`, () =>
    several([{ at, ...as("ann"), ...options }, { at, ...as("ann"), ...options }, { at, ...as("bob"), other: true }, { at, ...as("bob"), ...options }], async (leaver, ann, member, stranger) => {
      const heard = [leaver, ann, member, stranger].map((c) => {
        const events = [];
        for (const name of ["left group", "left others", "left user", "left caller"]) c.on(name, (id, user) => events.push([name, id, user]));
        return events;
      });
      await leaver.invoke("Farewell", "g");
      await member.invoke("JoinGroup", "g");
      const id = leaver.connectionId;
      await leaver.stop();
      await until(() => heard[1].length === 1 && heard[2].length === 2);
      assert.deepEqual(heard[1], [["left user", id, `ann ${json}`]]);
      assert.deepEqual(heard[2], [["left group", id, `ann ${json}`], ["left others", id, `ann ${json}`]]);
      await stranger.invoke("Add", 1, 1);
      assert.deepEqual([heard[0], heard[3]], [[], []]);
    }));
}
await test("a client that is cut leaves too", async () => {
  const p = await proxy();
  const [leaver, member] = [build({ at: `${p.base}/extremes/hub`, ...as("cut") }), build({ at })];
  await Promise.all([leaver.start(), member.start()]);
  const events = [];
  member.on("left group", (id) => events.push(id));
  await member.invoke("JoinGroup", "cut");
  await leaver.invoke("Farewell", "cut");
  const id = leaver.connectionId;
  p.cut();
  await until(() => events.length);
  assert.deepEqual(events, [id]);
  await member.stop();
  p.close();
});
await test("every frame of all these", async () => assert.deepEqual(broken, []));
finish();
