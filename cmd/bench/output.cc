#include "cmd/bench/output.h"

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

namespace glm::bench {

Result<Output> Output::open(const std::string& json_file, Print print, Say say) {
  Output output(std::move(print), std::move(say));
  output.table_ = json_file != "-";
  if (json_file.empty() || json_file == "-") return output;
  output.name_ = json_file;
  errno = 0;
  output.file_.emplace(json_file, std::ios::binary);
  if (*output.file_) return output;
  const int why = errno;
  return make_error(why == ENOENT || why == ENOTDIR ? Errc::not_found : Errc::permission,
                    "--json {}: it cannot be written: {}", json_file, std::strerror(why));
}

Status Output::text(std::string_view text) {
  return table_ ? print_(text) : Status(Ok{});
}

Status Output::row(std::string_view line, const nlohmann::ordered_json& json) {
  using Json = nlohmann::ordered_json;
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  if (!table_) return print_(text);
  GLM_TRY(print_(line));
  if (!file_ || *file_ << text << std::flush) return Ok{};
  return make_error(Errc::exhausted, "write {}: it cannot be written", name_);
}

}  // namespace glm::bench
