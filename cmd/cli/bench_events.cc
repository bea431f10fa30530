#include "cmd/cli/bench_events.h"

#include <charconv>
#include <nlohmann/json.hpp>

namespace glm::bench {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kEventBytesMax = 4 << 20;
constexpr std::size_t kMessageBytesMax = 300;

// Behind `"name":`; empty when it is not there.
std::string_view value_of(std::string_view data, std::string_view quoted_name) {
  const std::size_t at = data.find(quoted_name);
  if (at == std::string_view::npos) return {};
  const std::size_t value = data.find_first_not_of(": \t\r\n", at + quoted_name.size());
  return value == std::string_view::npos ? std::string_view() : data.substr(value);
}

std::int64_t number_of(std::string_view data, std::string_view quoted_name) {
  const std::string_view value = value_of(data, quoted_name);
  std::int64_t number = 0;
  (void)std::from_chars(value.data(), value.data() + value.size(), number);
  return number;
}

// `[]` and `null` are no choices.
bool has_choices(std::string_view data) {
  const std::string_view value = value_of(data, "\"choices\"");
  if (!value.starts_with('[')) return false;
  const std::size_t first = value.find_first_not_of(" \t\r\n", 1);
  return first != std::string_view::npos && value[first] == '{';
}

}  // namespace

Status EventReader::push(std::string_view bytes,
                         const std::function<void(std::string_view data)>& each) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    if (end == std::string_view::npos || !line_.empty()) {
      line_ += bytes.substr(0, end);
      if (line_.size() + data_.size() > kEventBytesMax) {
        return make_error(Errc::corrupt, "an event of the stream is longer than {} bytes",
                          kEventBytesMax);
      }
      if (end == std::string_view::npos) return Ok{};
      take_line(line_, each);
      line_.clear();
    } else {
      take_line(bytes.substr(0, end), each);
    }
    bytes.remove_prefix(end + 1);
  }
  return Ok{};
}

void EventReader::take_line(std::string_view line,
                            const std::function<void(std::string_view)>& each) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.empty()) {
    if (has_data_) each(data_);
    has_data_ = false;
    data_.clear();
    return;
  }
  if (!line.starts_with("data:")) return;  // a comment, or a field that means nothing here
  line.remove_prefix(5);
  if (line.starts_with(' ')) line.remove_prefix(1);
  if (has_data_) data_ += '\n';
  has_data_ = true;
  data_ += line;
}

CompletionEvent read_event(std::string_view data) {
  CompletionEvent event;
  if (data == "[DONE]") {
    event.kind = CompletionEvent::Kind::done;
  } else if (has_choices(data)) {
    event.kind = CompletionEvent::Kind::tokens;
  } else if (!value_of(data, "\"error\"").empty()) {
    event.kind = CompletionEvent::Kind::error;
    event.message = error_message(data);
    return event;
  }
  // Some servers put the usage into the last event with choices.
  if (data.find("\"completion_tokens\"") != std::string_view::npos) {
    if (event.kind == CompletionEvent::Kind::other) event.kind = CompletionEvent::Kind::usage;
    event.prompt_tokens = number_of(data, "\"prompt_tokens\"");
    event.output_tokens = number_of(data, "\"completion_tokens\"");
  }
  return event;
}

std::string error_message(std::string_view body) {
  const Json json = Json::parse(body, nullptr, false);
  const Json* found = &json;
  if (found->is_object() && found->contains("error")) found = &(*found)["error"];
  if (found->is_object()) {
    for (const char* field : {"message", "detail"}) {
      if (!found->contains(field)) continue;
      found = &(*found)[field];
      break;
    }
  }
  if (found->is_string()) return found->get<std::string>().substr(0, kMessageBytesMax);
  return std::string(body.substr(0, kMessageBytesMax));
}

}  // namespace glm::bench
