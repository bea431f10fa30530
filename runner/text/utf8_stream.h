// Turns a stream of bytes, as tokens bring them, into text that never holds half a character.
//
// Bytes that cannot be UTF-8 become U+FFFD, one per maximal ill-formed part (Unicode 3.9, the
// practice of Rust's from_utf8_lossy and of browsers), so the text depends only on the bytes and
// not on how they were cut.
//
// Thread safety: one stream belongs to one thread at a time.
#pragma once

#include <string>
#include <string_view>

namespace glm::runner {

class Utf8Stream {
 public:
  // The characters that are complete now; an unfinished one (up to 3 bytes) waits for the next
  // call.
  std::string push(std::string_view bytes);

  // What waited, as U+FFFD. The stream is empty again afterwards.
  std::string finish();

 private:
  std::string waiting_;
};

// The whole of `bytes` as well-formed UTF-8: push() and finish() in one step.
std::string to_valid_utf8(std::string_view bytes);

}  // namespace glm::runner
