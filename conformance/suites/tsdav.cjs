// The tests of the suite tsdav: each prints one JSON line {test, passed, detail, seconds}.
// Account and server come from the environment, set by tsdav.py.
"use strict";

const assert = require("node:assert");
const path = require("node:path");
const env = process.env;
const { createDAVClient, getBasicAuthHeaders, fetchCalendars } = require(path.join(env.CONFORMANCE_MODULES, "tsdav"));

const credentials = { username: env.CONFORMANCE_USER, password: env.CONFORMANCE_PASSWORD };
// What earlier tests leave for later ones.
const scene = {};

const event = (uid, summary, start = "20300401T100000Z", extra = "") =>
  [
    "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//sealdav//conformance//EN", "BEGIN:VEVENT", `UID:${uid}`,
    "DTSTAMP:20250101T000000Z", `DTSTART:${start}`, "DURATION:PT1H", `SUMMARY:${summary}`, extra,
    "END:VEVENT", "END:VCALENDAR", "",
  ].filter((line, index, all) => line !== "" || index === all.length - 1).join("\r\n");

const objects = () => scene.client.fetchCalendarObjects({ calendar: scene.calendar });
const named = (list, uid) => list.find((object) => String(object.data).includes(`UID:${uid}`));
const ok = (response, what) => assert.ok(response.ok, `${what} answered ${response.status}`);

