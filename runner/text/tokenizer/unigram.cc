// Unigram: of all ways to write a piece with tokens, the one whose scores sum up to most.
//
// Viterbi's algorithm over the characters: best[i] is the best way to write what lies before byte
// i. A character that is no token is unknown, at 10 below the worst score of the vocabulary;
// neighbouring unknown ones are one, and may become byte tokens.
#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "runner/text/tokenizer/model.h"
#include "runner/text/tokenizer/piece_cache.h"
#include "runner/text/tokenizer/token_trie.h"
#include "runner/text/utf8.h"

namespace glm::runner::tokenizing {
namespace {

constexpr double kUnknownPenalty = 10;
constexpr std::size_t kTokenMaxBytes = 8192;  // the work for each character of a text

struct Settings {
  std::optional<std::int32_t> unknown;
  bool byte_fallback = false;
};

class Unigram final : public TokenModel {
 public:
  Unigram(Vocabulary vocabulary, std::vector<double> scores, Settings settings)
      : vocabulary_(std::move(vocabulary)),
        scores_(std::move(scores)),
        settings_(settings),
        trie_(vocabulary_) {
    double worst = std::numeric_limits<double>::infinity();
    for (const double score : scores_) worst = std::min(worst, score);
    unknown_score_ = worst - kUnknownPenalty;
    for (unsigned byte = 0; byte < 256; ++byte) {
      byte_ids_[byte] = vocabulary_.id_of(fmt::format("<0x{:02X}>", byte)).value_or(-1);
    }
  }

  const Vocabulary& vocabulary() const override { return vocabulary_; }

  void encode(std::string_view piece, std::vector<std::int32_t>& ids) const override {
    if (cache_.append(piece, ids)) return;
    const std::size_t before = ids.size();
    const std::vector<Node> best = best_paths(piece);
    std::vector<std::pair<std::size_t, std::int32_t>> path;  // where each part begins, backwards
    for (std::size_t end = piece.size(); end > 0;) {
      path.emplace_back(best[end].start, best[end].id);
      end = best[end].start;
    }
    for (std::size_t i = path.size(); i-- > 0;) {
      const std::size_t first = path[i].first;
      const bool unknown = is_unknown(path[i].second);
      while (unknown && i > 0 && is_unknown(path[i - 1].second)) --i;
      const std::size_t end = i > 0 ? path[i - 1].first : piece.size();
      if (unknown) {
        append_unknown(piece.substr(first, end - first), ids);
      } else {
        ids.push_back(path[i].second);
      }
    }
    cache_.remember(piece, std::span(ids).subspan(before));
  }

 private:
  static constexpr std::size_t kNowhere = std::numeric_limits<std::size_t>::max();
  struct Node {
    double score = 0;
    std::size_t start = kNowhere;  // of the last token on the way here
    std::int32_t id = -1;          // that token; -1: unknown, and there is no token for it
  };

  bool is_unknown(std::int32_t id) const { return id < 0 || id == settings_.unknown; }

  std::vector<Node> best_paths(std::string_view piece) const {
    std::vector<Node> best(piece.size() + 1);
    for (std::size_t at = 0; at < piece.size();) {
      const double here = best[at].score;
      const std::size_t length = utf8_character(piece, at).length_bytes;
      bool covered = false;  // the character is a token
      const auto offer = [&](std::size_t size, std::int32_t id, double score) {
        Node& node = best[at + size];
        if (node.start == kNowhere || here + score > node.score) node = {here + score, at, id};
      };
      trie_.each_prefix(piece.substr(at), [&](std::size_t size, std::int32_t id) {
        offer(size, id, scores_[static_cast<std::size_t>(id)]);
        covered = covered || size == length;
      });
      if (!covered) offer(length, settings_.unknown.value_or(-1), unknown_score_);
      at += length;
    }
    return best;
  }

  void append_unknown(std::string_view text, std::vector<std::int32_t>& ids) const {
    if (const auto id = vocabulary_.id_of(text)) return ids.push_back(*id);
    const auto byte_id = [&](char byte) { return byte_ids_[static_cast<unsigned char>(byte)]; };
    if (settings_.byte_fallback &&
        std::all_of(text.begin(), text.end(), [&](char byte) { return byte_id(byte) >= 0; })) {
      for (const char byte : text) ids.push_back(byte_id(byte));
    } else if (settings_.unknown) {
      ids.push_back(*settings_.unknown);
    }
  }

  Vocabulary vocabulary_;
  std::vector<double> scores_;  // by id
  Settings settings_;
  TokenTrie trie_;
  double unknown_score_ = 0;
  std::array<std::int32_t, 256> byte_ids_{};
  mutable PieceCache cache_;
};

}  // namespace

MadeTokenModel make_unigram(const Json& component) {
  const Json& list = member(component, "vocab");
  if (!list.is_array()) return make_error(Errc::corrupt, "vocab is not a list");
  if (list.size() > static_cast<std::size_t>(kTokensMax)) {
    return make_error(Errc::exhausted, "vocab has {} tokens, at most {}", list.size(), kTokensMax);
  }
  Vocabulary vocabulary;
  std::vector<double> scores;
  vocabulary.reserve(list.size(), list.size() * 8);
  scores.reserve(list.size());
  for (const Json& entry : list) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number()) {
      return make_error(Errc::corrupt, "vocab[{}] is not [\"token\", score]", scores.size());
    }
    const std::string_view token = entry[0].get_ref<const std::string&>();
    if (token.size() > kTokenMaxBytes) {
      return make_error(Errc::exhausted, "vocab[{}] has {} bytes, at most {}", scores.size(),
                        token.size(), kTokenMaxBytes);
    }
    vocabulary.append(token);
    scores.push_back(entry[1].get<double>());
  }
  Settings settings;
  settings.byte_fallback = GLM_TRY(flag_field(component, "byte_fallback", false));
  if (!member(component, "unk_id").is_null()) {
    settings.unknown = GLM_TRY(id_value(member(component, "unk_id")).with("unk_id"));
    if (!vocabulary.has(*settings.unknown)) {
      return make_error(Errc::corrupt, "unk_id {} is not in vocab", *settings.unknown);
    }
  }
  return std::make_unique<Unigram>(std::move(vocabulary), std::move(scores), settings);
}

}  // namespace glm::runner::tokenizing
