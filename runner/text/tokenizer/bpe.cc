// Byte-pair encoding: begin with single characters, then join the neighbours whose merge was
// learnt first, until none can be joined.
//
// Two families use it. Byte-level ones bring short pieces whose every character is a token.
// SentencePiece's brings the whole text as one piece, with "▁" for a space and byte tokens for
// characters that are none; that piece is cut at its seams first.
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "runner/text/tokenizer/bpe_seams.h"
#include "runner/text/tokenizer/bpe_word.h"
#include "runner/text/tokenizer/merges.h"
#include "runner/text/tokenizer/model.h"
#include "runner/text/tokenizer/piece_cache.h"
#include "runner/text/utf8.h"

namespace glm::runner::tokenizing {
namespace {

struct Settings {
  std::optional<std::int32_t> unknown;  // for characters without a token; none: they vanish
  bool fuse_unknown = false;            // neighbouring unknown characters are one token
  bool byte_fallback = false;           // "<0x0A>" tokens before giving up
  bool ignore_merges = false;           // a piece that is a token is that token
  std::string prefix;                   // before every character but a piece's first
  std::string suffix;                   // behind a piece's last

  bool affixed() const { return !prefix.empty() || !suffix.empty(); }
};

constexpr std::size_t kTableSize = 0x10000;  // the characters that get a direct table
constexpr std::size_t kWholeMaxBytes = 64;   // shorter pieces are not worth cutting

class Bpe final : public TokenModel {
 public:
  Bpe(Vocabulary vocabulary, Merges merges, Settings settings)
      : vocabulary_(std::move(vocabulary)),
        merges_(std::move(merges)),
        settings_(std::move(settings)),
        character_ids_(kTableSize, -1) {
    for (std::int32_t id = 0; id < vocabulary_.size(); ++id) {
      const std::string_view token = vocabulary_.token_of(id);
      if (token.empty() || token.size() > 3) continue;
      const Utf8Step step = utf8_character(token, 0);
      if (step.length_bytes == token.size()) character_ids_[step.code_point] = id;
    }
    if (settings_.byte_fallback) find_byte_tokens();
    if (!settings_.affixed() && !merges_odd_tokens()) seams_ = BpeSeams(merges_, vocabulary_);
  }

  const Vocabulary& vocabulary() const override { return vocabulary_; }

  void encode(std::string_view piece, std::vector<std::int32_t>& ids) const override {
    if (settings_.ignore_merges) {
      if (const auto whole = vocabulary_.id_of(piece)) {
        ids.push_back(*whole);
        return;
      }
    }
    if (piece.size() <= kWholeMaxBytes) {
      encode_part(piece, ids);
      return;
    }
    std::size_t done = 0;
    Utf8Step before = utf8_character(piece, 0);
    for (std::size_t at = before.length_bytes; at < piece.size();) {
      const Utf8Step step = utf8_character(piece, at);
      if (seams_.between(before.code_point, step.code_point) && is_token(before, piece, at) &&
          is_token(step, piece, at + step.length_bytes)) {
        encode_part(piece.substr(done, at - done), ids);
        done = at;
      }
      before = step;
      at += step.length_bytes;
    }
    encode_part(piece.substr(done), ids);
  }

 private:
  void find_byte_tokens() {
    for (unsigned byte = 0; byte < 256; ++byte) {
      byte_ids_[byte] = vocabulary_.id_of(fmt::format("<0x{:02X}>", byte)).value_or(-1);
    }
  }

  // Whether a merge has an operand that can stand for something else than its own characters, so
  // that those do not tell where it can be joined.
  bool merges_odd_tokens() const {
    bool odd = false;
    merges_.each([&](Pair pair) {
      for (const std::int32_t id : {pair.left, pair.right}) {
        odd = odd || id == settings_.unknown ||
              (settings_.byte_fallback &&
               std::find(byte_ids_.begin(), byte_ids_.end(), id) != byte_ids_.end());
      }
    });
    return odd;
  }

  std::int32_t character_id(const Utf8Step& step, std::string_view bytes) const {
    if (step.code_point < kTableSize) return character_ids_[step.code_point];
    return vocabulary_.id_of(bytes).value_or(-1);
  }

  // The character that ends at `end`.
  bool is_token(const Utf8Step& step, std::string_view piece, std::size_t end) const {
    return character_id(step, piece.substr(end - step.length_bytes, step.length_bytes)) >= 0;
  }

