// An answer, cut in two ways, through the whole text side: bytes to characters, stop strings,
// reasoning, tool calls. Both ways must give the same. The first byte chooses the beginning, the
// second the sizes of the cuts, the third the options.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/check.h"
#include "runner/text/reasoning_parser.h"
#include "runner/text/stop_strings.h"
#include "runner/text/tool_parser.h"
#include "runner/text/utf8.h"
#include "runner/text/utf8_stream.h"

namespace {

using namespace glm::runner;  // NOLINT: a program of its own

const nlohmann::ordered_json& tools() {
  static const auto json =
      nlohmann::ordered_json::parse(R"([{"name": "f", "parameters": {"properties": {
      "s": {"type": "string"}, "i": {"type": "integer"}, "o": {"type": ["object", "array", "null"]}}}},
      {"type": "function", "function": {"name": "get"}}])");
  return json;
}

constexpr CallLayout kLayouts[] = {CallLayout::arg_tags, CallLayout::json, CallLayout::none};

struct Settings {
  ReasoningStart start;
  bool stops, watch, unknown_calls;
  CallLayout layout;
};

class Pipeline {
 public:
  explicit Pipeline(const Settings& settings)
      : stops_(settings.stops ? std::vector<std::string>{"STOP", "</arg", "\n\n"}
                              : std::vector<std::string>{}),
        reasoning_(settings.start, settings.watch ? ReasoningParser::ToolCalls::watch
                                                  : ReasoningParser::ToolCalls::ignore),
        tools_(tools(),
               settings.unknown_calls ? ToolParser::UnknownTools::as_calls
                                      : ToolParser::UnknownTools::as_text,
               settings.layout) {}

  void push(std::string_view bytes) { text(stops_.push(utf8_.push(bytes))); }

  std::string finish() {
    text(stops_.push(utf8_.finish()));
    text(stops_.finish());
    pieces(reasoning_.finish());
    events(tools_.finish());
    GLM_CHECK(is_valid_utf8(thinking_) && is_valid_utf8(log_));
    return thinking_ + "\n----\n" + log_;
  }

 private:
  void text(const std::string& piece) {
    GLM_CHECK(is_valid_utf8(piece));
    pieces(reasoning_.push(piece));
  }
  void pieces(const ReasoningParser::Pieces& got) {
    thinking_ += got.thinking;
    events(tools_.push(got.content));
  }
  void events(const std::vector<ToolEvent>& list) {
    for (const ToolEvent& event : list) {
      if (event.kind == ToolEvent::Kind::text) log_ += event.text;
      if (event.kind == ToolEvent::Kind::arguments) arguments_ += event.text;
      if (event.kind != ToolEvent::Kind::call_end) continue;
      GLM_CHECK(arguments_ == event.text);
      GLM_CHECK(nlohmann::ordered_json::accept(event.text));
      log_ += "[" + event.name + event.text + "]";
      arguments_.clear();
    }
  }

  Utf8Stream utf8_;
  StopStrings stops_;
  ReasoningParser reasoning_;
  ToolParser tools_;
  std::string thinking_, log_, arguments_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const Settings settings{.start = static_cast<ReasoningStart>(data[0] % 5),
                          .stops = (data[2] & 1) != 0,
                          .watch = (data[2] & 2) == 0,
                          .unknown_calls = (data[2] & 4) != 0,
                          .layout = kLayouts[(data[2] >> 3) % std::size(kLayouts)]};
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 3, size - 3);
  Pipeline whole(settings);
  whole.push(bytes);
  Pipeline cut(settings);
  unsigned step = data[1];
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t length = 1 + step % 7;
    cut.push(bytes.substr(at, length));
    at += length;
    step = step * 5 + 3;
  }
  GLM_CHECK(whole.finish() == cut.finish());
  return 0;
}
