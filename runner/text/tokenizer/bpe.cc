// Byte-pair encoding: begin with single characters, then join the neighbours whose merge was
// learnt first, until none can be joined.
//
// The piece is a doubly linked list in an array; a heap holds the merges that were possible when
// they were pushed, and a popped one counts only if its two symbols are still what they were. So
// a piece of n characters costs n log n, however hostile.
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

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
};

class Bpe final : public TokenModel {
 public:
  Bpe(Vocabulary vocabulary, Merges merges, Settings settings)
      : vocabulary_(std::move(vocabulary)), merges_(std::move(merges)), settings_(settings) {
    for (char32_t c = 0; c < character_ids_.size(); ++c) {
      std::string text;
      append_utf8(text, c);
      character_ids_[c] = vocabulary_.id_of(text).value_or(-1);
    }
    if (settings_.byte_fallback) find_byte_tokens();
  }

  const Vocabulary& vocabulary() const override { return vocabulary_; }

  void encode(std::string_view piece, std::vector<std::int32_t>& ids) const override {
    if (settings_.ignore_merges) {
      if (const auto whole = vocabulary_.id_of(piece)) {
        ids.push_back(*whole);
        return;
      }
    }
    if (cache_.append(piece, ids)) return;
    const std::size_t before = ids.size();
    List list = characters(piece);
    join(list);
    for (std::int32_t at = 0; at >= 0 && !list.empty(); at = list[index(at)].next) {
      ids.push_back(list[index(at)].id);
    }
    cache_.remember(piece, std::span(ids).subspan(before));
  }

 private:
  struct Symbol {
    std::int32_t id;
    std::int32_t previous, next;  // -1: none
    bool gone = false;            // joined to the one before
  };
  using List = std::vector<Symbol>;

  struct Candidate {
    std::int32_t rank;
    std::int32_t at;  // the left one
    std::int32_t id;  // what it would become
    // The heap's top is the smallest rank, then the leftmost.
    bool operator<(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };

  static std::size_t index(std::int32_t at) { return static_cast<std::size_t>(at); }

  void find_byte_tokens() {
    for (unsigned byte = 0; byte < 256; ++byte) {
      byte_ids_[byte] = vocabulary_.id_of(fmt::format("<0x{:02X}>", byte)).value_or(-1);
    }
  }

  std::int32_t character_id(const Utf8Step& step, std::string_view bytes) const {
    if (step.code_point < character_ids_.size()) return character_ids_[step.code_point];
    return vocabulary_.id_of(bytes).value_or(-1);
  }

  bool has_byte_tokens(std::string_view bytes) const {
    return settings_.byte_fallback && std::all_of(bytes.begin(), bytes.end(), [&](char byte) {
             return byte_ids_[static_cast<unsigned char>(byte)] >= 0;
           });
  }

  List characters(std::string_view piece) const {
    List list;
    list.reserve(piece.size());
    const auto append = [&](std::int32_t id) {
      const auto at = static_cast<std::int32_t>(list.size());
      list.push_back({id, at - 1, at + 1});
    };
    // As the reference has it, an unknown character waits for the next known or unknown one, and
    // byte tokens between them overtake it.
    bool unknown_waits = false;
    const auto settle_unknown = [&] {
      if (unknown_waits) append(*settings_.unknown);
      unknown_waits = false;
    };
    for (std::size_t at = 0; at < piece.size();) {
      const Utf8Step step = utf8_character(piece, at);
      const std::string_view bytes = piece.substr(at, step.length_bytes);
      at += step.length_bytes;
      if (const std::int32_t id = character_id(step, bytes); id >= 0) {
        settle_unknown();
        append(id);
      } else if (has_byte_tokens(bytes)) {
        for (const char byte : bytes) append(byte_ids_[static_cast<unsigned char>(byte)]);
      } else if (settings_.unknown) {
        if (!settings_.fuse_unknown) settle_unknown();
        unknown_waits = true;
      }
    }
    settle_unknown();
    if (!list.empty()) list.back().next = -1;
    return list;
  }

  void consider(const List& list, std::int32_t at, std::vector<Candidate>& heap) const {
    if (at < 0 || list[index(at)].next < 0) return;
    const Symbol& left = list[index(at)];
    if (const Merge* merge = merges_.find({left.id, list[index(left.next)].id})) {
      heap.push_back({merge->rank, at, merge->id});
      std::push_heap(heap.begin(), heap.end());
    }
  }