const tests = {
  async "discovery"() {
    scene.client = await createDAVClient({
      serverUrl: env.CONFORMANCE_URL, credentials, authMethod: "Basic", defaultAccountType: "caldav",
    });
    assert.ok(scene.client);
  },
  async "create-account-finds-principal-and-home"() {
    scene.account = await scene.client.createAccount({
      account: { serverUrl: env.CONFORMANCE_URL, accountType: "caldav", credentials },
    });
    assert.ok(scene.account.principalUrl.includes(credentials.username), scene.account.principalUrl);
    assert.ok(scene.account.homeUrl.includes(credentials.username), scene.account.homeUrl);
  },
  async "wrong-password-is-refused"() {
    const wrong = { ...credentials, password: "wrong" };
    await assert.rejects(createDAVClient({
      serverUrl: env.CONFORMANCE_URL, credentials: wrong, authMethod: "Basic", defaultAccountType: "caldav",
    }));
  },
  async "fetchCalendars"() {
    const calendars = await scene.client.fetchCalendars();
    const names = calendars.map((calendar) => calendar.url);
    scene.calendar = calendars.find((calendar) => calendar.url.endsWith("/calendar/"));
    assert.ok(scene.calendar, `no calendar/ in ${names}`);
    assert.ok(scene.calendar.components.includes("VEVENT"), `${scene.calendar.components}`);
    assert.ok(scene.calendar.ctag || scene.calendar.syncToken, "neither ctag nor sync-token");
    assert.ok(scene.calendar.reports.includes("calendarQuery"), `reports: ${scene.calendar.reports}`);
    const tasks = calendars.find((calendar) => calendar.url.endsWith("/tasks/"));
    assert.deepStrictEqual(tasks?.components, ["VTODO"], "components of tasks/");
  },
  async "createCalendarObject"() {
    ok(await scene.client.createCalendarObject({
      calendar: scene.calendar, filename: "one.ics", iCalString: event("one@t", "First"),
    }), "PUT");
    const one = named(await objects(), "one@t");
    assert.ok(one && one.etag, "not listed with an etag");
    assert.ok(one.data.includes("SUMMARY:First"), one.data);
  },
  async "createCalendarObject-does-not-overwrite"() {
    const response = await scene.client.createCalendarObject({
      calendar: scene.calendar, filename: "one.ics", iCalString: event("one@t", "Overwritten"),
    });
    assert.strictEqual(response.status, 412);
  },
  async "updateCalendarObject"() {
    const one = named(await objects(), "one@t");
    ok(await scene.client.updateCalendarObject({
      calendarObject: { ...one, data: event("one@t", "First changed") },
    }), "PUT");
    const after = named(await objects(), "one@t");
    assert.ok(after.data.includes("SUMMARY:First changed"), after.data);
    assert.notStrictEqual(after.etag, one.etag, "the etag is still the same");
    scene.stale = one;
  },
  async "updateCalendarObject-with-an-old-etag-is-refused"() {
    const response = await scene.client.updateCalendarObject({
      calendarObject: { ...scene.stale, data: event("one@t", "Lost update") },
    });
    assert.strictEqual(response.status, 412);
  },
  async "fetchCalendarObjects-in-a-time-range"() {
    await scene.client.createCalendarObject({
      calendar: scene.calendar, filename: "far.ics", iCalString: event("far@t", "Far", "20310101T100000Z"),
    });
    const timeRange = { start: "2030-04-01T00:00:00Z", end: "2030-04-02T00:00:00Z" };
    const found = await scene.client.fetchCalendarObjects({ calendar: scene.calendar, timeRange });
    assert.ok(named(found, "one@t") && !named(found, "far@t"), JSON.stringify(found.map((o) => o.url)));
  },
  async "fetchCalendarObjects-expanded"() {
    await scene.client.createCalendarObject({
      calendar: scene.calendar, filename: "daily.ics",
      iCalString: event("daily@t", "Daily", "20320101T100000Z", "RRULE:FREQ=DAILY;COUNT=10"),
    });
    const timeRange = { start: "2032-01-03T00:00:00Z", end: "2032-01-06T00:00:00Z" };
    const found = await scene.client.fetchCalendarObjects({ calendar: scene.calendar, timeRange, expand: true });
    const data = named(found, "daily@t").data;
    assert.strictEqual(data.match(/BEGIN:VEVENT/g).length, 3, data);
    assert.ok(!data.includes("RRULE"), data);
  },
  async "fetchCalendarObjects-without-multiget"() {
    const found = await scene.client.fetchCalendarObjects({ calendar: scene.calendar, useMultiGet: false });
    assert.ok(named(found, "one@t"), JSON.stringify(found.map((o) => o.url)));
  },
  async "calendarMultiGet"() {
    const url = named(await objects(), "one@t").url;
    const found = await scene.client.calendarMultiGet({
      url: scene.calendar.url, depth: "1", objectUrls: [new URL(url).pathname],
      props: { "d:getetag": {}, "c:calendar-data": {} },
    });
    assert.ok(found.length === 1 && found[0].props.calendarData, JSON.stringify(found));
  },
  async "collectionQuery"() {
    const found = await scene.client.collectionQuery({
      url: scene.calendar.url, depth: "1", defaultNamespace: "c",
      body: {
        "calendar-query": {
          _attributes: { "xmlns:d": "DAV:", "xmlns:c": "urn:ietf:params:xml:ns:caldav" },
          "d:prop": { "d:getetag": {} },
          filter: { "comp-filter": { _attributes: { name: "VCALENDAR" }, "comp-filter": { _attributes: { name: "VEVENT" } } } },
        },
      },
    });
    assert.strictEqual(found.filter((item) => item.props.getetag).length, 3, JSON.stringify(found.map((i) => i.href)));
  },
  async "supportedReportSet"() {
    const reports = await scene.client.supportedReportSet({ collection: scene.calendar });
    for (const report of ["calendarQuery", "calendarMultiget", "syncCollection"]) {
      assert.ok(reports.includes(report), `${report} is not in ${reports}`);
    }
  },
  async "isCollectionDirty"() {
    const [calendar] = (await scene.client.fetchCalendars()).filter((c) => c.url === scene.calendar.url);
    assert.strictEqual((await scene.client.isCollectionDirty({ collection: calendar })).isDirty, false);
    await scene.client.createCalendarObject({
      calendar, filename: "dirty.ics", iCalString: event("dirty@t", "Dirty", "20330101T100000Z"),
    });
    assert.strictEqual((await scene.client.isCollectionDirty({ collection: calendar })).isDirty, true);
  },
  async "smartCollectionSync-webdav"() {
    const [calendar] = (await scene.client.fetchCalendars()).filter((c) => c.url === scene.calendar.url);
    const local = { ...calendar, objects: await objects() };
    await scene.client.createCalendarObject({
      calendar, filename: "synced.ics", iCalString: event("synced@t", "Synced", "20330201T100000Z"),
    });
    const far = named(local.objects, "far@t");
    ok(await scene.client.updateCalendarObject({
      calendarObject: { ...far, data: event("far@t", "Far changed", "20310101T100000Z") },
    }), "PUT");
    ok(await scene.client.deleteCalendarObject({ calendarObject: named(local.objects, "dirty@t") }), "DELETE");
    const { objects: changes } = await scene.client.smartCollectionSync({
      collection: { ...local, objectMultiGet: scene.client.calendarMultiGet }, method: "webdav", detailedResult: true,
    });
    assert.ok(named(changes.created, "synced@t"), `created: ${JSON.stringify(changes.created)}`);
    assert.ok(named(changes.updated, "far@t")?.data.includes("Far changed"), `updated: ${JSON.stringify(changes.updated)}`);
    assert.ok(changes.deleted.some((o) => o.url.endsWith("dirty.ics")), `deleted: ${JSON.stringify(changes.deleted)}`);
  },
  async "makeCalendar"() {
    const url = new URL("made-by-tsdav/", scene.account.homeUrl).href;
    await scene.client.makeCalendar({ url, props: { "d:displayname": "Made by tsdav é" } });
    const made = (await scene.client.fetchCalendars()).find((calendar) => calendar.url === url);
    assert.strictEqual(made?.displayName, "Made by tsdav é");
  },
  async "syncCalendars"() {
    const calendars = await scene.client.fetchCalendars();
    const old = calendars.filter((calendar) => !calendar.url.endsWith("/made-by-tsdav/"));
    const changes = await scene.client.syncCalendars({ oldCalendars: old, detailedResult: true });
    assert.strictEqual(changes.created.length, 1, JSON.stringify(changes.created));
    assert.strictEqual(changes.deleted.length, 0);
  },
  async "calendar-user-addresses"() {
    const addresses = await scene.client.fetchCalendarUserAddresses({ account: scene.account });
    assert.ok(addresses.some((address) => address.startsWith("mailto:")), `${addresses}`);
  },
  async "freeBusyQuery"() {
    const found = await scene.client.freeBusyQuery({
      url: scene.calendar.url, depth: "1",
      timeRange: { start: "2030-04-01T00:00:00Z", end: "2030-04-02T00:00:00Z" },
    });
    assert.ok(found, "no answer");
  },
  async "deleteCalendarObject"() {
    ok(await scene.client.deleteCalendarObject({ calendarObject: named(await objects(), "one@t") }), "DELETE");
    assert.ok(!named(await objects(), "one@t"), "still there");
  },
  async "plain-functions-with-headers"() {
    const calendars = await fetchCalendars({ account: scene.account, headers: getBasicAuthHeaders(credentials) });
    assert.ok(calendars.length >= 2, `${calendars.length} calendars`);
  },
};

async function main() {
  for (const [test, body] of Object.entries(tests)) {
    const began = Date.now();
    let detail = "";
    try {
      await body();
    } catch (error) {
      detail = error.message || String(error);
      if (error.cause) detail += ` (${error.cause.message})`;
    }
    const seconds = (Date.now() - began) / 1000;
    console.log(JSON.stringify({ test, passed: detail === "", detail, seconds }));
  }
  console.log('"done"');
}

main();
