// Where results go as they come: a table for people to standard output, a line of JSON for each row
// to a file beside it; or the JSON to standard output and nothing else there. What is under way
// goes to standard error.
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
  using Say = std::function<void(std::string_view text)>;      // to standard error

  // `json_file` may be empty: no JSON; "-": standard output. Errc::permission: it cannot be
  // written.
  static Result<Output> open(const std::string& json_file, Print print, Say say);

  Status text(std::string_view text);  // of the table alone
  Status row(std::string_view line, const nlohmann::ordered_json& json);
  void progress(std::string_view line) const { say_(line); }

 private:
  Output(Print print, Say say) : print_(std::move(print)), say_(std::move(say)) {}

  Print print_;
  Say say_;
  bool table_ = true;
  std::string name_;
  std::optional<std::ofstream> file_;
};

}  // namespace glm::bench
