#include "runner/text/tokenizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>
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

std::string normalized(const AddedToken& token, const Normalizer* normalizer) {
  if (!token.normalized || normalizer == nullptr) return token.content;
  Passage passage{token.content};
  normalizer->apply(passage);
  return std::move(passage.text);
}

}  // namespace

struct Tokenizer::Parts {
  std::unique_ptr<TokenModel> model;
  std::unique_ptr<Normalizer> normalizer;       // null: none
  std::unique_ptr<PreTokenizer> pre_tokenizer;  // null: none
  std::vector<MakeStage> decoder;
  Affixes affixes;
  std::unordered_map<std::int32_t, AddedToken> added;  // by id
  // An added token that is sought in normalized text also comes back normalized.
  std::unordered_map<std::int32_t, std::string> added_normalized;
  std::unordered_map<std::string, std::int32_t> added_ids;
  std::unordered_set<std::string> special;  // contents
  std::optional<AddedTokenMatcher> in_text, in_normalized;

  void set_added(const std::vector<AddedToken>& tokens) {
    Entries as_given, normal;
    for (const AddedToken& token : tokens) {
      std::string sought = normalized(token, normalizer.get());
      if (token.special) special.insert(token.content);
      if (sought != token.content) added_normalized.emplace(token.id, sought);
      added_ids.emplace(token.content, token.id);
      added.insert_or_assign(token.id, token);
      (token.normalized ? normal : as_given).push_back({std::move(sought), &token});
    }
    in_text.emplace(as_given);
    in_normalized.emplace(normal);
  }

  std::string_view token_of(std::int32_t id) const {
    const auto found = added.find(id);
    return found != added.end() ? found->second.content : model->vocabulary().token_of(id);
  }

  // What the decoder is given; nothing for ids that do not exist or are not wanted.
  std::optional<std::string_view> to_decode(std::int32_t id, DecodeOptions options) const {
    const auto of_added = added.find(id);
    if (of_added == added.end()) {
      if (!model->vocabulary().has(id)) return std::nullopt;
      return model->vocabulary().token_of(id);
    }
    const auto other = added_normalized.find(id);
    const std::string& text =
        other != added_normalized.end() ? other->second : of_added->second.content;
    if (options.specials == DecodeOptions::Specials::skip && special.contains(text)) {
      return std::nullopt;
    }
    return text;
  }

  void encode_piece(const Piece& piece, std::vector<std::int32_t>& ids) const {
    if (piece.text.empty()) return;
    if (pre_tokenizer) {
      pre_tokenizer->cut(piece, [&](const Piece& part) { model->encode(part.text, ids); });
    } else {
      model->encode(piece.text, ids);
    }
  }

  // Calls sink with the normalized piece.
  template <typename Sink>
  void normalize(const Piece& piece, Sink sink) const {
    if (normalizer == nullptr) return sink(piece);
    Passage passage{std::string(piece.text), piece.start_bytes};
    normalizer->apply(passage);
    sink(Piece{passage.text, passage.start_bytes});
  }

  static Piece whole(std::string_view text) {
    if (text.empty()) return {text, 0};
    return {text, utf8_character(text, 0).length_bytes};
  }

  void encode_literal(std::string_view text, std::vector<std::int32_t>& ids) const {
    normalize(whole(text), [&](const Piece& piece) { encode_piece(piece, ids); });
  }

  void encode_control(std::string_view text, std::vector<std::int32_t>& ids) const {
    in_text->cut(text, [&](const AddedTokenMatcher::Part& part) {
      if (part.id) return ids.push_back(*part.id);
      const auto begin = static_cast<std::size_t>(part.text.data() - text.data());
      normalize(whole(text).part(begin, begin + part.text.size()), [&](const Piece& piece) {
        in_normalized->cut(piece.text, [&](const AddedTokenMatcher::Part& inner) {
          if (inner.id) return ids.push_back(*inner.id);
          const auto first = static_cast<std::size_t>(inner.text.data() - piece.text.data());
          encode_piece(piece.part(first, first + inner.text.size()), ids);
        });
      });
    });
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
    parts->pre_tokenizer = GLM_TRY(make_pre_tokenizer(member(json, "pre_tokenizer")));
    parts->decoder = GLM_TRY(make_decoder(member(json, "decoder")));
    parts->affixes = GLM_TRY(parse_post_processor(member(json, "post_processor")));
    parts->set_added(
        GLM_TRY(parse_added_tokens(member(json, "added_tokens"), parts->model->vocabulary())));
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
    parts_->encode_literal(utf8, ids);
  }
  if (specials) ids.insert(ids.end(), parts_->affixes.after.begin(), parts_->affixes.after.end());
  return ids;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, DecodeOptions options) const {
  Detokenizer detokenizer(*this, options);
  std::string text;
  for (const std::int32_t id : ids) text += detokenizer.push(id);
  return text + detokenizer.finish();
}

std::optional<std::int32_t> Tokenizer::id_of(std::string_view token) const {
  const auto found = parts_->added_ids.find(std::string(token));
  return found != parts_->added_ids.end() ? found->second
                                          : parts_->model->vocabulary().id_of(token);
}

std::string_view Tokenizer::token_of(std::int32_t id) const {
  return parts_->token_of(id);
}

std::int32_t Tokenizer::size() const {
  std::int32_t size = parts_->model->vocabulary().size();
  for (const auto& [id, token] : parts_->added) size = std::max(size, id + 1);
  return size;
}

bool Tokenizer::is_special(std::int32_t id) const {
  const auto found = parts_->added.find(id);
  return found != parts_->added.end() && found->second.special;
}

bool Tokenizer::is_added(std::int32_t id) const {
  return parts_->added.contains(id);
}

// The stages of one text, each with the sink that leads to the next.
class Detokenizer::Chain {
 public:
  explicit Chain(const std::vector<MakeStage>& decoder) {
    for (const MakeStage& make : decoder) stages_.push_back(make());
    sinks_.resize(stages_.size());
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      const bool is_last = i + 1 == stages_.size();
      if (is_last) {
        sinks_[i] = [this](std::string_view part, Ends) { text_ += part; };
      } else {
        sinks_[i] = [this, i](std::string_view part, Ends ends) {
          stages_[i + 1]->push(part, ends, sinks_[i + 1]);
        };
      }
    }
  }

  std::string push(std::string_view token) {
    if (stages_.empty()) return std::string(token);
    stages_[0]->push(token, Ends::yes, sinks_[0]);
    return std::exchange(text_, {});
  }

  std::string finish() {
    for (std::size_t i = 0; i < stages_.size(); ++i) stages_[i]->finish(sinks_[i]);
    return std::exchange(text_, {});
  }

 private:
  std::vector<std::unique_ptr<DecodeStage>> stages_;
  std::vector<TokenSink> sinks_;
  std::string text_;
};

Detokenizer::Detokenizer(const Tokenizer& tokenizer, DecodeOptions options)
    : parts_(tokenizer.parts_.get()),
      options_(options),
      chain_(std::make_unique<Chain>(parts_->decoder)) {}

Detokenizer::~Detokenizer() = default;

std::string Detokenizer::push(std::int32_t id) {
  const auto token = parts_->to_decode(id, options_);
  return token ? chain_->push(*token) : std::string();
}

std::string Detokenizer::finish() {
  std::string text = chain_->finish();
  chain_ = std::make_unique<Chain>(parts_->decoder);
  return text;
}

}  // namespace glm::runner
