// Takes the body of a request from the HTTP library, bounded in size and time.
#pragma once

#include <httplib.h>

#include <cstddef>
#include <string>

#include "base/result.h"

namespace glm::api {

inline constexpr std::size_t kBodySizeMax = 32u << 20;

struct RequestBody {
  std::string bytes;
  int http_status = 200;  // or why it was not taken
};

// Empty for a request that has none.
RequestBody take_body(const httplib::Request& request, const httplib::ContentReader& reader);

// What to tell of a body that was not taken.
Error body_error(int http_status);

}  // namespace glm::api
