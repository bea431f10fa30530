#include "runner/text/tokenizer/vocabulary.h"

namespace glm::runner::tokenizing {

Status Vocabulary::read(const Json& vocab) {
  if (!vocab.is_object()) {
    return make_error(Errc::corrupt, "vocab is {}, wanted an object",
                      vocab.is_null() ? "missing" : vocab.type_name());
  }
  if (vocab.size() > static_cast<std::size_t>(kTokensMax)) {
    return make_error(Errc::exhausted, "vocab has {} tokens, at most {}", vocab.size(), kTokensMax);
  }
  ids_.reserve(vocab.size());
  for (const auto& [token, value] : vocab.items()) {
    const std::int32_t id = GLM_TRY(id_value(value).with("vocab"));
    GLM_TRY(add(token, id).with("vocab"));
  }
  return Ok{};
}

Status Vocabulary::add(std::string_view token, std::int32_t id) {
  const auto index = static_cast<std::size_t>(id);
  if (index >= tokens_.size()) tokens_.resize(index + 1);
  if (!tokens_[index].empty() && tokens_[index] != token) {
    return make_error(Errc::corrupt, "id {} belongs to both '{}' and '{}'", id, tokens_[index],
                      token);
  }
  const auto [entry, fresh] = ids_.emplace(token, id);
  if (!fresh && entry->second != id) {
    return make_error(Errc::corrupt, "'{}' has two ids, {} and {}", token, entry->second, id);
  }
  tokens_[index] = entry->first;
  return Ok{};
}

std::optional<std::int32_t> Vocabulary::id_of(std::string_view token) const {
  const auto found = ids_.find(token);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

std::string_view Vocabulary::token_of(std::int32_t id) const {
  if (id < 0 || id >= size()) return {};
  return tokens_[static_cast<std::size_t>(id)];
}

}  // namespace glm::runner::tokenizing
