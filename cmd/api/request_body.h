// Takes the body of a request from the HTTP library, bounded in size and time.
#pragma once

#include <httplib.h>

#include <cstddef>
#include <optional>
#include <string>

#include "base/result.h"

namespace glm::api {

inline constexpr std::size_t kBodySizeMax = 32u << 20;

// What of Content-Encoding is read, as Accept-Encoding says it.
inline constexpr const char* kEncodingsRead = "gzip, deflate";

// Why a body was not taken.
struct BodyRefusal {
  int http_status = 400;
  Error error;
};

struct RequestBody {
  std::string bytes;
  std::optional<BodyRefusal> refusal;
};

// Empty for a request that has none. Where it is refused, bytes of it may be unread.
RequestBody take_body(const httplib::Request& request, const httplib::ContentReader& reader);

}  // namespace glm::api
