// One HTTP/1.1 answer, taken apart while it arrives: the status and the bytes of the body, however
// they are framed (a length, chunks, or the end of the connection).
//
// Thread safety: one thread at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace glm::bench {

class HttpAnswerReader {
 public:
  // Appends to `body` what the next bytes of the connection hold of it. Errc::corrupt when they are
  // no HTTP/1.1 answer, or more than one.
  Status push(std::string_view bytes, std::string& body);

  // The connection has ended. Errc::unavailable when the answer had not.
  Status close();

  int status() const { return status_; }  // 0 until it is known
  bool complete() const { return state_ == State::complete; }

 private:
  enum class State {
    status_line,
    header,
    sized_body,
    chunk_size,
    chunk,
    chunk_end,
    trailer,
    body_until_close,
    complete,
  };

  Status take_line(std::string_view line);
  Status take_status(std::string_view line);
  Status take_header(std::string_view line);
  Status take_chunk_size(std::string_view line);
  void end_headers();

  State state_ = State::status_line;
  int status_ = 0;
  bool chunked_ = false;
  bool sized_ = false;
  std::uint64_t rest_bytes_ = 0;  // of the body or of the chunk
  std::string line_;              // what is here of one that is not complete
};

}  // namespace glm::bench
