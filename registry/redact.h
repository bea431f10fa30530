// Makes text from the network fit for messages and logs.
#pragma once

#include <string>
#include <string_view>

namespace glm::registry {

// The URL without the values of its query (signatures of storage URLs are bearer secrets) and
// without user information.
std::string redact_url(std::string_view url);

// Control characters and escape sequences replaced by '?', so that nothing plays with a terminal.
std::string printable(std::string_view text);

}  // namespace glm::registry
