// The random texts of tokenizers.json, drawn as tests/golden/text/make_tokenizers.py draws them.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "runner/text/utf8.h"

namespace glm::runner {

class Crc32 {
 public:
  void add(std::string_view bytes) {
    for (const char byte : bytes) {
      crc_ ^= static_cast<unsigned char>(byte);
      for (int bit = 0; bit < 8; ++bit) crc_ = crc_ >> 1 ^ ((crc_ & 1) != 0 ? 0xEDB88320u : 0u);
    }
  }
  void add_number(std::uint32_t number) {
    for (int i = 0; i < 4; ++i) {
      const char byte = static_cast<char>(number >> (8 * i));
      add({&byte, 1});
    }
  }
  std::uint32_t value() const { return ~crc_; }

 private:
  std::uint32_t crc_ = 0xFFFFFFFF;
};

class Random {
 public:
  Random(std::string_view name, std::uint64_t n) {
    Crc32 crc;
    crc.add(name);
    state_ = (static_cast<std::uint64_t>(crc.value()) << 32) + n;
  }

  std::uint64_t below(std::uint64_t n) {
    state_ += 0x9E3779B97F4A7C15ull;
    std::uint64_t z = state_;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    return ((z ^ z >> 31) >> 11) % n;
  }

 private:
  std::uint64_t state_;
};

class RandomTexts {
 public:
  RandomTexts(const nlohmann::ordered_json& alphabet, std::vector<std::string> specials)
      : words_(alphabet["words"].get<std::vector<std::string>>()),
        spaces_(alphabet["spaces"].get<std::vector<std::string>>()),
        blocks_(alphabet["blocks"].get<std::vector<Range>>()),
        assigned_(alphabet["assigned"].get<std::vector<Range>>()),
        specials_(std::move(specials)) {}

  std::string draw(Random& random) const {
    std::string text;
    for (auto parts = random.below(13); parts > 0; --parts) {
      const auto kind = random.below(100);
      if (kind < 25) {
        text += words_[random.below(words_.size())];
      } else if (kind < 40) {
        for (auto i = 1 + random.below(5); i > 0; --i)
          text += spaces_[random.below(spaces_.size())];
      } else if (kind < 48) {
        std::uint64_t bound = 1;
        for (auto i = 1 + random.below(9); i > 0; --i) bound *= 10;
        text += std::to_string(random.below(bound));
      } else if (kind < 60 && !specials_.empty()) {
        text += specials_[random.below(specials_.size())];
      } else if (kind < 78) {
        const Range range = blocks_[random.below(blocks_.size())];
        for (auto i = 1 + random.below(6); i > 0; --i) append_utf8(text, in(range, random));
      } else {
        for (auto i = 1 + random.below(6); i > 0; --i) {
          append_utf8(text, in(assigned_[random.below(assigned_.size())], random));
        }
      }
    }
    return text;
  }

  static std::vector<std::int32_t> draw_ids(Random& random, std::uint64_t size) {
    std::vector<std::int32_t> ids(1 + random.below(9));
    for (auto& id : ids) id = static_cast<std::int32_t>(random.below(size + 3));
    return ids;
  }

 private:
  using Range = std::array<char32_t, 2>;
  static char32_t in(Range range, Random& random) {
    return range[0] + static_cast<char32_t>(random.below(range[1] - range[0] + 1));
  }

  std::vector<std::string> words_, spaces_;
  std::vector<Range> blocks_, assigned_;
  std::vector<std::string> specials_;
};

}  // namespace glm::runner
