#include "registry/retry.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <utility>

namespace glm::registry {
namespace {

std::optional<std::int64_t> to_number(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  std::int64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

// "Sun, 06 Nov 1994 08:49:37 GMT"
std::optional<Clock::Wall> to_date(std::string_view text) {
  std::tm utc{};
  const std::string copy(text);
  const char* end = ::strptime(copy.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  if (end == nullptr) return std::nullopt;
  return std::chrono::system_clock::from_time_t(::timegm(&utc));
}

// The t of a RateLimit header whose r is 0.
std::optional<std::int64_t> exhausted_for(std::string_view rate_limit) {
  std::optional<std::int64_t> remaining;
  std::optional<std::int64_t> reset;
  while (!rate_limit.empty()) {
    const std::size_t semicolon = rate_limit.find(';');
    const std::string_view part = rate_limit.substr(0, semicolon);
    if (part.starts_with("r=")) remaining = to_number(part.substr(2));
    if (part.starts_with("t=")) reset = to_number(part.substr(2));
    if (semicolon == std::string_view::npos) break;
    rate_limit.remove_prefix(semicolon + 1);
  }
  return remaining == 0 ? reset : std::nullopt;
}

}  // namespace

bool is_transient(long s) {
  return s == 408 || s == 425 || s == 429 || s == 500 || s == 502 || s == 503 || s == 504 ||
         (s >= 520 && s <= 524);
}

std::optional<std::chrono::seconds> asked_wait(std::string_view retry_after,
                                               std::string_view rate_limit, Clock::Wall now) {
  std::optional<std::int64_t> seconds = exhausted_for(rate_limit);
  if (!seconds && !retry_after.empty()) {
    if (const auto date = to_date(retry_after)) {
      seconds = std::chrono::duration_cast<std::chrono::seconds>(*date - now).count();
    } else {
      seconds = to_number(retry_after);
    }
  }
  if (!seconds) return std::nullopt;
  return std::chrono::seconds(std::clamp<std::int64_t>(*seconds, 0, 1'000'000'000) + 1);
}

Retry::Retry(const RetryPolicy& policy, Clock& clock, OnWait on_wait)
    : policy_(policy),
      clock_(clock),
      on_wait_(std::move(on_wait)),
      random_(std::random_device{}()) {}

Status Retry::again(const Error& error, std::optional<std::chrono::seconds> asked,
                    std::stop_token stop) {
  if (stop.stop_requested()) return make_error(Errc::cancelled, "cancelled");
  if (error.code != Errc::unavailable) return error;
  ++failures_;
  if (failures_ >= policy_.attempts_max) {
    return make_error(error.code, "{}, gave up after {} tries", error.message, failures_);
  }
  if (asked && *asked > policy_.longest_asked_wait) {
    return make_error(error.code, "{}; the server asks to wait {} s, try again then", error.message,
                      asked->count());
  }
  if (on_wait_) {
    on_wait_(fmt::format("{} (try {} of {})", error.message, failures_, policy_.attempts_max));
  }
  const auto cap = std::min(policy_.longest_wait, policy_.first_wait * (1 << (failures_ - 1)));
  auto wait = std::chrono::milliseconds(
      std::uniform_int_distribution<std::int64_t>(0, cap.count())(random_));
  if (asked) wait = std::max<std::chrono::milliseconds>(wait, *asked);
  // In slices, so that a cancelled pull does not wait.
  constexpr std::chrono::milliseconds kSlice{100};
  while (wait.count() > 0) {
    if (stop.stop_requested()) return make_error(Errc::cancelled, "cancelled");
    clock_.sleep(std::min(wait, kSlice));
    wait -= std::min(wait, kSlice);
  }
  return Ok{};
}

}  // namespace glm::registry
