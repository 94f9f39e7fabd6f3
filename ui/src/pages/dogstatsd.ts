// How programs send a metric to the Agent beside them.

export const DOGSTATSD: Record<string, string> = {
  Python: `# pip install datadog
from datadog import initialize, statsd

initialize(statsd_host="127.0.0.1", statsd_port=8125)
statsd.increment("app.requests", tags=["env:prod"])
statsd.gauge("app.queue.length", 12)
statsd.distribution("app.latency", 0.042, tags=["route:home"])
`,
  "Node.js": `// npm install hot-shots
const StatsD = require("hot-shots");

const statsd = new StatsD({ host: "127.0.0.1", port: 8125 });
statsd.increment("app.requests", { env: "prod" });
statsd.gauge("app.queue.length", 12);
statsd.distribution("app.latency", 0.042, { route: "home" });
`,
  Go: `// go get github.com/DataDog/datadog-go/v5/statsd
client, err := statsd.New("127.0.0.1:8125")
if err != nil {
	log.Fatal(err)
}
client.Incr("app.requests", []string{"env:prod"}, 1)
client.Gauge("app.queue.length", 12, nil, 1)
client.Distribution("app.latency", 0.042, []string{"route:home"}, 1)
`,
  Shell: `echo -n "app.requests:1|c|#env:prod" >/dev/udp/127.0.0.1/8125
`,
};
