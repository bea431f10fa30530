// What a handler gives back: one JSON answer, or a stream that is written while it is made.
//
// An Error returned by a handler becomes the dialect's error body with the status of its code. Once
// a stream has begun the status is out; a stream reports later failures in its own last element.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace glm::api {

// Where a stream goes. write() is false once the client is gone, and the stream should end.
class StreamWriter {
 public:
  virtual ~StreamWriter() = default;
  virtual bool write(std::string_view bytes) = 0;
};

struct Reply {
  int http_status = 200;
  std::string content_type = "application/json";
  std::string body;                           // ignored when stream is set
  std::function<void(StreamWriter&)> stream;  // called once, on the request's thread
};

// What a handler may ask about its client. Valid during the request, also inside Reply::stream.
class Client {
 public:
  virtual ~Client() = default;

  // True once the client has closed its connection: nobody waits for the answer.
  virtual bool gone() const = 0;
};

using Json = nlohmann::ordered_json;

Reply json_reply(const Json& json);

}  // namespace glm::api
