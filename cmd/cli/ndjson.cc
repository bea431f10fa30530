#include "cmd/cli/ndjson.h"

#include <nlohmann/json.hpp>

#include "cmd/cli/terminal.h"

namespace glm {
namespace {

constexpr std::size_t kLineMaxBytes = 16u << 20;

Status take(std::string_view line, const NdjsonReader::Each& each) {
  if (line.find_first_not_of(" \t\r") == std::string_view::npos) return Ok{};
  const Json json = Json::parse(line, nullptr, false);
  if (!json.is_object()) {
    return make_error(Errc::corrupt, "the answer has a line that is no JSON object: '{}'",
                      for_terminal(line.substr(0, 80)));
  }
  return each(json);
}

}  // namespace

Status NdjsonReader::push(std::string_view bytes, const Each& each) {
  while (true) {
    const std::size_t newline = bytes.find('\n');
    if (newline == std::string_view::npos) break;
    rest_ += bytes.substr(0, newline);
    bytes.remove_prefix(newline + 1);
    const std::string line = std::exchange(rest_, {});
    GLM_TRY(take(line, each));
  }
  rest_ += bytes;
  if (rest_.size() > kLineMaxBytes) {
    return make_error(Errc::corrupt, "the answer has a line of more than {} bytes", kLineMaxBytes);
  }
  return Ok{};
}

Status NdjsonReader::finish(const Each& each) {
  return take(std::exchange(rest_, {}), each);
}

}  // namespace glm