  void encode_part(std::string_view part, std::vector<std::int32_t>& ids) const {
    if (!settings_.affixed() && utf8_character(part, 0).length_bytes == part.size()) {
      if (const auto id = character_id(utf8_character(part, 0), part); id >= 0) {
        ids.push_back(id);
        return;
      }
    }
    if (cache_.append(part, ids)) return;
    const std::size_t before = ids.size();
    BpeWord word;
    spell(part, word);
    word.join(merges_);
    word.append_to(ids);
    cache_.remember(part, std::span(ids).subspan(before));
  }

  bool has_byte_tokens(std::string_view bytes) const {
    return settings_.byte_fallback && std::all_of(bytes.begin(), bytes.end(), [&](char byte) {
             return byte_ids_[static_cast<unsigned char>(byte)] >= 0;
           });
  }

  void spell(std::string_view piece, BpeWord& word) const {
    // As the reference has it, an unknown character waits for the next known or unknown one, and
    // byte tokens between them overtake it.
    bool unknown_waits = false;
    const auto settle_unknown = [&] {
      if (unknown_waits) word.add(*settings_.unknown);
      unknown_waits = false;
    };
    std::string affixed;
    for (std::size_t at = 0; at < piece.size();) {
      const Utf8Step step = utf8_character(piece, at);
      std::string_view bytes = piece.substr(at, step.length_bytes);
      std::int32_t id = -1;
      if (settings_.affixed()) {
        affixed.assign(at > 0 ? settings_.prefix : "").append(bytes);
        if (at + bytes.size() == piece.size()) affixed += settings_.suffix;
        at += bytes.size();
        bytes = affixed;
        id = vocabulary_.id_of(bytes).value_or(-1);
      } else {
        at += bytes.size();
        id = character_id(step, bytes);
      }
      if (id >= 0) {
        settle_unknown();
        word.add(id);
      } else if (has_byte_tokens(bytes)) {
        for (const char byte : bytes) word.add(byte_ids_[static_cast<unsigned char>(byte)]);
      } else if (settings_.unknown) {
        if (!settings_.fuse_unknown) settle_unknown();
        unknown_waits = true;
      }
    }
    settle_unknown();
  }

  Vocabulary vocabulary_;
  Merges merges_;
  Settings settings_;
  std::vector<std::int32_t> character_ids_;  // by code point; -1: no token
  std::array<std::int32_t, 256> byte_ids_{};
  BpeSeams seams_;
  mutable PieceCache cache_;
};

Status refuse_dropout(const Json& component) {
  const Json& dropout = member(component, "dropout");
  if (!dropout.is_null() && !(dropout.is_number() && dropout.get<double>() == 0)) {
    return make_error(Errc::unsupported, "dropout {} is not supported", dropout.dump());
  }
  return Ok{};
}

Result<std::string> affix_field(const Json& component, const char* key) {
  constexpr std::size_t kAffixMaxBytes = 256;
  if (member(component, key).is_null()) return std::string();
  std::string affix = GLM_TRY(text_field(component, key));
  if (affix.size() > kAffixMaxBytes) {
    return make_error(Errc::exhausted, "{} has {} bytes, at most {}", key, affix.size(),
                      kAffixMaxBytes);
  }
  return affix;
}

}  // namespace

MadeTokenModel make_bpe(const Json& component) {
  GLM_TRY(refuse_dropout(component));
  Settings settings;
  settings.prefix = GLM_TRY(affix_field(component, "continuing_subword_prefix"));
  settings.suffix = GLM_TRY(affix_field(component, "end_of_word_suffix"));
  Vocabulary vocabulary;
  GLM_TRY(vocabulary.read(member(component, "vocab")));
  Merges merges =
      GLM_TRY(Merges::read(member(component, "merges"), vocabulary, settings.prefix.size()));
  settings.fuse_unknown = GLM_TRY(flag_field(component, "fuse_unk", false));
  settings.byte_fallback = GLM_TRY(flag_field(component, "byte_fallback", false));
  settings.ignore_merges = GLM_TRY(flag_field(component, "ignore_merges", false));
  if (!member(component, "unk_token").is_null()) {
    const std::string unknown = GLM_TRY(text_field(component, "unk_token"));
    settings.unknown = vocabulary.id_of(unknown);
    if (!settings.unknown && !unknown.empty()) {
      return make_error(Errc::corrupt, "unk_token '{}' is not in vocab", unknown);
    }
  }
  return std::make_unique<Bpe>(std::move(vocabulary), std::move(merges), std::move(settings));
}

}  // namespace glm::runner::tokenizing
