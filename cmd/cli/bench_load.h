// Many streams on one thread: sends requests, so many at once, and notes when what of their answers
// came. Plain sockets and epoll, a connection a request, so that the client is not what limits a
// server under measurement.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "cmd/cli/bench_exchange.h"
#include "cmd/host_address.h"

namespace glm::bench {

struct LoadTarget {
  HostAddress address;  // without TLS
  std::string path = "/v1/completions";
  std::string api_key;  // empty: none is sent
};

struct LoadRun {
  std::vector<RequestRecord> records;  // one per body, in their order
  Clock::Steady begun, ended;
};

// POSTs every body, in order, the next as soon as fewer than `concurrency` are under way. What goes
// wrong with a request is its record's failure. Errc::unavailable when the server's name means
// nothing; Errc::cancelled once `interrupted`, which is asked a few times a second.
Result<LoadRun> run_load(const LoadTarget& target, std::span<const std::string> bodies,
                         std::size_t concurrency, Clock& clock,
                         const std::function<bool()>& interrupted);

}  // namespace glm::bench
