#include "cmd/cli/statistics.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>

#include "cmd/cli/cli.h"

namespace glm {
namespace {

// 1500 and 1000 → "1.5": value / unit without zeros at the end.
std::string decimal(std::int64_t value, std::int64_t unit) {
  std::string text = fmt::format("{}", value / unit);
  std::int64_t rest = value % unit;
  if (rest == 0) return text;
  text += '.';
  for (std::int64_t place = unit / 10; rest != 0; place /= 10) {
    text += static_cast<char>('0' + rest / place);
    rest %= place;
  }
  return text;
}

std::string line(std::string_view name, const std::string& value) {
  return fmt::format("{:<22}{}\n", std::string(name) + ":", value);
}

void add_phase(std::string& text, const nlohmann::ordered_json& last, const std::string& phase) {
  const std::string prefix = phase == "prompt eval" ? "prompt_eval" : "eval";
  const std::int64_t count = integer_field(last, prefix + "_count");
  const std::int64_t duration = integer_field(last, prefix + "_duration");
  if (count > 0) text += line(phase + " count", fmt::format("{} token(s)", count));
  if (duration <= 0) return;
  text += line(phase + " duration", format_nanoseconds(duration));
  const double seconds = static_cast<double>(duration) / 1e9;
  text +=
      line(phase + " rate", fmt::format("{:.2f} tokens/s", static_cast<double>(count) / seconds));
}

}  // namespace

std::string format_nanoseconds(std::int64_t nanoseconds) {
  if (nanoseconds < 0) {
    const std::int64_t positive = nanoseconds == INT64_MIN ? INT64_MAX : -nanoseconds;
    return fmt::format("-{}", format_nanoseconds(positive));
  }
  if (nanoseconds == 0) return "0s";
  if (nanoseconds < 1'000) return fmt::format("{}ns", nanoseconds);
  if (nanoseconds < 1'000'000) return decimal(nanoseconds, 1'000) + "µs";
  if (nanoseconds < 1'000'000'000) return decimal(nanoseconds, 1'000'000) + "ms";
  constexpr std::int64_t kMinute = 60'000'000'000;
  const std::int64_t minutes = nanoseconds / kMinute;
  std::string text;
  if (minutes >= 60) text += fmt::format("{}h", minutes / 60);
  if (minutes >= 1) text += fmt::format("{}m", minutes % 60);
  return text + decimal(nanoseconds % kMinute, 1'000'000'000) + "s";
}

std::string statistics_text(const nlohmann::ordered_json& last) {
  std::string text =
      line("total duration", format_nanoseconds(integer_field(last, "total_duration")));
  text += line("load duration", format_nanoseconds(integer_field(last, "load_duration")));
  add_phase(text, last, "prompt eval");
  add_phase(text, last, "eval");
  return text;
}

}  // namespace glm
