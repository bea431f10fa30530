// Cuts a stream of bytes into JSON values, one per line.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace glm {

using Json = nlohmann::ordered_json;

class NdjsonReader {
 public:
  using Each = std::function<Status(const Json&)>;

  // Calls `each` for every line that is complete; its failure ends the reading and is returned.
  // Errc::corrupt for a line that is no JSON object or has no end.
  Status push(std::string_view bytes, const Each& each);

  // The last line may lack its newline.
  Status finish(const Each& each);

 private:
  std::string rest_;
};

}  // namespace glm
