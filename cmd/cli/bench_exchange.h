// One request and its streamed answer, with the times that matter. Knows no socket and no clock:
// whoever has them says what came and when.
//
// Thread safety: one thread at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "cmd/cli/bench_events.h"
#include "cmd/cli/bench_http.h"

namespace glm::bench {

// An event with choices counts as one arrival of tokens, as `vllm bench serve` counts them.
struct RequestRecord {
  Clock::Steady begun;                         // before the connection is made
  Clock::Steady first, last;                   // arrivals of tokens
  std::vector<std::chrono::nanoseconds> gaps;  // between one and the next
  std::int64_t prompt_tokens = 0;              // as the server counts
  std::int64_t output_tokens = 0;
  bool counted_by_events = false;  // the server gave no usage
  int http_status = 0;             // 0: none came
  std::string failure;             // empty: the answer is complete and had tokens
};

class Exchange {
 public:
  explicit Exchange(Clock::Steady begun) { record_.begun = begun; }

  // Bytes of the answer that have come just now.
  void receive(std::string_view bytes, Clock::Steady now);

  // The connection has ended.
  void close();

  // Ends it from outside.
  void fail(std::string why);

  bool over() const { return over_; }
  const RequestRecord& record() const { return record_; }  // when over

 private:
  void take(std::string_view data, Clock::Steady now);
  void end();

  RequestRecord record_;
  HttpAnswerReader http_;
  EventReader events_;
  std::string body_;
  bool arrived_ = false;
  bool over_ = false;
};

}  // namespace glm::bench
