import { describe, expect, it } from "vitest";

import { hintOf, metricsOf } from "./hints";

const KNOWN = Object.fromEntries(
  Object.entries({ net: "byte", other: "byte", requests: "", "http.requests": "", latency: "second", host: "" }).map(
    ([name, unit]) => [name, [{ type: "gauge", help: name, unit }]],
  ),
);

describe("metrics of a query", () => {
  it.each([
    ["net", ["net"]],
    ['sum by (host) (rate(net{host="requests"}[5m]))', ["net"]],
    ["net / ignoring(host) other", ["net", "other"]],
    ['{__name__="latency"}', ["latency"]],
    ['sum({"http.requests", host="net"})', ["http.requests"]],
    ['{host="a", "http.requests"} / net', ["net", "http.requests"]],
    ["unknown + 1", []],
    ['count_values("host", net)', ["net"]],
  ])("%s", (query, names) => expect(metricsOf(query, KNOWN)).toEqual(names));
});

describe("hints", () => {
  it("tell that a rate is per second already, louder when rate() is around it", () => {
    expect(hintOf("net", ["rate"])).toMatchObject({ wrong: false });
    expect(hintOf("rate(net[5m])", ["rate"])).toMatchObject({ wrong: true });
    expect(hintOf("irate (net[5m])", ["rate"])).toMatchObject({ wrong: true });
  });
  it("tell that a count is no counter", () => {
    expect(hintOf("increase(requests[5m])", ["count"])?.text).toContain("sum_over_time");
    expect(hintOf("requests", ["count"])).toBeNull();
  });
  it("say nothing of gauges, nor of what is only quoted", () => {
    expect(hintOf("rate(net[5m])", ["gauge"])).toBeNull();
    expect(hintOf('net{about="rate(x)"}', ["rate"])).toMatchObject({ wrong: false });
  });
});
