// Result<T>: a value, or an Error that says what was attempted and what to do about it.
//
// Expected failures (network, disk, memory, user input) travel as values; our own bugs abort
// through GLM_CHECK (base/check.h). Every code exists because some caller branches on it; the
// table code -> HTTP status -> exit code is in cmd/outcome.cc.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <type_traits>
#include <utility>

namespace glm {

enum class Errc {
  invalid_argument,  // the caller asked for something that cannot be meant
  not_found,
  already_exists,
  corrupt,      // bytes are not what they claim to be
  unsupported,  // understood, but this program cannot do it
  permission,
  exhausted,    // disk, memory, queue
  unavailable,  // trying again later may help
  // A prompt is longer than the context. The name is OpenAI's.
  context_length_exceeded,
  cancelled,
  device,    // the accelerator failed
  internal,  // a bug that was noticed in time
};

// "not_found", for logs.
std::string_view name(Errc code);

struct [[nodiscard]] Error {
  Errc code;
  std::string message;  // lower case, no trailing stop, secrets already redacted

  // Prefixes the message with what was being done: "pull org/model: <message>".
  Error with(std::string_view context) && {
    message.insert(0, fmt::format("{}: ", context));
    return std::move(*this);
  }
};

template <typename... Args>
Error make_error(Errc code, fmt::format_string<Args...> format, Args&&... args) {
  return {code, fmt::format(format, std::forward<Args>(args)...)};
}

struct Ok {};

template <typename T>
class [[nodiscard]] Result {
 public:
  template <typename U = T>
    requires(std::is_convertible_v<U &&, T> && !std::is_same_v<std::remove_cvref_t<U>, Result> &&
             !std::is_same_v<std::remove_cvref_t<U>, Error>)
  Result(U&& value) : state_(std::forward<U>(value)) {}  // NOLINT: implicit by design
  Result(Error error) : state_(tl::unexpect, std::move(error)) {}  // NOLINT: implicit by design

  bool ok() const { return state_.has_value(); }
  explicit operator bool() const { return ok(); }

  // Only on success.
  T& value() & { return *state_; }
  const T& value() const& { return *state_; }
  T value() && { return std::move(*state_); }  // no reference into what is about to go
  T& operator*() & { return *state_; }
  const T& operator*() const& { return *state_; }
  T operator*() && { return std::move(*state_); }
  T* operator->() { return &*state_; }
  const T* operator->() const { return &*state_; }

  // Only on failure.
  const Error& error() const& { return state_.error(); }
  Error&& error() && { return std::move(state_.error()); }

  T value_or(T fallback) && { return ok() ? std::move(*state_) : std::move(fallback); }

  // Adds context to a failure; passes a value through.
  Result with(std::string_view context) && {
    if (!ok()) state_.error().message.insert(0, fmt::format("{}: ", context));
    return std::move(*this);
  }

 private:
  tl::expected<T, Error> state_;
};

using Status = Result<Ok>;

}  // namespace glm

// Unwraps a Result or returns its Error from the enclosing function. May be nested.
// Not in a braced list behind something that owns memory: GCC 12 does not destroy, when the list is
// left, what was made of it before.
#define GLM_TRY(expression) GLM_TRY_AS(expression, GLM_TRY_NAME(glm_try_, __COUNTER__))
#define GLM_TRY_NAME(prefix, number) GLM_TRY_JOIN(prefix, number)
#define GLM_TRY_JOIN(prefix, number) prefix##number
#define GLM_TRY_AS(expression, result)                 \
  __extension__({                                      \
    auto result = (expression);                        \
    if (!result.ok()) return std::move(result).error(); \
    std::move(result).value();                         \
  })
