#include "cmd/cli/bench_exchange.h"

#include <fmt/format.h>

#include <utility>

namespace glm::bench {
namespace {

constexpr std::size_t kErrorBytesMax = 64 << 10;

}  // namespace

void Exchange::receive(std::string_view bytes, Clock::Steady now) {
  if (over_) return;
  const std::size_t before = body_.size();
  if (Status pushed = http_.push(bytes, body_); !pushed.ok()) {
    return fail(std::move(pushed).error().message);
  }
  if (http_.status() == 200) {
    const Status read = events_.push(std::string_view(body_).substr(before),
                                     [&](std::string_view data) { take(data, now); });
    body_.clear();
    if (over_) return;
    if (!read.ok()) return fail(read.error().message);
  } else if (body_.size() > kErrorBytesMax) {
    return fail(fmt::format("status {}", http_.status()));
  }
  if (http_.complete()) end();
}

void Exchange::close() {
  if (over_) return;
  if (Status closed = http_.close(); !closed.ok()) return fail(std::move(closed).error().message);
  end();
}

void Exchange::fail(std::string why) {
  if (std::exchange(over_, true)) return;
  record_.http_status = http_.status();
  record_.failure = std::move(why);
}

void Exchange::take(std::string_view data, Clock::Steady now) {
  if (over_) return;
  const CompletionEvent event = read_event(data);
  if (event.kind == CompletionEvent::Kind::error) return fail(event.message);
  if (event.kind == CompletionEvent::Kind::tokens) {
    if (std::exchange(arrived_, true)) {
      record_.gaps.push_back(now - record_.last);
    } else {
      record_.first = now;
    }
    record_.last = now;
  }
  if (event.output_tokens > 0) {
    record_.prompt_tokens = event.prompt_tokens;
    record_.output_tokens = event.output_tokens;
  }
}

void Exchange::end() {
  if (http_.status() != 200) {
    return fail(fmt::format("status {}: {}", http_.status(), error_message(body_)));
  }
  if (!arrived_) return fail("the answer was complete without a single token");
  over_ = true;
  record_.http_status = http_.status();
  if (record_.output_tokens > 0) return;
  record_.counted_by_events = true;
  record_.output_tokens = static_cast<std::int64_t>(record_.gaps.size()) + 1;
}

}  // namespace glm::bench