  void join(List& list) const {
    std::vector<Candidate> heap;
    heap.reserve(list.size());
    for (std::size_t at = 0; at < list.size(); ++at) {
      consider(list, static_cast<std::int32_t>(at), heap);
    }
    while (!heap.empty()) {
      const Candidate best = heap.front();
      std::pop_heap(heap.begin(), heap.end());
      heap.pop_back();
      Symbol& left = list[index(best.at)];
      if (left.gone || left.next < 0) continue;
      Symbol& right = list[index(left.next)];
      const Merge* merge = merges_.find({left.id, right.id});
      if (merge == nullptr || merge->id != best.id) continue;  // one of them has changed since
      left.id = merge->id;
      left.next = right.next;
      right.gone = true;
      if (left.next >= 0) list[index(left.next)].previous = best.at;
      consider(list, left.previous, heap);
      consider(list, best.at, heap);
    }
  }

  Vocabulary vocabulary_;
  Merges merges_;
  Settings settings_;
  std::array<std::int32_t, 512> character_ids_{};  // of the first characters; -1: no token
  std::array<std::int32_t, 256> byte_ids_{};
  mutable PieceCache cache_;
};

struct MergeText {
  std::string_view left, right;
};

// "a b", or ["a", "b"] as newer files have it (where a token may contain a space).
Result<MergeText> merge_text(const Json& merge) {
  if (merge.is_string()) {
    const std::string_view text = merge.get_ref<const std::string&>();
    const std::size_t space = text.find(' ');
    if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
      return make_error(Errc::corrupt, "'{}' is not two tokens with a space between", text);
    }
    return MergeText{text.substr(0, space), text.substr(space + 1)};
  }
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return MergeText{merge[0].get_ref<const std::string&>(),
                     merge[1].get_ref<const std::string&>()};
  }
  return make_error(Errc::corrupt, "neither \"a b\" nor [\"a\", \"b\"]");
}

Result<Merges> parse_merges(const Json& list, const Vocabulary& vocabulary) {
  if (!list.is_array()) return make_error(Errc::corrupt, "merges is not a list");
  if (list.size() > static_cast<std::size_t>(kTokensMax) * 4) {
    return make_error(Errc::exhausted, "{} merges, at most {}", list.size(), kTokensMax * 4);
  }
  Merges merges(list.size());
  std::string joined;
  std::int32_t rank = 0;
  const auto id_of = [&](std::string_view token) -> Result<std::int32_t> {
    if (const auto id = vocabulary.id_of(token)) return *id;
    return make_error(Errc::corrupt, "merge {}: '{}' is not in vocab", rank, token);
  };
  for (const Json& entry : list) {
    const MergeText text = GLM_TRY(merge_text(entry).with(fmt::format("merge {}", rank)));
    joined.assign(text.left).append(text.right);
    const Pair pair{.left = GLM_TRY(id_of(text.left)), .right = GLM_TRY(id_of(text.right))};
    merges.add(pair, {.rank = rank, .id = GLM_TRY(id_of(joined))});
    ++rank;
  }
  return merges;
}

Status refuse_what_we_lack(const Json& component) {
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const Json& value = member(component, key);
    if (value.is_null() || (value.is_string() && value.get_ref<const std::string&>().empty())) {
      continue;
    }
    return make_error(Errc::unsupported, "{} {} is not supported", key, value.dump());
  }
  const Json& dropout = member(component, "dropout");
  if (!dropout.is_null() && !(dropout.is_number() && dropout.get<double>() == 0)) {
    return make_error(Errc::unsupported, "dropout {} is not supported", dropout.dump());
  }
  return Ok{};
}

}  // namespace

MadeTokenModel make_bpe(const Json& component) {
  GLM_TRY(refuse_what_we_lack(component));
  Vocabulary vocabulary;
  GLM_TRY(vocabulary.read(member(component, "vocab")));
  Merges merges = GLM_TRY(parse_merges(member(component, "merges"), vocabulary));
  Settings settings;
  settings.fuse_unknown = GLM_TRY(flag_field(component, "fuse_unk", false));
  settings.byte_fallback = GLM_TRY(flag_field(component, "byte_fallback", false));
  settings.ignore_merges = GLM_TRY(flag_field(component, "ignore_merges", false));
  if (!member(component, "unk_token").is_null()) {
    const std::string unknown = GLM_TRY(text_field(component, "unk_token"));
    settings.unknown = vocabulary.id_of(unknown);
    if (!settings.unknown) {
      return make_error(Errc::corrupt, "unk_token '{}' is not in vocab", unknown);
    }
  }
  return std::make_unique<Bpe>(std::move(vocabulary), std::move(merges), settings);
}

}  // namespace glm::runner::tokenizing
