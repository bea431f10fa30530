// Server-sent events, and what those of a completion's stream say.
//
// Thread safety: one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace glm::bench {

class EventReader {
 public:
  // Calls `each` with the data of every event that is complete now. Errc::corrupt for an event
  // without end.
  Status push(std::string_view bytes, const std::function<void(std::string_view data)>& each);

 private:
  void take_line(std::string_view line, const std::function<void(std::string_view)>& each);

  std::string line_;  // what is here of one that is not complete
  std::string data_;  // of the event so far
  bool has_data_ = false;
};

struct CompletionEvent {
  enum class Kind {
    tokens,  // has choices; their text may be empty
    usage,
    done,   // "[DONE]"
    error,  // with its message
    other,
  } kind = Kind::other;
  std::int64_t prompt_tokens = 0;
  std::int64_t output_tokens = 0;
  std::string message;
};

// Looks for the two or three names that matter and parses no JSON for it, but in errors: thousands
// of events come every second. A name inside of a text has its quotes escaped and is not met.
CompletionEvent read_event(std::string_view data);

// The message in an error's body, in the shapes that servers have; the body itself otherwise, cut
// short.
std::string error_message(std::string_view body);

}  // namespace glm::bench
