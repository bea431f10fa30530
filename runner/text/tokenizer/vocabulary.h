// Tokens and their ids, both ways.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "runner/text/tokenizer/json_fields.h"

namespace glm::runner::tokenizing {

class Vocabulary {
 public:
  // Adds {"token": id, …}; ids are distinct, and may have gaps.
  Status read(const Json& vocab);

  // Keeps the spelling. Errc::corrupt when the id belongs to another token.
  Status add(std::string_view token, std::int32_t id);

  std::optional<std::int32_t> id_of(std::string_view token) const;
  std::string_view token_of(std::int32_t id) const;  // empty: no such id
  std::int32_t size() const { return static_cast<std::int32_t>(tokens_.size()); }

 private:
  // Node-based, so that the views in tokens_ stay valid; moving the map keeps its nodes.
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::unordered_map<std::string, std::int32_t, Hash, std::equal_to<>> ids_;
  std::vector<std::string_view> tokens_;
};

}  // namespace glm::runner::tokenizing
