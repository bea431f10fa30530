// When to try again, and how long to wait: the policy is data.
//
// Source: section "Retries and rate limits" of the hub's documentation; full jitter as in Brooker,
// "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace glm::registry {

struct RetryPolicy {
  int attempts_max = 6;  // without progress in between
  std::chrono::milliseconds first_wait{1000};
  std::chrono::milliseconds longest_wait{30'000};
  std::chrono::seconds longest_asked_wait{600};  // a server that asks for more is an error
};

// 408, 425, 429, 500, 502, 503, 504 and the CDN's 520 to 524.
bool is_transient(long http_status);

// What Retry-After (seconds or an HTTP date) and RateLimit ("api";r=0;t=55) ask for, plus a second;
// nullopt when neither asks.
std::optional<std::chrono::seconds> asked_wait(std::string_view retry_after,
                                               std::string_view rate_limit, Clock::Wall now);

// Told before a wait: "<error> (try 1 of 6)".
using OnWait = std::function<void(const std::string& why)>;

// The attempts of one piece of work.
class Retry {
 public:
  Retry(const RetryPolicy& policy, Clock& clock, OnWait on_wait = {});

  // Progress was made: the count starts again.
  void reset() { failures_ = 0; }

  // After a failure: waits and says Ok to try again. Otherwise the error to give up with: the one
  // given, with the number of tries, or Errc::cancelled.
  Status again(const Error& error, std::optional<std::chrono::seconds> asked, std::stop_token stop);

 private:
  const RetryPolicy policy_;
  Clock& clock_;
  const OnWait on_wait_;
  int failures_ = 0;
  std::mt19937_64 random_;
};

}  // namespace glm::registry
