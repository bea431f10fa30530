#include "cmd/cli/bench_http.h"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace glm::bench {
namespace {

constexpr std::size_t kLineBytesMax = 16 << 10;

Error no_http(std::string_view what, std::string_view line) {
  return make_error(Errc::corrupt, "the answer is not HTTP/1.1: {} '{}'", what, line.substr(0, 60));
}

std::string lower(std::string_view text) {
  std::string copy(text);
  std::transform(copy.begin(), copy.end(), copy.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return copy;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// The whole text must be the number.
template <typename Number>
bool parse(std::string_view text, Number& number, int base = 10) {
  const char* const end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, number, base);
  return failure == std::errc() && stop == end;
}

}  // namespace

Status HttpAnswerReader::push(std::string_view bytes, std::string& body) {
  while (!bytes.empty()) {
    switch (state_) {
      case State::sized_body:
      case State::chunk: {
        const auto here = std::min<std::uint64_t>(rest_bytes_, bytes.size());
        body.append(bytes.substr(0, here));
        bytes.remove_prefix(here);
        rest_bytes_ -= here;
        if (rest_bytes_ == 0) {
          state_ = state_ == State::chunk ? State::chunk_end : State::complete;
        }
        break;
      }
      case State::body_until_close:
        body.append(bytes);
        return Ok{};
      case State::complete:
        return make_error(Errc::corrupt, "{} bytes came after the end of the answer", bytes.size());
      default: {
        const std::size_t end = bytes.find('\n');
        line_ += bytes.substr(0, end);
        if (line_.size() > kLineBytesMax) return no_http("an endless line", line_);
        if (end == std::string_view::npos) return Ok{};
        bytes.remove_prefix(end + 1);
        if (line_.ends_with('\r')) line_.pop_back();
        GLM_TRY(take_line(line_));
        line_.clear();
      }
    }
  }
  return Ok{};
}

Status HttpAnswerReader::close() {
  if (state_ == State::body_until_close) state_ = State::complete;
  if (complete()) return Ok{};
  return make_error(Errc::unavailable, "{}",
                    status_ == 0 ? "the server closed the connection without an answer"
                                 : "the connection broke in the middle of the answer");
}

Status HttpAnswerReader::take_line(std::string_view line) {
  switch (state_) {
    case State::status_line:
      return take_status(line);
    case State::header:
      if (!line.empty()) return take_header(line);
      end_headers();
      return Ok{};
    case State::chunk_size:
      return take_chunk_size(line);
    case State::chunk_end:
      if (!line.empty()) return no_http("behind a chunk stands", line);
      state_ = State::chunk_size;
      return Ok{};
    default:  // trailer
      if (line.empty()) state_ = State::complete;
      return Ok{};
  }
}

Status HttpAnswerReader::take_status(std::string_view line) {
  if (!line.starts_with("HTTP/1.") || line.size() < 12 || line[8] != ' ' ||
      !parse(line.substr(9, 3), status_) || status_ < 100) {
    return no_http("it begins with", line);
  }
  state_ = State::header;
  return Ok{};
}

Status HttpAnswerReader::take_header(std::string_view line) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return no_http("a header is", line);
  const std::string name = lower(line.substr(0, colon));
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (name == "transfer-encoding") chunked_ = lower(value).ends_with("chunked");
  if (name == "content-length") {
    if (!parse(value, rest_bytes_)) return no_http("a length is", value);
    sized_ = true;
  }
  return Ok{};
}

void HttpAnswerReader::end_headers() {
  if (status_ < 200) {  // "100 Continue": the answer itself follows
    state_ = State::status_line;
  } else if (status_ == 204 || status_ == 304) {
    state_ = State::complete;
  } else if (chunked_) {
    state_ = State::chunk_size;
  } else if (sized_) {
    state_ = rest_bytes_ == 0 ? State::complete : State::sized_body;
  } else {
    state_ = State::body_until_close;
  }
}

Status HttpAnswerReader::take_chunk_size(std::string_view line) {
  const std::string_view number = trimmed(line.substr(0, line.find(';')));
  if (!parse(number, rest_bytes_, 16)) return no_http("the size of a chunk is", line);
  state_ = rest_bytes_ == 0 ? State::trailer : State::chunk;
  return Ok{};
}

}  // namespace glm::bench
