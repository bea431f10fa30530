// Says something when an answer takes longer than a person likes to wait for nothing.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "cmd/cli/terminal.h"

namespace glm {

// As long as it lives; the text, which is asked for then, goes to standard error once, after
// kPatience.
class Patience {
 public:
  static constexpr std::chrono::seconds kPatience{2};

  explicit Patience(std::function<std::string()> text)
      : thread_([text = std::move(text)](std::stop_token stop) {
          std::mutex mutex;
          std::unique_lock lock(mutex);
          std::condition_variable_any over;
          over.wait_for(lock, stop, kPatience, [] { return false; });
          if (!stop.stop_requested()) say(text());
        }) {}

 private:
  std::jthread thread_;
};

}  // namespace glm
