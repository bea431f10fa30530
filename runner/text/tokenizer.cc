#include "runner/text/tokenizer.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "runner/text/tokenizer/added_tokens.h"
#include "runner/text/tokenizer/decoder.h"
#include "runner/text/tokenizer/json_fields.h"
#include "runner/text/tokenizer/model.h"
#include "runner/text/tokenizer/normalizer.h"
#include "runner/text/tokenizer/post_processor.h"
#include "runner/text/tokenizer/pre_tokenizer.h"
#include "runner/text/utf8.h"
#include "runner/text/utf8_stream.h"

namespace glm::runner {
namespace {

using namespace tokenizing;  // NOLINT: this file is the other half of that namespace

constexpr std::size_t kFileMaxBytes = 256u << 20;

Result<Json> parse_json(std::string_view text) {
  if (text.size() > kFileMaxBytes) {
    return make_error(Errc::exhausted, "{} bytes, at most {} are read", text.size(), kFileMaxBytes);
  }
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return make_error(Errc::corrupt, "not JSON");
  if (!json.is_object()) {
    return make_error(Errc::corrupt, "a JSON {}, wanted an object", json.type_name());
  }
  return json;
}

using Entries = std::vector<AddedTokenMatcher::Entry>;

// Those sought in the text as given, or those sought in the normalized text.
AddedTokenMatcher matcher(const std::vector<AddedToken>& tokens, const Normalizer* normalizer) {
  Entries entries;
  for (const AddedToken& token : tokens) {
    if (token.normalized != (normalizer != nullptr)) continue;
    entries.push_back({normalizer ? normalizer->apply(token.content) : token.content, &token});
  }
  return AddedTokenMatcher(entries);
}

class Unchanged final : public Normalizer {
 public:
  std::string apply(std::string text) const override { return text; }
};

}  // namespace

struct Tokenizer::Parts {
  std::unique_ptr<TokenModel> model;
  std::unique_ptr<Normalizer> normalizer;  // never null
  std::unique_ptr<PreTokenizer> pre_tokenizer;
  std::unique_ptr<Decoder> decoder;
  Affixes affixes;
  Vocabulary added;  // spellings and ids of the added tokens
  std::optional<AddedTokenMatcher> in_text, in_normalized;
  std::vector<bool> special;        // by id
  std::string bytes;                // of all tokens, one behind the other
  std::vector<std::size_t> offset;  // by id, and one more

  std::string_view token_of(std::int32_t id) const {
    const std::string_view token = added.token_of(id);
    return token.empty() ? model->vocabulary().token_of(id) : token;
  }

  std::int32_t size() const { return static_cast<std::int32_t>(offset.size()) - 1; }

  void encode_piece(std::string_view piece, std::vector<std::int32_t>& ids) const {
    if (pre_tokenizer) {
      pre_tokenizer->cut(piece, [&](std::string_view part) { model->encode(part, ids); });
    } else if (!piece.empty()) {
      model->encode(piece, ids);
    }
  }

  void encode_control(std::string_view text, std::vector<std::int32_t>& ids) const {
    in_text->cut(text, [&](const AddedTokenMatcher::Part& part) {
      if (part.id) return ids.push_back(*part.id);
      const std::string normalized = normalizer->apply(std::string(part.text));
      in_normalized->cut(normalized, [&](const AddedTokenMatcher::Part& inner) {
        if (inner.id) return ids.push_back(*inner.id);
        encode_piece(inner.text, ids);
      });
    });
  }

  void index_bytes() {
    const std::int32_t tokens = std::max(model->vocabulary().size(), added.size());
    offset.reserve(static_cast<std::size_t>(tokens) + 1);
    for (std::int32_t id = 0; id < tokens; ++id) {
      offset.push_back(bytes.size());
      bytes += decoder->bytes(token_of(id));
    }
    offset.push_back(bytes.size());
  }
};

Tokenizer::Tokenizer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::parse(std::string_view tokenizer_json) {
  const auto read = [&]() -> Result<Tokenizer> {
    const Json json = GLM_TRY(parse_json(tokenizer_json));
    auto parts = std::make_unique<Parts>();
    parts->model = GLM_TRY(make_token_model(member(json, "model")));
    parts->normalizer = GLM_TRY(make_normalizer(member(json, "normalizer")));
    if (!parts->normalizer) parts->normalizer = std::make_unique<Unchanged>();
    parts->pre_tokenizer = GLM_TRY(make_pre_tokenizer(member(json, "pre_tokenizer")));
    parts->decoder = GLM_TRY(make_decoder(member(json, "decoder")));
    parts->affixes = GLM_TRY(parse_post_processor(member(json, "post_processor")));

    const Vocabulary& vocabulary = parts->model->vocabulary();
    const auto added = GLM_TRY(parse_added_tokens(member(json, "added_tokens"), vocabulary));
    for (const AddedToken& token : added) {
      const std::string_view owner = vocabulary.token_of(token.id);
      if (!owner.empty() && owner != token.content) {
        return make_error(Errc::corrupt, "added_tokens: id {} belongs to both '{}' and '{}'",
                          token.id, owner, token.content);
      }
      GLM_TRY(parts->added.add(token.content, token.id).with("added_tokens"));
    }
    parts->in_text = matcher(added, nullptr);
    parts->in_normalized = matcher(added, parts->normalizer.get());
    parts->index_bytes();
    parts->special.resize(static_cast<std::size_t>(parts->size()));
    for (const AddedToken& token : added) {
      if (token.special) parts->special[static_cast<std::size_t>(token.id)] = true;
    }
    return Tokenizer(std::move(parts));
  };
  return read().with("tokenizer.json");
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view utf8, EncodeOptions options) const {
  std::string repaired;
  if (!is_valid_utf8(utf8)) {
    repaired = to_valid_utf8(utf8);
    utf8 = repaired;
  }
  const bool specials = options.specials == EncodeOptions::Specials::add;
  std::vector<std::int32_t> ids;
  if (specials) ids = parts_->affixes.before;
  if (options.added_tokens == EncodeOptions::AddedTokens::control) {
    parts_->encode_control(utf8, ids);
  } else {
    parts_->encode_piece(parts_->normalizer->apply(std::string(utf8)), ids);
  }
  if (specials) ids.insert(ids.end(), parts_->affixes.after.begin(), parts_->affixes.after.end());
  return ids;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, DecodeOptions options) const {
  std::string bytes;
  for (const std::int32_t id : ids) {
    if (options.specials == DecodeOptions::Specials::skip && is_special(id)) continue;
    bytes += bytes_of(id);
  }
  return to_valid_utf8(bytes);
}

std::string_view Tokenizer::bytes_of(std::int32_t id) const {
  if (id < 0 || id >= size()) return {};
  const auto index = static_cast<std::size_t>(id);
  const std::size_t first = parts_->offset[index];
  return std::string_view(parts_->bytes).substr(first, parts_->offset[index + 1] - first);
}

std::optional<std::int32_t> Tokenizer::id_of(std::string_view token) const {
  if (const auto id = parts_->added.id_of(token)) return id;
  return parts_->model->vocabulary().id_of(token);
}

std::string_view Tokenizer::token_of(std::int32_t id) const {
  return parts_->token_of(id);
}

std::int32_t Tokenizer::size() const {
  return parts_->size();
}

bool Tokenizer::is_special(std::int32_t id) const {
  return id >= 0 && id < size() && parts_->special[static_cast<std::size_t>(id)];
}

bool Tokenizer::is_added(std::int32_t id) const {
  return !parts_->added.token_of(id).empty();
}

}  // namespace glm::runner
