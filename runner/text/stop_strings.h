// Ends an answer at the first stop string, and holds back just enough text to do so in a stream.
//
// The stop string that ends first wins; of two that end together, the longer. Neither it nor what
// follows is ever emitted. The result does not depend on how the text was cut.
//
// Thread safety: one matcher belongs to one answer and one thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace glm::runner {

class StopStrings {
 public:
  // Empty strings are ignored.
  explicit StopStrings(const std::vector<std::string>& stops);

  // The text that is certain not to begin a stop string. Empty once stopped.
  std::string push(std::string_view text);

  // What was held back, since no stop string came of it.
  std::string finish();

  bool stopped() const { return stopped_; }
  const std::string& stopped_by() const { return stopped_by_; }

 private:
  // Aho-Corasick: the state is the longest suffix of the text that begins some stop string.
  struct Node {
    std::map<unsigned char, std::int32_t> next;
    std::int32_t fallback = 0;
    std::int32_t depth = 0;         // length of that suffix in bytes
    std::int32_t match_length = 0;  // longest stop string ending here; 0: none
  };
  std::int32_t step(std::int32_t state, unsigned char byte) const;

  std::vector<Node> nodes_;
  std::int32_t state_ = 0;
  std::string held_;
  bool stopped_ = false;
  std::string stopped_by_;
};

}  // namespace glm::runner
