// Precompiled: SentencePiece's character map ("nmt_nfkc" and its kin), as the trainer left it.
//
//   base64 of   u32 size of the trie in bytes, little-endian
//               the trie: units of u32, a Darts-clone double array
//               the replacements: UTF-8, each ended by a zero byte; the trie's values point here
//
// A unit:  bits 0-7 label, bit 8 has a leaf, bit 9 offset is shifted by 8, bits 10-30 offset;
//          a leaf: bit 31 set, bits 0-30 the value.
//
// A short cluster (a base with its marks) whose beginning is in the trie is replaced as a whole by
// what that beginning maps to. That is not what one would write, but what every such model learnt.
#include <utf8proc.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "runner/text/tokenizer/normalizer.h"
#include "runner/text/utf8.h"

namespace glm::runner::tokenizing {
namespace {

constexpr std::size_t kClusterMaxBytes = 5;  // longer ones go character by character
constexpr std::size_t kReplacementMaxBytes = 1024;

// The first that matches, shortest first; nothing where the map has no say.
class CharacterMap {
 public:
  static Result<CharacterMap> read(std::string_view blob) {
    const auto unit_at = [&](std::size_t at) {
      std::uint32_t unit = 0;
      for (std::size_t i = 0; i < 4; ++i) {
        unit |= static_cast<std::uint32_t>(static_cast<unsigned char>(blob[at + i])) << (8 * i);
      }
      return unit;
    };
    if (blob.size() < 4 || unit_at(0) > blob.size() - 4 || unit_at(0) % 4 != 0) {
      return make_error(Errc::corrupt, "precompiled_charsmap is cut short");
    }
    const std::size_t trie_bytes = unit_at(0);
    CharacterMap map;
    for (std::size_t at = 4; at < 4 + trie_bytes; at += 4) map.units_.push_back(unit_at(at));
    map.texts_ = blob.substr(4 + trie_bytes);
    if (!is_valid_utf8(map.texts_)) {
      return make_error(Errc::corrupt, "precompiled_charsmap has replacements that are not UTF-8");
    }
    return map;
  }

  std::optional<std::string_view> find(std::string_view key) const {
    if (units_.empty()) return std::nullopt;
    std::size_t node = offset(units_[0]);
    for (const char c : key) {
      const auto byte = static_cast<unsigned char>(c);
      node ^= byte;
      if (byte == 0 || node >= units_.size()) return std::nullopt;
      const std::uint32_t unit = units_[node];
      if ((unit & 0x800000FFu) != byte) return std::nullopt;
      node ^= offset(unit);
      if ((unit >> 8 & 1) == 0) continue;
      if (node >= units_.size()) return std::nullopt;
      return text_at(units_[node] & 0x7FFFFFFFu);
    }
    return std::nullopt;
  }

 private:
  static std::size_t offset(std::uint32_t unit) {
    return static_cast<std::size_t>(unit >> 10) << ((unit & 0x200u) >> 6);
  }

  std::optional<std::string_view> text_at(std::size_t first) const {
    if (first >= texts_.size()) return std::nullopt;
    std::string_view text = std::string_view(texts_).substr(first, kReplacementMaxBytes);
    text = text.substr(0, text.find('\0'));
    if (!is_valid_utf8(text)) return std::nullopt;  // the value points into a character
    return text;
  }

  std::vector<std::uint32_t> units_;
  std::string texts_;
};

// Where the grapheme cluster that begins at `at` ends.
std::size_t cluster_end(std::string_view text, std::size_t at) {
  Utf8Step step = utf8_character(text, at);
  utf8proc_int32_t state = 0;
  for (std::size_t next = at + step.length_bytes;; next += step.length_bytes) {
    if (next >= text.size()) return next;
    const auto before = static_cast<utf8proc_int32_t>(step.code_point);
    step = utf8_character(text, next);
    const auto after = static_cast<utf8proc_int32_t>(step.code_point);
    if (utf8proc_grapheme_break_stateful(before, after, &state)) return next;
  }
}

class Precompiled final : public Normalizer {
 public:
  explicit Precompiled(CharacterMap map) : map_(std::move(map)) {}

  void apply(Passage& passage) const override {
    const std::string_view text = passage.text;
    std::string out;
    out.reserve(text.size());
    std::size_t start_bytes = 0;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = cluster_end(text, at);
      const bool has_start = at < passage.start_bytes;
      const std::size_t before = out.size();
      append_mapped(text.substr(at, end - at), out);
      if (has_start && end <= passage.start_bytes) start_bytes = out.size();
      if (has_start && end > passage.start_bytes && out.size() > before) {
        start_bytes = before + utf8_character(out, before).length_bytes;
      }
      at = end;
    }
    // A beginning that maps to nothing leaves its place to what follows: a slip of the reference,
    // whose bookkeeping has no earlier character to charge it to.
    if (passage.start_bytes > 0 && start_bytes == 0 && !out.empty()) {
      start_bytes = utf8_character(out, 0).length_bytes;
    }
    passage.text = std::move(out);
    passage.start_bytes = start_bytes;
  }

 private:
  void append_mapped(std::string_view cluster, std::string& out) const {
    if (cluster.size() <= kClusterMaxBytes) {
      if (const auto mapped = map_.find(cluster)) {
        out += *mapped;
        return;
      }
    }
    for (std::size_t i = 0; i < cluster.size();) {
      const std::size_t length = utf8_character(cluster, i).length_bytes;
      const std::string_view character = cluster.substr(i, length);
      out += map_.find(character).value_or(character);
      i += length;
    }
  }

  CharacterMap map_;
};

Result<std::string> from_base64(std::string_view text) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  std::uint32_t bits = 0;
  int bit_count = 0;
  while (text.ends_with('=')) text.remove_suffix(1);
  for (const char c : text) {
    const std::size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) {
      return make_error(Errc::corrupt, "precompiled_charsmap is not base64");
    }
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    bit_count += 6;
    if (bit_count < 8) continue;
    bit_count -= 8;
    bytes.push_back(static_cast<char>(bits >> bit_count & 0xFF));
  }
  return bytes;
}

}  // namespace

MadeNormalizer make_precompiled(const Json& component) {
  const std::string text = GLM_TRY(text_field(component, "precompiled_charsmap"));
  return std::make_unique<Precompiled>(GLM_TRY(CharacterMap::read(GLM_TRY(from_base64(text)))));
}

}  // namespace glm::runner::tokenizing
