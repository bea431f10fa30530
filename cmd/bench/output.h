// Where results go as they come: a table for people to standard output, a line of JSON for each row
// to a file beside it; or the JSON to standard output and nothing else there.
#pragma once

#include <fstream>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace glm::bench {

class Output {
 public:
  using Print = std::function<Status(std::string_view text)>;  // to standard output

  // `json_file` may be empty: no JSON; "-": standard output. Errc::permission: it cannot be
  // written.
  static Result<Output> open(const std::string& json_file, Print print);

  Status text(std::string_view text);  // of the table alone
  Status row(std::string_view line, const nlohmann::ordered_json& json);

 private:
  explicit Output(Print print) : print_(std::move(print)) {}

  Print print_;
  bool table_ = true;
  std::string name_;
  std::optional<std::ofstream> file_;
};

}  // namespace glm::bench
