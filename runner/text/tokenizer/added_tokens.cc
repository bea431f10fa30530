#include "runner/text/tokenizer/added_tokens.h"

#include <algorithm>
#include <unordered_map>

#include "runner/text/utf8.h"

namespace glm::runner::tokenizing {
namespace {

// Matching costs at most this much per byte of text.
constexpr std::size_t kContentMaxBytes = 1024;

bool word_before(std::string_view text, std::size_t at) {
  return at > 0 && is_word(utf8_character(text, previous_character(text, at)).code_point);
}

bool word_at(std::string_view text, std::size_t at) {
  return at < text.size() && is_word(utf8_character(text, at).code_point);
}

std::size_t spaces_before(std::string_view text, std::size_t at) {
  while (at > 0) {
    const std::size_t before = previous_character(text, at);
    if (!is_white_space(utf8_character(text, before).code_point)) break;
    at = before;
  }
  return at;
}

std::size_t spaces_after(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    const Utf8Step step = utf8_character(text, at);
    if (!is_white_space(step.code_point)) break;
    at += step.length_bytes;
  }
  return at;
}

Result<AddedToken> parse_added_token(const Json& entry) {
  AddedToken token;
  token.content = GLM_TRY(text_field(entry, "content"));
  if (token.content.size() > kContentMaxBytes) {
    return make_error(Errc::exhausted, "content has {} bytes, at most {}", token.content.size(),
                      kContentMaxBytes);
  }
  token.special = GLM_TRY(flag_field(entry, "special", false));
  token.single_word = GLM_TRY(flag_field(entry, "single_word", false));
  token.lstrip = GLM_TRY(flag_field(entry, "lstrip", false));
  token.rstrip = GLM_TRY(flag_field(entry, "rstrip", false));
  token.normalized = GLM_TRY(flag_field(entry, "normalized", !token.special));
  token.id = GLM_TRY(id_value(member(entry, "id")));
  return token;
}

}  // namespace

Result<std::vector<AddedToken>> parse_added_tokens(const Json& list, const Vocabulary& vocabulary) {
  std::vector<AddedToken> tokens;
  if (list.is_null()) return tokens;
  if (!list.is_array()) return make_error(Errc::corrupt, "added_tokens is not a list");
  std::unordered_map<std::string, std::size_t> known;  // where in `tokens`
  auto next_id = static_cast<std::int32_t>(vocabulary.count());
  for (std::size_t i = 0; i < list.size(); ++i) {
    AddedToken token = GLM_TRY(parse_added_token(list[i]).with(fmt::format("added_tokens[{}]", i)));
    if (token.content.empty()) continue;
    const auto [entry, is_new] = known.emplace(token.content, tokens.size());
    if (!is_new) {  // the later description counts
      token.id = tokens[entry->second].id;
      tokens[entry->second] = std::move(token);
      continue;
    }
    const auto id = vocabulary.id_of(token.content);
    token.id = id ? *id : next_id++;
    tokens.push_back(std::move(token));
  }
  return tokens;
}

AddedTokenMatcher::AddedTokenMatcher(const std::vector<Entry>& entries)
    : nodes_(1), begins_(256, false) {
  for (const Entry& entry : entries) {
    if (entry.sought.empty()) continue;
    std::int32_t at = 0;
    for (const char c : entry.sought) {
      const auto byte = static_cast<unsigned char>(c);
      std::int32_t next = child(at, byte);
      if (next < 0) {
        next = static_cast<std::int32_t>(nodes_.size());
        auto& siblings = nodes_[static_cast<std::size_t>(at)].next;
        siblings.insert(std::upper_bound(siblings.begin(), siblings.end(), std::pair(byte, next)),
                        {byte, next});
        nodes_.emplace_back();
      }
      at = next;
    }
    begins_[static_cast<unsigned char>(entry.sought[0])] = true;
    Node& end = nodes_[static_cast<std::size_t>(at)];
    if (end.token >= 0) continue;  // the same text twice: the first counts
    end.token = static_cast<std::int32_t>(tokens_.size());
    tokens_.push_back(*entry.token);
  }
}

std::int32_t AddedTokenMatcher::child(std::int32_t node, unsigned char byte) const {
  const auto& next = nodes_[static_cast<std::size_t>(node)].next;
  const auto found =
      std::lower_bound(next.begin(), next.end(), byte,
                       [](const auto& edge, unsigned char b) { return edge.first < b; });
  return found != next.end() && found->first == byte ? found->second : -1;
}

std::optional<AddedTokenMatcher::Match> AddedTokenMatcher::find(std::string_view text,
                                                                std::size_t from) const {
  for (std::size_t first = from; first < text.size(); ++first) {
    if (!begins_[static_cast<unsigned char>(text[first])]) continue;
    Match match{first, first, -1};
    std::int32_t node = 0;
    for (std::size_t at = first; at < text.size(); ++at) {
      node = child(node, static_cast<unsigned char>(text[at]));
      if (node < 0) break;
      const std::int32_t token = nodes_[static_cast<std::size_t>(node)].token;
      if (token >= 0) match = {first, at + 1, token};
    }
    if (match.token >= 0) return match;
  }
  return std::nullopt;
}

void AddedTokenMatcher::cut(std::string_view text,
                            const std::function<void(const Part&)>& sink) const {
  std::size_t done = 0;
  std::size_t from = 0;
  while (const auto match = find(text, from)) {
    from = match->end;
    const AddedToken& token = tokens_[static_cast<std::size_t>(match->token)];
    if (token.single_word && (word_before(text, match->first) || word_at(text, match->end))) {
      continue;
    }
    const std::size_t first =
        token.lstrip ? std::max(spaces_before(text, match->first), done) : match->first;
    const std::size_t end = token.rstrip ? spaces_after(text, match->end) : match->end;
    if (done < first) sink({text.substr(done, first - done), std::nullopt});
    sink({{}, token.id});
    done = end;
  }
  if (done < text.size()) sink({text.substr(done), std::nullopt});
}

}  // namespace glm::runner::tokenizing
