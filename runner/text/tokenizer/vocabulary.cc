#include "runner/text/tokenizer/vocabulary.h"

#include <bit>
#include <functional>
#include <utility>

namespace glm::runner::tokenizing {

Status Vocabulary::read(const Json& vocab) {
  if (!vocab.is_object()) {
    return make_error(Errc::corrupt, "vocab is {}, wanted an object",
                      vocab.is_null() ? "missing" : vocab.type_name());
  }
  if (vocab.size() > static_cast<std::size_t>(kTokensMax)) {
    return make_error(Errc::exhausted, "vocab has {} tokens, at most {}", vocab.size(), kTokensMax);
  }
  reserve(vocab.size(), vocab.size() * 8);
  for (const auto& [token, value] : vocab.items()) {
    const std::int32_t id = GLM_TRY(id_value(value).with("vocab"));
    GLM_TRY(add(token, id).with("vocab"));
  }
  return Ok{};
}

void Vocabulary::reserve(std::size_t tokens, std::size_t bytes) {
  spellings_.reserve(bytes);
  tokens_.reserve(tokens);
  grow(tokens);
}

void Vocabulary::grow(std::size_t tokens) {
  const std::size_t slots = std::bit_ceil(tokens * 2 + 2);
  if (slots <= slots_.size()) return;
  const std::vector<std::int32_t> before = std::exchange(slots_, {});
  slots_.assign(slots, -1);
  for (const std::int32_t id : before) {
    if (id >= 0) slots_[slot_of(token_of(id))] = id;
  }
}

std::size_t Vocabulary::slot_of(std::string_view token) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = std::hash<std::string_view>{}(token)&mask;
  while (slots_[at] >= 0 && token_of(slots_[at]) != token) at = (at + 1) & mask;
  return at;
}

Status Vocabulary::add(std::string_view token, std::int32_t id) {
  if (has(id) && token_of(id) != token) {
    return make_error(Errc::corrupt, "id {} belongs to both '{}' and '{}'", id, token_of(id),
                      token);
  }
  grow(count_ + 1);
  std::int32_t& slot = slots_[slot_of(token)];
  if (slot == id) return Ok{};
  if (slot >= 0) {
    return make_error(Errc::corrupt, "'{}' has two ids, {} and {}", token, slot, id);
  }
  slot = id;
  ++count_;
  const auto index = static_cast<std::size_t>(id);
  if (index >= tokens_.size()) tokens_.resize(index + 1);
  tokens_[index] = {static_cast<std::uint32_t>(spellings_.size()),
                    static_cast<std::uint32_t>(token.size())};
  spellings_ += token;
  return Ok{};
}

void Vocabulary::append(std::string_view token) {
  grow(count_ + 1);
  const auto id = size();
  std::int32_t& slot = slots_[slot_of(token)];
  slot = id;
  ++count_;
  tokens_.push_back(
      {static_cast<std::uint32_t>(spellings_.size()), static_cast<std::uint32_t>(token.size())});
  spellings_ += token;
}

std::optional<std::int32_t> Vocabulary::id_of(std::string_view token) const {
  if (slots_.empty()) return std::nullopt;
  const std::int32_t id = slots_[slot_of(token)];
  if (id < 0) return std::nullopt;
  return id;
}

bool Vocabulary::has(std::int32_t id) const {
  return id >= 0 && id < size() && tokens_[static_cast<std::size_t>(id)].first != kAbsent;
}

std::string_view Vocabulary::token_of(std::int32_t id) const {
  if (!has(id)) return {};
  const Token& token = tokens_[static_cast<std::size_t>(id)];
  return std::string_view(spellings_).substr(token.first, token.size);
}

}  // namespace glm::runner::tokenizing
