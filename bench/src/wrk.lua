-- Arguments: the number after the last one, the step from one number to the next, bytes of an answer, bytes of a content (0: ask for whole ones).
-- Everything is built beforehand: what a request costs here is one table lookup.
local requests = {}
local threads = 0

function setup(thread)
  thread:set("seed", threads)
  threads = threads + 1
end

function init(args)
  math.randomseed(seed + 1)
  local count, step, answer, content = tonumber(args[1]), tonumber(args[2]), tonumber(args[3]), tonumber(args[4])
  for number = 0, count - 1, step do
    local path = string.format("%s%07d", wrk.path, number)
    if content == 0 then
      requests[#requests + 1] = wrk.format("GET", path)
    else
      for start = 0, content - answer, answer do
        local range = { Range = string.format("bytes=%d-%d", start, start + answer - 1) }
        requests[#requests + 1] = wrk.format("GET", path, range)
      end
    end
  end
end

function request()
  return requests[math.random(#requests)]
end

function done(summary, latency, _)
  local e = summary.errors
  local errors = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format("RESULT %d %d %d %d\n", summary.requests, summary.bytes, summary.duration, errors))
end
