-- The requests of `cargo xtask bench serving`, for wrk:
--
--   wrk ... -s load.lua URL -- FILE TYPE
--
-- Every request posts the bytes of FILE with the content type TYPE. At the end, a line of JSON has the
-- figures: latencies in microseconds, and how many requests got no answer, or another one than 2xx.

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  wrk.method = "POST"
  wrk.body = file:read("*a")
  wrk.headers["Content-Type"] = arguments[2]
  file:close()
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout + errors.status
  io.write(string.format(
    'figures {"requests": %d, "failed": %d, "seconds": %.6f, "p50_us": %d, "p99_us": %d, "max_us": %d}\n',
    summary.requests, failed, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), latency.max
  ))
end
